"""Time and memory of the commands that should answer at once, over an archive without changes.

    python -m benchmarks.unchanged [--files 100000] [--times 3]

The library is made up (`tests.support.made_library`) of tiny files, each with a row of the manifest
that fits it. Each command runs in a process of its own; of several times the least is told, because
whatever else the machine does only adds. The first time brings the list of files into the system's
memory. Linux and macOS.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from photoveil.pipeline.library import manifest, sequence
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.run.planning import new_stamp
from photoveil.pipeline.settings import load_settings
from tests.support.made_library import make_library


class Cost(NamedTuple):
    """Of one process: seconds by the clock and of all cores, and its most memory in MB."""

    clock: float
    cores: float
    memory: float


def main() -> None:
    """Make the library, and print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: what one starts is counted with the memory that it had itself.
        with multiprocessing.get_context("fork").Pool(1) as pool:
            library = pool.apply(make_unchanged, (Path(folder), asked.files))
        state = ("--state", library.state)
        commands: list[Sequence[str]] = [
            ("--help",),
            ("plan", library.source, library.root, *state),
            ("run", library.source, library.root, *state),
            ("status", library.root, *state),
        ]
        print(f"{asked.files:,} unchanged files\n")
        print("| command | seconds | of cores | MB |")
        print("|---|---|---|---|")
        for command in commands:
            costs = [cost(command) for _ in range(asked.times)]
            least = Cost(*map(min, zip(*costs, strict=True)))
            figures = f"{least.clock:.2f} | {least.cores:.2f} | {least.memory:,.0f}"
            print(f"| {command[0]} | {figures} |", flush=True)


def make_unchanged(base: Path, files: int) -> Library:
    """Make a library below `base` in which a plan finds nothing to do."""
    photo = base / "photo.jpg"
    Image.new("RGB", (16, 12)).save(photo)
    copies = [photo.with_name(f"{number}.jpg") for number in range(4)]
    for copy in copies:  # a file has so many links at most
        copy.write_bytes(photo.read_bytes())
        os.utime(copy, (0, 1_000_000_000))
    library = make_library(base, files, copies)
    stamp = new_stamp(load_settings())
    rows = manifest.read(library.manifest).to_pylist()
    for number, row in enumerate(rows):
        if row["output"] is None:  # a file that failed or was left out is there, too
            target = base / "photos" / row["source"]
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(copies[number % len(copies)], target)
        of_run = {
            "settings_hash": stamp.tries_hash if row["output"] is None else stamp.settings_hash,
            "assets_hash": stamp.assets_hash,
            "output_version": stamp.output_version,
            "version": stamp.version,
            "run_id": stamp.run_id,
        }
        size = photo.stat().st_size
        row |= of_run | {"source_size": size, "source_modified": manifest.utc(1_000_000_000)}
        row["output_size"] = None if row["output"] is None else size
    names = sequence.names(library, stamp.run_id)
    manifest.write_part(rows, library.manifest, library.scratch, next(names))
    manifest.compact(library.manifest, library.scratch, next(names))
    return library


def cost(command: Sequence[str]) -> Cost:
    """What one run of a command takes.

    Raises:
        RuntimeError: it failed. Photos that fail are part of the library.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [Path(sys.executable).with_name("photoveil"), *command], stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise RuntimeError(f"photoveil {' '.join(command)} ended with {process.returncode}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / unit)


if __name__ == "__main__":
    main()
