"""What the Dask runner makes of a graph, on a scheduler and workers in processes of their own."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindows

from photoveil.pipeline.runners import select
from photoveil.pipeline.settings import RunSettings, SettingsError
from tests.dask_cluster import Cluster, cluster

pytest.importorskip("distributed", reason="Dask is not installed: the extra dask")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two workers, of which the second has a GPU, as it says."""
    with cluster(tmp_path_factory.mktemp("dask"), resources="GPU=1") as started:
        yield started


def run(
    where: Cluster, build: Callable[[beam.Pipeline], object], **options: int
) -> beam.runners.runner.PipelineResult:
    settings = RunSettings(
        runner="dask", options={"dask_scheduler": where.address, "dask_partitions": 3, **options}
    )
    select.check(settings)

    def built(pipeline: beam.Pipeline) -> None:
        build(pipeline)

    return select.run_pipeline(built, settings)


def write(element: object, file: Path) -> object:
    """Append an element to a file, from whatever worker."""
    with file.open("a") as stream:
        stream.write(f"{element}\n")
    return element


def lines(file: Path) -> list[str]:
    return sorted(file.read_text().splitlines()) if file.exists() else []


class Sum(beam.DoFn):
    """Gives the sum of a bundle at its end."""

    def start_bundle(self) -> None:
        self._sum = 0

    def process(self, element: int) -> None:
        self._sum += element

    def finish_bundle(self) -> Iterator[Any]:
        yield GlobalWindows.windowed_value(self._sum)


def test_what_a_bundle_gives_at_its_end_is_kept(two: Cluster, tmp_path: Path) -> None:
    run(
        two,
        lambda p: p | beam.Create(range(10)) | beam.ParDo(Sum()) | beam.Map(write, tmp_path / "a"),
    )
    assert sum(map(int, lines(tmp_path / "a"))) == 45


def test_every_sink_runs(two: Cluster, tmp_path: Path) -> None:
    def build(pipeline: beam.Pipeline) -> None:
        numbers = pipeline | beam.Create([1, 2, 3])
        _ = numbers | "a" >> beam.Map(write, tmp_path / "a")
        _ = numbers | "b" >> beam.Map(write, tmp_path / "b")

    run(two, build)
    assert lines(tmp_path / "a") == lines(tmp_path / "b") == ["1", "2", "3"]


def test_a_tagged_output_goes_to_its_reader_alone(two: Cluster, tmp_path: Path) -> None:
    def build(pipeline: beam.Pipeline) -> None:
        even, odd = pipeline | beam.Create(range(6)) | beam.Partition(lambda one, _: one % 2, 2)
        _ = even | "even" >> beam.Map(write, tmp_path / "even")
        _ = odd | beam.Reshuffle() | "odd" >> beam.Map(write, tmp_path / "odd")

    run(two, build)
    assert lines(tmp_path / "even") == ["0", "2", "4"]
    assert lines(tmp_path / "odd") == ["1", "3", "5"]


def test_groups_are_whole_whatever_their_keys(two: Cluster, tmp_path: Path) -> None:
    """Text and bytes too, of which Python's own hash differs from worker to worker."""
    pairs = [(key, number) for number in range(6) for key in ("é", b"b", 3, None)]

    def build(pipeline: beam.Pipeline) -> None:
        _ = (
            pipeline
            | beam.Create(pairs)
            | beam.Reshuffle()
            | beam.Map(lambda pair: (repr(pair[0]), pair[1]))
            | beam.GroupByKey()
            | beam.MapTuple(lambda key, values: (key, sorted(values)))
            | beam.Map(write, tmp_path / "a")
        )

    run(two, build)
    assert lines(tmp_path / "a") == sorted(
        str((repr(key), list(range(6)))) for key in ("é", b"b", 3, None)
    )


