"""Beam's fused stages as tasks of a Dask cluster.

Beam's own DaskRunner makes a Dask bag of each step. It loses what a DoFn gives out at the end of a
bundle, runs no sink but the last, gives every tagged output to every reader, and reports no metrics
(`findings/beams-dask-runner-loses-data.sh`). It also holds all pixels of a partition between two
steps. So this runner takes from Beam what its local runner does, the division of a graph into fused
stages and the processing of a bundle, and from Dask what a cluster does: each bundle of a stage is
a task, which Dask gives to a worker and repeats where a worker is lost.

A task that is repeated must give the same parts of a shuffle as before, because some readers may
have theirs already. So keys go to parts by a checksum, and `Reshuffle` numbers the elements of a
bundle, where Beam's draws random keys.
"""

from __future__ import annotations

import uuid
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, zip_longest
from operator import itemgetter
from typing import Any

import apache_beam as beam
from apache_beam.coders.coder_impl import create_InputStream, create_OutputStream
from apache_beam.metrics.monitoring_infos import consolidate
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import AppliedPTransform, PTransformOverride
from apache_beam.portability.api import beam_fn_api_pb2 as fn_api
from apache_beam.portability.api import metrics_pb2
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, translations
from apache_beam.runners.portability.fn_api_runner.execution import (
    ENCODED_IMPULSE_VALUE,
    GroupingBuffer,
)
from apache_beam.runners.portability.fn_api_runner.fn_runner import RunnerResult
from apache_beam.runners.runner import PipelineResult, PipelineState
from apache_beam.runners.worker import bundle_processor, data_plane
from distributed import Client, Future, KilledWorker, as_completed

_ACCELERATOR = "beam:resources:accelerator:v1"  # Beam's name of the hint
_PATIENCE = 30.0  # seconds until a scheduler must answer
_BUNDLE = "bundle"  # the one that a processor is made for

# What a bundle leaves: by writing step, encoded elements in parts; and its metrics.
_Done = tuple[dict[str, list[bytes]], list[bytes]]
# By the id of a buffer, what each bundle wrote to it: encoded elements, in parts.
_Buffers = dict[bytes, list[list[Future]]]


class DaskOptions(PipelineOptions):
    """Options of this runner, under `run.options`."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--dask_scheduler", help="Address of the scheduler: tcp://host:8786.")
        parser.add_argument(
            "--dask_partitions", type=int, help="Bundles after a shuffle; one a thread if not told."
        )


@dataclass(frozen=True)
class _Shuffle:
    """How the elements of a GroupByKey are coded: ids of coders, and of the windowing strategy."""

    before: str
    after: str
    windowing: str


@dataclass(frozen=True)
class _Stage:
    """What the bundles of one fused stage have in common.

    Attributes:
        descriptor: a serialized `ProcessBundleDescriptor`.
        grouped: reading steps of which the input is still to be grouped.
        shuffled: writing steps of which the output goes to parts by key.
        parts: number of those.
    """

    descriptor: bytes
    grouped: Mapping[str, _Shuffle]
    shuffled: Mapping[str, _Shuffle]
    parts: int


class WorkersLost(OSError):
    """Workers ended again and again at the same work."""


def run_on(
    address: str, build: Callable[[beam.Pipeline], None], options: PipelineOptions
) -> PipelineResult:
    """Build a pipeline and run it on a cluster to its end.

    Args:
        address: of the scheduler.

    Raises:
        RuntimeError: a step raised; the message has what.
        OSError: the scheduler cannot be reached, it has no workers, or they end again and again.
    """
    with Client(address, timeout=_PATIENCE) as client:
        if not client.nthreads():
            raise OSError(
                f"the Dask scheduler {address} has no workers; start some: dask worker {address} "
                "--nthreads 1 (docs/runners.md)"
            )
        try:
            pipeline = beam.Pipeline(runner=DaskRunner(client), options=options)
            build(pipeline)
            return pipeline.run()
        except WorkersLost as error:
            raise OSError(
                f"{error}, as where memory is short; give each worker more, or fewer photos to a "
                "wave (run.wave_photos). What is done is kept: the same command goes on from there"
            ) from error


class DaskRunner(FnApiRunner):
    """Runs a pipeline on a Dask cluster; a graph without side inputs, state and timers."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client
        self._parts = 1

    @staticmethod
    def supported_requirements() -> tuple[str, ...]:
        """Beam's names of what a graph may ask of a runner: nothing special."""
        return ()

    def run_pipeline(self, pipeline: beam.Pipeline, options: PipelineOptions) -> RunnerResult:
        """Run a pipeline to its end.

        Raises:
            NotImplementedError: the graph has side inputs.
            RuntimeError: a step raised; the message has what.
            WorkersLost: Dask gave up.
        """
        threads = sum(self._client.nthreads().values())
        self._parts = options.view_as(DaskOptions).dask_partitions or max(1, threads)
        pipeline.replace_all([_ReshuffleOverride()])
        return super().run_pipeline(pipeline, options)

    def run_stages(
        self, stage_context: translations.TransformContext, stages: list[translations.Stage]
    ) -> RunnerResult:
        """Submit all bundles of all stages, and wait for the last.

        Dask begins a bundle once its inputs are there, and drops what nobody waits for.
        """
        reports = self._submit(stage_context, stages)
        infos: dict[int, list[metrics_pb2.MonitoringInfo]] = defaultdict(list)
        try:
            for report, said in as_completed(list(reports), with_results=True):
                # Popped, or Dask would repeat the bundle if the worker of its report is lost.
                infos[reports.pop(report)] += map(metrics_pb2.MonitoringInfo.FromString, said)
        except KilledWorker as error:
            raise WorkersLost(
                f"the same work ended {error.allowed_failures + 1} workers"
            ) from error
        except Exception as error:  # of a step, and so of any kind
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
        finally:
            self._client.cancel(list(reports))
        by_stage = {
            stages[number].name: list(consolidate(found)) for number, found in infos.items()
        }
        return RunnerResult(PipelineState.DONE, by_stage)

    def _submit(
        self, stage_context: translations.TransformContext, stages: Sequence[translations.Stage]
    ) -> dict[Future, int]:
        """Submit all bundles; gives their reports, each with the number of its stage."""
        reports: dict[Future, int] = {}
        buffers: _Buffers = defaultdict(list)
        run = uuid.uuid4().hex
        described = [_describe(stage, stage_context, self._parts) for stage in stages]
        for number, (stage, reads, writes) in enumerate(described):
            name = f"{run}-{number}"
            shared = self._client.submit(_same, stage, key=f"stage-{name}")
            resources = _resources(stages[number], stage_context.components)
            for bundle, inputs in enumerate(_inputs(stage, reads, buffers)):
                done = self._client.submit(
                    process_bundle,
                    shared,
                    inputs,
                    key=f"bundle-{name}-{bundle}",
                    resources=resources,
                )
                for step, buffer in writes.items():
                    parts = [
                        self._client.submit(
                            _output, done, step, part, key=f"part-{name}-{bundle}-{step}-{part}"
                        )
                        for part in range(self._parts if step in stage.shuffled else 1)
                    ]
                    buffers[buffer].append(parts)
                report = self._client.submit(_report, done, key=f"report-{name}-{bundle}")
                reports[report] = number
        return reports


