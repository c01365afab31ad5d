"""Which Beam runner carries a pipeline out."""

from __future__ import annotations

from collections.abc import Callable

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.settings import RunSettings


def run_locally(build: Callable[[beam.Pipeline], None], settings: RunSettings) -> None:
    """Build a pipeline and run it to its end on this machine.

    Beam's in-process portable runner is named outright: `DirectRunner` would first try to
    download another one. With one worker all runs in this process, models are loaded once and
    TensorFlow uses every core; more workers are processes with a model each.
    """
    options = PipelineOptions(
        [],  # else Beam would read the command line
        direct_num_workers=settings.workers,
        direct_running_mode="multi_processing" if settings.workers > 1 else "in_memory",
    )
    with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
        build(pipeline)