def test_bundles_go_to_all_workers(two: Cluster, tmp_path: Path) -> None:
    met = tmp_path / "met"
    met.mkdir()

    def work(_: int) -> int:
        (met / str(os.getpid())).touch()
        until = time.monotonic() + 20
        while len(os.listdir(met)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        return os.getpid()

    def build(pipeline: beam.Pipeline) -> None:
        _ = (
            pipeline
            | beam.Create(range(12))
            | beam.Reshuffle()
            | beam.Map(work)
            | beam.Map(write, tmp_path / "a")
        )

    run(two, build, dask_partitions=4)
    done = lines(tmp_path / "a")
    assert len(done) == 12
    assert set(done) == {str(worker.pid) for worker in two.workers}


def test_metrics_are_summed_over_bundles(two: Cluster) -> None:
    def counted(number: int) -> int:
        Metrics.counter("photoveil", "seen").inc()
        Metrics.distribution("photoveil.read", "micro_secs").update(number)
        return number

    result = run(two, lambda p: p | beam.Create(range(10)) | beam.Reshuffle() | beam.Map(counted))
    found = result.metrics().query()
    (seen,) = (one.result for one in found["counters"] if one.key.metric.name == "seen")
    (spent,) = (one.result for one in found["distributions"] if one.key.metric.name == "micro_secs")
    assert seen == 10
    assert (spent.sum, spent.count, spent.min, spent.max) == (45, 10, 0, 9)


def test_an_accelerator_is_a_resource_of_the_worker(two: Cluster, tmp_path: Path) -> None:
    def build(pipeline: beam.Pipeline) -> None:
        _ = (
            pipeline
            | beam.Create(range(8))
            | beam.Reshuffle()
            | beam.Map(lambda _: os.getpid()).with_resource_hints(accelerator="type:any;count:1")
            | beam.Map(write, tmp_path / "a")
        )

    run(two, build, dask_partitions=8)
    assert set(lines(tmp_path / "a")) == {str(two.workers[-1].pid)}


def test_what_stopped_a_step_is_in_the_error(two: Cluster) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "no space left on device")

    with pytest.raises(RuntimeError, match=r"\[Errno 28\]"):
        run(two, lambda p: p | beam.Create([1]) | beam.Map(fail))
    run(two, lambda p: p | beam.Create([1]) | beam.Map(abs))


def test_side_inputs_are_refused(two: Cluster) -> None:
    def build(pipeline: beam.Pipeline) -> None:
        side = pipeline | "side" >> beam.Create([1])
        _ = pipeline | beam.Create([2]) | beam.Map(max, beam.pvalue.AsSingleton(side))

    with pytest.raises(NotImplementedError, match="side inputs"):
        run(two, build)


def test_a_scheduler_without_workers_is_told(tmp_path: Path) -> None:
    with (
        cluster(tmp_path, workers=0) as none,
        pytest.raises(OSError, match=f"{none.address} has no workers; start some: dask worker"),
    ):
        run(none, lambda p: p | beam.Create([1]))


def test_the_scheduler_must_be_told_and_is_for_dask_alone() -> None:
    with pytest.raises(SettingsError, match="needs --dask-scheduler"):
        select.check(RunSettings(runner="dask"))
    with pytest.raises(SettingsError, match="is for --runner dask"):
        select.check(RunSettings(options={"dask_scheduler": "tcp://localhost:1"}))
    for wrong in ("nonsense", "tcp://localhost"):
        with pytest.raises(SettingsError, match=f"{wrong} is no address; write it as tcp://"):
            select.check(RunSettings(runner="dask", options={"dask_scheduler": wrong}))
    select.check(RunSettings(runner="dask", options={"dask_scheduler": "localhost:8786"}))


@pytest.mark.slow
def test_workers_that_are_killed_lose_and_double_nothing(tmp_path: Path) -> None:
    """Of four workers three are killed, one after the other. What they had done is done again, and
    readers of one part of it that have theirs already miss nothing."""

    def work(number: int) -> object:
        time.sleep(0.02)
        return write(number, tmp_path / "work")

    def build(pipeline: beam.Pipeline) -> None:
        numbers = pipeline | beam.Create([str(number) for number in range(60)])
        for turn in range(4):
            numbers = numbers | f"spread {turn}" >> beam.Reshuffle()
            numbers = numbers | f"work {turn}" >> beam.Map(work)
        _ = (
            numbers
            | beam.Map(lambda number: ("all", number))
            | beam.GroupByKey()
            | beam.MapTuple(lambda _, all: write(sorted(all), tmp_path / "all"))
        )

    def kill(workers: list[subprocess.Popen[bytes]]) -> None:
        for worker, done in zip(workers, (75, 140, 220), strict=True):
            while len(lines(tmp_path / "work")) < done:
                time.sleep(0.01)
            worker.kill()

    with cluster(tmp_path / "dask", workers=4) as four:
        killer = threading.Thread(target=kill, args=[four.workers[:3]], daemon=True)
        killer.start()
        run(four, build, dask_partitions=8)
        killer.join()
    assert lines(tmp_path / "all") == [str(sorted(str(number) for number in range(60)))]
    assert len(lines(tmp_path / "work")) > 240, "nothing was lost, so nothing was done again"
