"""Photos per second with one worker and with two, stage by stage, and what that predicts.

    python -m benchmarks.scale [--photos 60] [--side 640] [--mode mid]

Makes a small archive and a larger one and cloaks each with one worker and with two, on as many
cores. The cost of a photo is the difference between the larger and the smaller run, so loading and
compiling models cancel out. The model fitted to it is Amdahl's (1967):

    seconds a photo = launcher + work / cores

The launcher is what the command's own process spends on a photo while two workers do the work:
planning, tables, people, and what Beam hands from worker to worker. No worker shares it. All else
that one worker spends is work: the stages of `stage_metrics`, and Beam around them. The start of
two (processes, TensorFlow, models, compiling) is taken from a small run with two; with that the
model predicts the large run with two, which is what it is checked against.

Other jobs slow all parts of a run alike, so processor seconds are divided in proportion to clock
time. On an idle machine the two are the same. Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from photoveil.transforms.beam.stage_metrics import STAGES
from tests.support.make_archive import make_archive
from tests.support.processes import descendants, processor_seconds

_ON_GPU = ("detect", "embed", "cloak", "measure")
_ARCHIVES = 10_000, 100_000, 10_000_000  # photos


@dataclass(frozen=True)
class Run:
    """What a run did.

    photos: that it did.
    clock, processor: in seconds.
    launcher: processor seconds of the command's own process.
    stages: seconds by stage, of all workers.
    fill: of the optimiser's batches, 0..1.
    """

    photos: int
    clock: float
    processor: float
    launcher: float
    stages: Mapping[str, float]
    fill: float


@dataclass(frozen=True)
class Cost:
    """Processor seconds of one photo.

    stages: by stage.
    beam: of workers, outside of the stages.
    launcher: of the launcher.
    start: of a whole run, before its first photo.
    """

    stages: Mapping[str, float]
    beam: float
    launcher: float
    start: float

    def seconds(self, cores: float, gpu: float = 0) -> float:
        """Predict the seconds of a photo.

        Args:
            cores: that share the work.
            gpu: as how many cores a GPU counts for the stages that run a model; 0 without one.
        """
        on_gpu = sum(self.stages[stage] for stage in _ON_GPU) if gpu else 0.0
        rest = sum(self.stages.values()) + self.beam - on_gpu
        return self.launcher + rest / cores + (on_gpu / gpu if gpu else 0.0)


@dataclass(frozen=True)
class Machines:
    """What an archive may be cloaked on.

    cores: of all machines together.
    gpu: as how many cores their GPUs count; 0 without one.
    price: US dollars an hour for all of them; 0 for one's own.
    """

    name: str
    cores: int
    gpu: float
    price: float

    def needs(self, photos: int, cost: Cost) -> tuple[float, float]:
        """Predict hours and dollars for so many photos."""
        hours = (cost.start + photos * cost.seconds(self.cores, self.gpu)) / 3600
        return hours, hours * self.price


def fit(small: Run, large: Run, small_two: Run, two: Run) -> Cost:
    """Fit the cost of a photo to two runs with one worker, and the launcher's to two with two."""
    photos = large.photos - small.photos
    clock = large.clock - small.clock
    processor = (large.processor - small.processor) / photos
    share = {stage: (large.stages[stage] - small.stages[stage]) / clock for stage in STAGES}
    stages = {stage: processor * max(0.0, part) for stage, part in share.items()}
    launcher = max(0.0, two.launcher - small_two.launcher) / (two.photos - small_two.photos)
    beam = max(0.0, processor - sum(stages.values()) - launcher)
    return Cost(stages, beam, launcher, max(0.0, small.processor - small.photos * processor))


