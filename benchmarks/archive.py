"""Whole runs on generated archives: time, memory, the first photo, and later runs.

    python -m benchmarks.archive --photos 500 1000 10000 [--side 640] [--out archive-figures]

Makes each archive, cloaks it, runs again on it unchanged, and verifies it. Everything is done by
the `photoveil` command in a separate process, with the cheapest cloak (2 steps, one surrogate) and
one level of detection, so that the pipeline around them is measured. Beside the table on the screen
it writes `figures.csv`, `samples.csv` (seconds and resident memory over the photos done) and plots
of both, `pace.png` and `memory.png`. It rewrites them after each archive, so that a benchmark of
several hours has results early. Linux.
"""

from __future__ import annotations

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.plot import line_plot
from tests.support.make_archive import make_archive

_QUICK = """
cloak: {steps: 2, batch_size: 8, surrogates: [mobilefacenet]}
detector: {long_sides: [256], smallest_face: 100}
"""
_SPAN = 500  # photos, of which the peak is told
_WARM = 0.1  # share of a run after which its memory should no longer grow


class Sample(NamedTuple):
    """A moment of a run: seconds since it began, photos done until then, memory in MB."""

    seconds: float
    done: int
    memory: float


@dataclass
class Figures:
    """Figures of one archive; times in seconds, memory in MB.

    cores: of all processors, of the run. first: until the first output was in its place.
    growth: from the median of the second tenth of the photos to that of the last.
    """

    photos: int
    run: float = 0.0
    cores: float = 0.0
    first: float = float("inf")
    peak: float = 0.0
    growth: float = 0.0
    second_run: float = 0.0
    verify: float = 0.0
    samples: list[Sample] = field(default_factory=list)


def main() -> None:
    """Measure archives of several sizes; write and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[500, 1000])
    parser.add_argument("--side", type=int, default=640, help="long side of most photos, pixels")
    parser.add_argument("--out", type=Path, default=Path("archive-figures"))
    arguments = parser.parse_args()
    console = Console()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: list[Figures] = []
    for photos in arguments.photos:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(Path(folder), photos, arguments.side, console))
        write(found, arguments.out)
    console.print(_table(found))
    console.print(f"Figures, samples and plots: {arguments.out}", highlight=False)


def measure(base: Path, photos: int, side: int, console: Console) -> Figures:
    """Make an archive below `base`, and measure everything with it."""
    console.print(f"{photos:,} photos: making the archive", highlight=False)
    make_archive(base / "in", photos, side=side)
    (base / "quick.yaml").write_text(_QUICK)
    figures = Figures(photos)
    run = ["run", base / "in", base / "out", "--config", base / "quick.yaml"]
    before = _of_cores()
    figures.run = _watch(run, base, figures, console)
    figures.cores = _of_cores() - before
    figures.peak = max(sample.memory for sample in figures.samples)
    figures.growth = _growth(figures)
    figures.second_run = _watch(run, base)
    figures.verify = _watch(["verify", base / "out"], base)
    return figures


def _watch(
    command: Sequence[object],
    base: Path,
    figures: Figures | None = None,
    console: Console | None = None,
) -> float:
    """Measure the seconds that a command takes.

    Args:
        command: of `photoveil`, with its arguments.
        base: folder of the measurement.
        figures: gets samples of the run.
        console: for progress.

    Raises:
        RuntimeError: the command failed.
    """
    words = [Path(sys.executable).with_name("photoveil"), *command, "--state", base / "state"]
    started = time.monotonic()
    with open(base / "said.txt", "w") as said:
        process = subprocess.Popen([str(word) for word in words], stdout=said, stderr=said)
        told = 0
        while process.poll() is None:
            time.sleep(0.5)
            if figures is None or console is None:
                continue
            if figures.first == float("inf") and any((base / "out").rglob("*.jpg")):
                figures.first = time.monotonic() - started
            before = figures.samples[-1].done if figures.samples else 0
            done = max(_done(base / "state/progress"), before)
            memory = _megabytes(process.pid)
            if memory:
                figures.samples.append(Sample(time.monotonic() - started, done, memory))
            if done >= told + _SPAN:
                told += _SPAN
                since = [one.memory for one in figures.samples if one.done >= told - _SPAN]
                console.print(
                    f"{told:,} done in {time.monotonic() - started:,.0f} s, memory at most "
                    f"{max(since):,.0f} MB since the last {_SPAN}",
                    highlight=False,
                )
    if process.returncode not in (0, 3):  # the archive has damaged files in it
        raise RuntimeError((base / "said.txt").read_text())
    return time.monotonic() - started


def _of_cores() -> float:
    """Seconds of all processors that processes have used which this one started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _growth(figures: Figures) -> float:
    """Compute the growth of memory in MB, from medians, so that no single sample decides."""

    def median(first: float, last: float) -> float:
        most = figures.samples[-1].done
        span = [one.memory for one in figures.samples if first * most <= one.done <= last * most]
        return sorted(span)[len(span) // 2]

    return median(1 - _WARM, 1) - median(_WARM, 2 * _WARM)


def _pace(figures: Figures) -> list[tuple[float, float]]:
    """Compute milliseconds a photo for each tenth of the run's photos.

    Returns:
        (photos done, milliseconds).
    """
    marks = [figures.samples[0]]
    for sample in figures.samples:
        if sample.done - marks[-1].done >= figures.photos / 10:
            marks.append(sample)
    return [
        (last.done, 1000 * (last.seconds - first.seconds) / (last.done - first.done))
        for first, last in pairwise(marks)
    ]


def _done(progress: Path) -> int:
    """Read how many photos the run has published; 0 before it begins and once it has ended."""
    if not progress.exists():
        return 0
    lines = (line.split() for line in progress.read_text().splitlines())
    return sum(int(words[1]) for words in lines if len(words) == 2 and words[0] == "published")


def _megabytes(process: int) -> float:
    """Read the resident memory in MB from Linux's /proc; 0 once the process has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def write(found: Iterable[Figures], folder: Path) -> None:
    """Write the two tables and the two plots."""
    found = list(found)
    names = [one.name for one in fields(Figures) if one.name != "samples"]
    with open(folder / "figures.csv", "w", newline="") as stream:
        rows = ([asdict(figures)[name] for name in names] for figures in found)
        csv.writer(stream).writerows([names, *rows])
    with open(folder / "samples.csv", "w", newline="") as stream:
        samples = [(figures.photos, *sample) for figures in found for sample in figures.samples]
        csv.writer(stream).writerows([("photos", "seconds", "done", "megabytes"), *samples])
    memory, pace = {}, {}
    for figures in found:
        name = f"{figures.photos:,} photos"
        memory[name] = [(sample.done, sample.memory) for sample in figures.samples]
        pace[name] = _pace(figures)
    line_plot(memory, "photos done", "memory, MB").save(folder / "memory.png")
    line_plot(pace, "photos done", "ms a photo").save(folder / "pace.png")


def _table(found: Iterable[Figures]) -> Table:
    table = Table(
        "photos", "run", "of cores", "first photo", "peak", "growth", "second run", "verify"
    )
    for one in found:
        times = (f"{one.run:,.0f} s", f"{one.cores:,.0f} s", f"{one.first:.0f} s")
        memory = (f"{one.peak:,.0f} MB", f"{one.growth:+,.0f} MB")
        again = (f"{one.second_run:,.1f} s", f"{one.verify:,.1f} s")
        table.add_row(f"{one.photos:,}", *times, *memory, *again)
    return table


if __name__ == "__main__":
    main()
