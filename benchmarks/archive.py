"""Whole runs on generated archives: time, memory, the first photo, and the run after that.

    python -m benchmarks.archive --photos 500 1000 [--side 640] [--csv memory.csv]

Everything is done by the `photoveil` command in a process of its own, with the cheapest cloak
(2 steps, one surrogate) and one level of detection, so that what is measured is the pipeline
around them. The CSV has the memory of the process over the photos done, to be plotted.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.make_archive import make_archive

_QUICK = """
cloak: {steps: 2, batch_size: 8, surrogates: [mobilefacenet]}
detector: {long_sides: [256]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[500, 1000])
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    console = Console()
    samples = []
    for photos in arguments.photos:
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            make_archive(base / "in", photos, side=arguments.side)
            (base / "quick.yaml").write_text(_QUICK)
            seconds, first, memory = _run(base)
            again, _, _ = _run(base)
            console.print(
                f"{photos:,} photos: {seconds:.0f} s, first cloaked photo after {first:.0f} s, "
                f"peak memory {max(mb for _, mb in memory):,.0f} MB; second run {again:.1f} s"
            )
            samples += [(photos, done, mb) for done, mb in memory]
    if arguments.csv:
        with open(arguments.csv, "w", newline="") as stream:
            csv.writer(stream).writerows([("photos", "done", "megabytes"), *samples])


def _run(base: Path) -> tuple[float, float, list[tuple[int, float]]]:
    """Seconds in all, seconds to the first output, and (photos done, MB) as the run went on."""
    command = [
        *(Path(sys.executable).with_name("photoveil"), "run", base / "in", base / "out"),
        *("--state", base / "state", "--config", base / "quick.yaml"),
    ]
    started = time.monotonic()
    run = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    first, memory = float("inf"), [(0, 0.0)]
    while run.poll() is None:
        time.sleep(0.5)
        if first == float("inf") and any((base / "out").rglob("*.jpg")):
            first = time.monotonic() - started
        memory.append((_done(base / "state/progress"), _megabytes(run.pid)))
    return time.monotonic() - started, first, memory


def _done(progress: Path) -> int:
    if not progress.exists():
        return 0
    lines = (line.split() for line in progress.read_text().splitlines())
    return sum(int(words[1]) for words in lines if words[:1] == ["published"])


def _megabytes(process: int) -> float:
    """Resident memory, from Linux's /proc."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


if __name__ == "__main__":
    main()
