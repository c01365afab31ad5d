"""Choose the Beam runner that executes a pipeline.

local:    Beam's in-process portable runner, named explicitly: `DirectRunner` would first try to
          download another one. With one worker everything runs in this process, models are loaded
          once and TensorFlow uses every core; more workers are processes with a model each, which
          are kept from pipeline to pipeline.
prism:    Beam's Prism, a separate program that hands the work back to this process.
dask:     a Dask cluster, whose workers do the work.
flink:    Apache Flink, through Beam's job server.
dataflow: Google Cloud Dataflow.

docs/runners.md and docs/dataflow.md say what each can do, and how it is set up.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from shutil import which
from types import ModuleType
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.runners.portability.flink_runner import FlinkJarJobServer, FlinkRunner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.prism_runner import PrismJobServer, PrismRunner
from apache_beam.runners.runner import PipelineResult
from apache_beam.transforms.environments import ExternalEnvironment

from photoveil.pipeline.runners import job_server, worker_pool
from photoveil.pipeline.settings import RunSettings, SettingsError
from photoveil.transforms.io import storage

_RUNNERS = {
    "local": FnApiRunner,
    "prism": PrismRunner,
    "flink": FlinkRunner,
    "dataflow": DataflowRunner,
}
_JOB_SERVERS = {"prism": PrismJobServer, "flink": FlinkJarJobServer}
_DATAFLOW_NEEDS = ("project", "region", "temp_location", "sdk_container_image")
_HERE = ("[auto]", "[local]")  # as `flink_master`: a Flink within the job server


def run_pipeline(build: Callable[[beam.Pipeline], None], settings: RunSettings) -> PipelineResult:
    """Build a pipeline and run it to its end.

    A job that runs elsewhere is cancelled if Ctrl-C interrupts the wait for it.

    Raises:
        SettingsError: the runner lacks an option.
        OSError: the runner's program does not start.
        RuntimeError: a stage failed for a reason that is not a photo's fault.
    """
    options = _options(settings)
    if settings.runner == "dask":
        return _dask_runner().run_on(options["dask_scheduler"], build, _beam_options(options))
    if settings.runner == "local" and settings.workers > 1:
        return worker_pool.see_through(partial(_run_on, build, options), settings.workers)
    server = _JOB_SERVERS.get(settings.runner)
    if server and "job_endpoint" not in options:
        options["job_endpoint"] = job_server.endpoint(server, tuple(_flags(options)))
    pipeline = beam.Pipeline(runner=_RUNNERS[settings.runner](), options=_beam_options(options))
    build(pipeline)
    result = pipeline.run()
    try:
        result.wait_until_finish()
    except KeyboardInterrupt:
        result.cancel()
        raise
    return result


def _run_on(
    build: Callable[[beam.Pipeline], None], options: Mapping[str, Any], pool: str
) -> PipelineResult:
    """Run a pipeline on the local runner, with the workers of a pool."""
    runner = FnApiRunner(default_environment=ExternalEnvironment(pool))
    pipeline = beam.Pipeline(runner=runner, options=_beam_options(options))
    build(pipeline)
    return pipeline.run()


def _dask_runner() -> ModuleType:
    """The module that needs Dask, and brings its options.

    Raises:
        SettingsError: Dask is not installed.
    """
    try:
        from photoveil.pipeline.runners import dask_runner
    except ModuleNotFoundError as error:
        raise SettingsError(
            "--runner dask needs distributed: .venv/bin/pip install --editable '.[dask]'"
        ) from error
    return dask_runner


def _check_address(address: str) -> None:
    """Refuse what Dask would take apart only in the middle of a run.

    Raises:
        SettingsError: it is no address of a scheduler.
    """
    protocol, _, place = address.rpartition("://")
    if protocol in ("", "tcp", "tls") and not re.fullmatch(r".+:\d+", place):
        raise SettingsError(
            f"--dask-scheduler: {address} is no address; write it as tcp://host:8786"
        )


def check(settings: RunSettings, *folders: str) -> None:
    """Check a runner's options before anything is done.

    Args:
        folders: those that workers read from and write to.

    Raises:
        SettingsError: the message says what to do.
    """
    if "dask_scheduler" in settings.options and settings.runner != "dask":
        raise SettingsError("--dask-scheduler is for --runner dask; add that, or leave it out")
    options = _options(settings)
    if settings.runner == "dask":
        _check_address(str(options["dask_scheduler"]))
    flags = _flags(options)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            known = PipelineOptions(flags).get_all_options()
    except SystemExit as error:
        why = said.getvalue().splitlines()[-1].partition("error: ")[2]
        raise SettingsError(f"run.options: {why}") from error
    # Beam's Java job server knows more options than Beam's Python.
    unknown = set(options) - set(known)
    if unknown and settings.runner != "flink":
        raise SettingsError(f"run.options: Beam has no option {', '.join(sorted(unknown))}")
    if settings.runner != "local" and settings.workers > 1:
        raise SettingsError(
            "run.workers: are those of the local runner; other runners have options of their own"
        )
    if settings.runner == "dataflow":
        for folder in folders:
            if storage.is_local(folder):
                raise SettingsError(
                    f"{folder} is on this machine, where no Dataflow worker can reach it; give "
                    "IN, OUT and --state as gs://..."
                )


def within_reach(file: Path, settings: RunSettings) -> Path | None:
    """Return a file of this machine if the runner's workers may be on this machine too."""
    return None if settings.runner == "dataflow" else file


def _options(settings: RunSettings) -> dict[str, Any]:
    """Beam's options for a runner: the user's, and what follows from the runner."""
    given = dict(settings.options)
    if settings.runner == "local":
        return {"direct_num_workers": settings.workers, **given}
    if settings.runner == "dataflow":
        missing = [name for name in _DATAFLOW_NEEDS if name not in given]
        if missing:
            raise SettingsError(
                f"run.options: Dataflow needs {', '.join(missing)} (docs/dataflow.md)"
            )
        return given
    if settings.runner == "dask":
        _dask_runner()
        if "dask_scheduler" not in given:
            raise SettingsError("--runner dask needs --dask-scheduler, such as tcp://host:8786")
        return given
    if settings.runner == "prism" or given.get("flink_master", "[auto]") in _HERE:
        given.setdefault("environment_type", "LOOPBACK")
    if "job_endpoint" in given:
        return given
    if settings.runner == "prism":
        # Without a location Beam would download a program and run it.
        location = which(str(given.get("prism_location", "prism")))
        if location is None:
            raise SettingsError(
                "the program prism is not to be found; build it with Go (docs/runners.md), and put "
                "it on the PATH or say where it is: run.options.prism_location"
            )
        given["prism_location"] = location
        given.setdefault("prism_log_level", "error")
    elif not os.path.isfile(str(given.get("flink_job_server_jar"))):
        raise SettingsError(
            "run.options.flink_job_server_jar: give the path of Beam's Flink job server, version "
            f"{beam.__version__} (docs/runners.md)"
        )
    return given


def _beam_options(options: Mapping[str, Any]) -> PipelineOptions:
    return PipelineOptions(_flags(options))  # without flags Beam would read the command line


def _flags(options: Mapping[str, Any]) -> list[str]:
    """Options as Beam's command line takes them: a list is an option given several times."""
    flags = []
    for name, value in options.items():
        if value is True:
            flags.append(f"--{name}")
        elif value is not False:
            flags += [f"--{name}={one}" for one in (value if isinstance(value, list) else [value])]
    return flags