def process_bundle(stage: _Stage, inputs: Mapping[str, Sequence[bytes]]) -> _Done:
    """Process one bundle of a stage, on a worker.

    Args:
        inputs: by reading step, encoded elements.

    Returns:
        By writing step, its encoded elements in parts; and the bundle's metrics, serialized.
    """
    descriptor = fn_api.ProcessBundleDescriptor.FromString(stage.descriptor)
    context = PipelineContext(descriptor)
    given = {
        step: _grouped(stage.grouped[step], parts, context)
        if step in stage.grouped
        else b"".join(parts)
        for step, parts in inputs.items()
    }
    if not any(given.values()):
        return {}, []  # models need not be loaded for nothing
    channel = data_plane.InMemoryDataChannel()
    processor = bundle_processor.BundleProcessor(
        frozenset(), descriptor, None, data_plane.InMemoryDataChannelFactory(channel.inverse())
    )
    try:
        for step, data in given.items():
            stream = channel.output_stream(_BUNDLE, step)
            stream.write(data)
            stream.close()
        processor.process_bundle(_BUNDLE)
        infos = [info.SerializeToString() for info in processor.monitoring_infos()]
    finally:
        processor.shutdown()
    written: dict[str, list[bytes]] = defaultdict(list)
    for element in channel.input_elements(_BUNDLE, ()):
        written[element.transform_id].append(element.data)
    outputs = {
        step: _parted(stage.shuffled[step], data, context, stage.parts)
        if step in stage.shuffled
        else [b"".join(data)]
        for step, data in written.items()
    }
    return outputs, infos


def _grouped(shuffle: _Shuffle, parts: Iterable[bytes], context: PipelineContext) -> bytes:
    """Group the encoded pairs of one part by key."""
    buffer = GroupingBuffer(
        context.coders[shuffle.before],
        context.coders[shuffle.after],
        context.windowing_strategies[shuffle.windowing],
    )
    for data in parts:
        buffer.append(data)
    return b"".join(buffer)


def _parted(
    shuffle: _Shuffle, encoded: Iterable[bytes], context: PipelineContext, number: int
) -> list[bytes]:
    """Divide encoded pairs into parts by key, the same way on every worker."""
    coder = context.coders[shuffle.before]
    pairs, keys = coder.get_impl(), coder.key_coder().get_impl()
    parts = [create_OutputStream() for _ in range(number)]
    for data in encoded:
        stream = create_InputStream(data)
        while stream.size() > 0:
            pair = pairs.decode_from_stream(stream, True)
            part = parts[zlib.crc32(keys.encode(pair.value[0])) % number]
            pairs.encode_to_stream(pair, part, True)
    return [part.get() for part in parts]