def main() -> None:
    """Measure runs with one and two workers, fit the model, and print what it predicts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--side", type=int, default=640, help="long side of most photos, pixels")
    parser.add_argument("--mode", default="mid")
    parser.add_argument("--gpu", type=float, default=30, help="cores that a GPU is worth: assumed")
    parser.add_argument("--core-hour", type=float, default=0.05, help="price of a rented core, $")
    parser.add_argument("--gpu-hour", type=float, default=0.5, help="price of a rented GPU, $")
    # Dataflow's batch worker: $0.056 a virtual core and 4 GB at $0.003557.
    parser.add_argument("--service-hour", type=float, default=0.07, help="of a core of Dataflow, $")
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        # Apart, since the first photos of an archive are not like the rest.
        make_archive(base / "small", max(4, arguments.photos // 5), 1, arguments.side)
        make_archive(base / "large", arguments.photos, 0, arguments.side)
        small = _run(base, "small", 1, arguments.mode, console)
        one = _run(base, "large", 1, arguments.mode, console)
        small_two = _run(base, "small", 2, arguments.mode, console)
        two = _run(base, "large", 2, arguments.mode, console)
    cost = fit(small, one, small_two, two)
    table = Table("processor seconds a photo", "one worker", "share")
    total = cost.launcher + cost.beam + sum(cost.stages.values())
    rest = {"workers, outside of the stages": cost.beam, "launcher": cost.launcher}
    for name, spent in {**cost.stages, **rest}.items():
        table.add_row(STAGES.get(name, name), f"{spent:.3f}", f"{spent / total:.0%}")
    console.print(table)
    table = Table("workers", "photos/s", "clock", "processor", "of it in stages", "batch fill")
    for workers, run in ((1, one), (2, two)):
        figures = f"{run.photos / run.clock:.2f}", f"{run.clock:.0f} s", f"{run.processor:.0f} s"
        table.add_row(
            f"{workers}", *figures, f"{sum(run.stages.values()):.0f} s", f"{run.fill:.2f}"
        )
    console.print(table)
    table = Table("hours and dollars", *(f"{photos:,} photos" for photos in _ARCHIVES))
    for machines in (
        Machines("laptop, 8 cores", 8, 0, 0),
        Machines(
            "8 cores and a GPU", 8, arguments.gpu, 8 * arguments.core_hour + arguments.gpu_hour
        ),
        Machines("Dask, 16 nodes of 8 cores", 128, 0, 128 * arguments.core_hour),
        Machines("Dataflow, 400 cores", 400, 0, 400 * arguments.service_hour),
    ):
        needs = (machines.needs(photos, cost) for photos in _ARCHIVES)
        table.add_row(
            f"{machines.name}: {cost.seconds(machines.cores, machines.gpu):.3f} s a photo",
            *(
                f"{hours:,.1f} h" + (f", ${dollars:,.0f}" if dollars else "")
                for hours, dollars in needs
            ),
        )
    console.print(table)
    start = small_two.processor - small_two.photos * total
    more = two.photos - small_two.photos
    console.print(
        f"Start of a run: {cost.start:.0f} s of a processor, {start:.0f} s with two workers. With "
        f"these two workers were to take {start + two.photos * total:.0f} s of processors and, on "
        f"idle cores, {small_two.clock + more * cost.seconds(2):.0f} s of the clock; they took "
        f"{two.processor:.0f} s and {two.clock:.0f} s.",
        highlight=False,
    )


def _run(base: Path, archive: str, workers: int, mode: str, console: Console) -> Run:
    out, config = base / f"{archive}-{workers}", base / f"{workers}.yaml"
    config.write_text(yaml.safe_dump({"run": {"workers": workers}}))
    started = time.monotonic()
    words = [
        *(Path(sys.executable).with_name("photoveil"), "run", base / archive, out),
        *("--state", base / f"{out.name} state", "--config", config, "--mode", mode),
    ]
    one_core = {
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }
    with open(base / "log", "w+b") as log:
        command = [str(word) for word in words]
        run = subprocess.Popen(
            command,
            env=os.environ | one_core,
            stdout=log,
            stderr=log,
            preexec_fn=partial(os.sched_setaffinity, 0, range(workers)),
        )
        spent: dict[int, float] = {}
        while run.poll() is None:
            time.sleep(0.2)
            for process in (run.pid, *descendants(run.pid)):
                spent[process] = processor_seconds(process) or spent.get(process, 0.0)
        if run.returncode not in (0, 3):  # the archive has damaged files in it
            raise SystemExit((base / "log").read_text())
    (record,) = (json.loads(path.read_text()) for path in (out / "_photoveil/runs").iterdir())
    work = record["work"]
    found = Run(
        work["photos"],
        time.monotonic() - started,
        sum(spent.values()),
        spent[run.pid],
        work["seconds"],
        work["batch_fill"],
    )
    console.print(f"{found.photos} photos, workers: {workers}. {found}", highlight=False)
    return found


if __name__ == "__main__":
    main()
