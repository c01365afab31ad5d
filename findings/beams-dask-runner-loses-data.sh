#!/usr/bin/env bash
# Beam's DaskRunner (2.77.0) loses data without an error.
#
# - What a DoFn gives out in `finish_bundle` is lost, and with it the last batch of BatchElements, on
#   which RunInference rests.
# - Of several branches without a common end only the last runs.
# - Each tagged output, and so each part of Partition, goes to the readers of all of them.
# - Metrics are not implemented.
#
# apache/beam has no issue of the first three that was found; #29365 and pull request #27618 tell of
# keys and side inputs, and #24578 asks for its place in the list of what runners can do. So
# `photoveil run --runner dask` has a runner of its own (`pipeline/runners/dask_runner.py`).
#
# Exits 0 while that is so, 1 once it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet apache-beam==2.77.0 distributed==2026.8.0
cat > "$folder/seen.py" <<'PYTHON'
import sys
import tempfile
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.dask.dask_runner import DaskRunner
from apache_beam.transforms.window import GlobalWindows
from dask.distributed import LocalCluster


class Sum(beam.DoFn):
    def start_bundle(self):
        self._sum = 0

    def process(self, number):
        self._sum += number

    def finish_bundle(self):
        yield GlobalWindows.windowed_value(self._sum)


def note(element, file):
    with open(file, "a") as stream:
        stream.write(f"{element}\n")
    return element


def at_the_end(numbers, folder):
    numbers | beam.ParDo(Sum()) | beam.Map(note, f"{folder}/sum")


def in_batches(numbers, folder):
    batches = numbers | beam.BatchElements(min_batch_size=3, max_batch_size=3)
    batches | beam.FlatMap(list) | beam.Map(note, f"{folder}/batched")


def two_ends(numbers, folder):
    numbers | "a" >> beam.Map(note, f"{folder}/a")
    numbers | "b" >> beam.Map(note, f"{folder}/b")


def two_parts(numbers, folder):
    even, odd = numbers | beam.Partition(lambda number, _: number % 2, 2)
    ends = even | "a" >> beam.Map(note, f"{folder}/even"), odd | "b" >> beam.Map(note, f"{folder}/odd")
    ends | beam.Flatten() | beam.Map(str)


def seen(build, scheduler):
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--dask_client_address={scheduler}", "--dask_npartitions=1"]
        pipeline = beam.Pipeline(runner=DaskRunner(), options=PipelineOptions(options))
        build(pipeline | beam.Create([1, 2, 3, 4]), folder)
        result = pipeline.run()
        result.wait_until_finish()
        try:
            result.metrics()
        except NotImplementedError:
            metrics = "no metrics"
        files = sorted(Path(folder).iterdir())
        return {file.name: sorted(map(int, file.read_text().split())) for file in files}, metrics


if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        for build in (at_the_end, in_batches, two_ends, two_parts):
            print(build.__name__, *seen(build, cluster.scheduler_address))
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/seen.py" 2> "$folder/log" | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
at_the_end {} no metrics
in_batches {'batched': [1, 2, 3]} no metrics
two_ends {'b': [1, 2, 3, 4]} no metrics
two_parts {'even': [1, 2, 3, 4], 'odd': [1, 2, 3, 4]} no metrics
SEEN