def _output(done: _Done, step: str, part: int) -> bytes:
    """Take one part of what a step of a bundle wrote."""
    outputs, _ = done
    return outputs[step][part] if step in outputs else b""


def _report(done: _Done) -> list[bytes]:
    """Take the metrics of a bundle."""
    _, infos = done
    return infos


def _same(stage: _Stage) -> _Stage:
    """Make the description of a stage a result, which workers fetch once and Dask can restore."""
    return stage


def _describe(
    stage: translations.Stage, stage_context: translations.TransformContext, parts: int
) -> tuple[_Stage, dict[str, bytes], dict[str, bytes]]:
    """Describe a stage to its workers.

    Returns:
        The description; and by step the buffers that are read and those that are written.

    Raises:
        NotImplementedError: the stage has side inputs.
    """
    if any(stage.side_inputs()):
        raise NotImplementedError(f"side inputs on Dask, which {stage.name} has")
    components = stage_context.components
    reads, writes = dict[str, bytes](), dict[str, bytes]()
    grouped, shuffled = dict[str, _Shuffle](), dict[str, _Shuffle]()
    for transform in stage.transforms:
        if transform.spec.urn == bundle_processor.DATA_INPUT_URN:
            steps, shuffles, ends = reads, grouped, transform.outputs
        elif transform.spec.urn == bundle_processor.DATA_OUTPUT_URN:
            steps, shuffles, ends = writes, shuffled, transform.inputs
        else:
            continue
        step, buffer = transform.unique_name, transform.spec.payload
        steps[step] = buffer
        if buffer != translations.IMPULSE_BUFFER:
            kind, name = translations.split_buffer_id(buffer)
            if kind == "group":
                shuffles[step] = _shuffle(components.transforms[name], stage_context)
        coder = stage_context.data_channel_coders[translations.only_element(ends.values())]
        transform.spec.payload = fn_api.RemoteGrpcPort(coder_id=coder).SerializeToString()
    descriptor = fn_api.ProcessBundleDescriptor(
        id=stage.name,
        transforms={transform.unique_name: transform for transform in stage.transforms},
        pcollections=components.pcollections,
        coders=components.coders,
        windowing_strategies=components.windowing_strategies,
        environments=components.environments,
    )
    described = _Stage(descriptor.SerializeToString(), grouped, shuffled, parts)
    return described, reads, writes


def _shuffle(group_by_key: Any, stage_context: translations.TransformContext) -> _Shuffle:
    """Tell how the elements before and after a GroupByKey are coded, pickled values left alone."""
    before, after = (
        translations.only_element(ends.values())
        for ends in (group_by_key.inputs, group_by_key.outputs)
    )
    channel, safe = stage_context.data_channel_coders, stage_context.safe_coders
    windowing = stage_context.components.pcollections[before].windowing_strategy_id
    return _Shuffle(safe[channel[before]], safe[channel[after]], windowing)


def _inputs(
    stage: _Stage, reads: Mapping[str, bytes], buffers: _Buffers
) -> Iterator[dict[str, list[Any]]]:
    """Divide what a stage reads into bundles: by part after a shuffle, else as it was written."""
    columns: dict[str, list[list[Any]]] = {}
    for step, buffer in reads.items():
        if buffer == translations.IMPULSE_BUFFER:
            columns[step] = [[ENCODED_IMPULSE_VALUE]]
        elif step in stage.grouped:
            columns[step] = [list(part) for part in zip(*buffers[buffer], strict=True)]
        else:
            columns[step] = buffers[buffer]
    for bundle in zip_longest(*columns.values(), fillvalue=[]):
        yield dict(zip(columns, bundle, strict=True))


def _resources(stage: translations.Stage, components: Any) -> dict[str, int] | None:
    """What a worker must have for a stage, as `dask worker --resources` gives it."""
    hints = components.environments[stage.environment].resource_hints
    return {"GPU": 1} if _ACCELERATOR in hints else None


class _Spread(beam.PTransform):
    """As `Reshuffle`, with the same distribution each time a bundle is repeated."""

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        return (
            elements
            | "Number" >> beam.ParDo(_Number()).with_output_types(tuple[int, Any])
            | "Spread" >> beam.GroupByKey()
            | "Elements" >> beam.FlatMap(itemgetter(1))
        )


class _Number(beam.DoFn):
    """Pairs each element with its number within the bundle."""

    def start_bundle(self) -> None:
        self._numbers = count()

    def process(self, element: Any) -> Iterator[tuple[int, Any]]:
        yield next(self._numbers), element


class _ReshuffleOverride(PTransformOverride):
    def matches(self, applied_ptransform: AppliedPTransform) -> bool:
        return type(applied_ptransform.transform) is beam.Reshuffle

    def get_replacement_transform_for_applied_ptransform(
        self, applied_ptransform: AppliedPTransform
    ) -> beam.PTransform:
        return _Spread()
