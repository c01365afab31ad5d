"""The launcher's memory and time per photo, extrapolated to ten million.

    python -m benchmarks.ten_million [--photos 100000]

This covers all that is not distributed over workers: planning, the manifest, hashes of near
duplicates, people. Each is done on generated records in a separate process, whose memory is
measured (Linux). Seconds and bytes per photo are those of the last half of the records, so that
fixed costs drop out. A second table has the time per photo at a hundredth, a tenth and all of the
records, fixed costs included, to show what grows.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.manifest import RunStamp, utc
from photoveil.pipeline.run.comparison import COLUMNS, make_plan
from photoveil.pipeline.run.plan import WHAT_IS_NEW
from photoveil.transforms.duplicates.perceptual_hash import as_array, near_any
from photoveil.transforms.faces.clustering import cluster
from photoveil.transforms.io.storage import Entry
from photoveil.transforms.records import PhotoRef

_MANY = 10_000_000
_STAMP = RunStamp("run", "mid", "0" * 16, "0" * 16, "0" * 16, 1, "1")
_WAVE = 64  # photos
_PER_PERSON = 20  # faces


def main() -> None:
    """Measure each part on generated records, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=100_000)
    photos = parser.parse_args().photos
    console, table = Console(), Table("", "bytes a photo", "at ten million", "seconds there")
    counts = (photos // 100, photos // 10, photos)
    growth = Table("microseconds a photo", *(f"{count:,}" for count in counts))
    for name, work, power, share in (
        ("plan of a new archive", plan_new, 1, 1.0),
        ("plan where all is done", plan_done, 1, 1.0),
        ("the whole manifest read", read_manifest, 1, 0.5),
        ("waves committed and compacted", commit_waves, 1, 0.5),
        ("hashes, and one wave compared", compare_wave, 1, 1.0),
        ("people found, one face a photo", find_people, 2, 0.2),
    ):
        shares = [int(count * share) for count in counts]
        growth.add_row(name, *(f"{1e6 * _apart(work, one)[1] / one:,.0f}" for one in shares))
        count = int(photos * share)
        (half_bytes, half), (all_bytes, whole) = (_apart(work, n) for n in (count // 2, count))
        each = max(0.0, (all_bytes - half_bytes) / (count - count // 2))
        if power == 2:
            seconds = (whole - half) / (0.75 * count**2) * _MANY**2
        else:
            seconds = (whole - half) / (count - count // 2) * _MANY
        table.add_row(name, f"{each:,.0f}", f"{each * _MANY / 1e9:,.1f} GB", f"{seconds:,.0f} s")
    console.print(table)
    console.print(growth)


def plan_new(count: int) -> Any:
    """Plan a new archive of so many photos."""
    rows = manifest.SCHEMA.empty_table()
    return make_plan(_refs(count), rows, [], _STAMP, WHAT_IS_NEW, lambda refs: {})


def plan_done(count: int) -> Any:
    """Plan an archive whose photos are all done."""
    refs = _refs(count)
    entries = [Entry(ref.relative, ref.size, ref.mtime) for ref in refs]
    with tempfile.TemporaryDirectory() as folder:
        _write_manifest(count, folder)
        _started()
        rows = manifest.read(folder, COLUMNS)
    return make_plan(refs, rows, entries, _STAMP, WHAT_IS_NEW, lambda refs: {})


def read_manifest(count: int) -> Any:
    """Read the whole manifest of so many photos."""
    with tempfile.TemporaryDirectory() as folder:
        _write_manifest(count, folder)
        _started()
        return manifest.read(folder)


def commit_waves(count: int) -> Any:
    """Write the rows of so many photos as those of waves, and put them into one part."""
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, count, _WAVE):
            rows = list(map(_row, _refs(min(_WAVE, count - start), start)))
            manifest.write_part(rows, folder, f"{folder}-new", f"p{start + 1:09}-run")
        manifest.abandoned(folder)
        manifest.compact(folder, f"{folder}-new", f"p{count + 1:09}-run")
    shutil.rmtree(f"{folder}-new")
    return None


def compare_wave(count: int) -> Any:
    """Compare the hashes of one wave with those of so many photos."""
    rng = np.random.default_rng(0)
    known = {
        f"2019/07/IMG_{n:09}.jpg": value.tobytes() for n, value in enumerate(_hashes(rng, count))
    }
    _started()
    return known, near_any(_hashes(rng, _WAVE), as_array(list(known.values())), 15)


def find_people(count: int) -> Any:
    """Cluster so many faces."""
    rng = np.random.default_rng(0)
    people = rng.standard_normal((count // _PER_PERSON, 192), np.float32)
    faces = np.repeat(people, _PER_PERSON, 0)
    faces += 0.6 * rng.standard_normal(faces.shape, np.float32)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    _started()
    return cluster(faces)


def _write_manifest(count: int, folder: str) -> None:
    child = os.fork()  # so that writing leaves no memory behind
    if child == 0:
        for start in range(0, count, 10_000):
            refs = _refs(min(10_000, count - start), start)
            manifest.write_part(list(map(_row, refs)), folder, f"{folder}/new", f"{start:09}")
        os._exit(0)
    os.waitpid(child, 0)


def _refs(count: int, start: int = 0) -> list[PhotoRef]:
    return [
        PhotoRef("/photos", f"2019/07/IMG_{n:09}.jpg", 2_000_000 + n, 1.5e9 + n)
        for n in range(start, start + count)
    ]


def _row(ref: PhotoRef) -> dict[str, Any]:
    face = {
        "box": dict.fromkeys(("left", "top", "right", "bottom"), 1.0),
        "landmarks": [{"x": 1.0, "y": 1.0}] * 5,
        **dict.fromkeys(("detector_score", "dssim", "flip", "delta_e"), 0.1),
        "steps": 24,
        "cosine_shift": [{"surrogate": name, "shift": 0.5} for name in ("one", "two", "three")],
    }
    digest = f"{ref.size:064x}"
    return {
        **dict.fromkeys(manifest.SCHEMA.names),
        **{"source": ref.source, "output": ref.source, "status": "cloaked", "retry": False},
        **{"source_sha256": digest, "output_sha256": digest, "pdq": digest},
        **{"source_size": ref.size, "output_size": ref.size, "source_modified": utc(ref.mtime)},
        **{"format": "JPEG", "width": 4000, "height": 3000, "faces": [face], "notes": []},
        **{"mode": _STAMP.mode, "settings_hash": _STAMP.settings_hash},
        **{"assets_hash": _STAMP.assets_hash, "output_version": _STAMP.output_version},
        **{"version": _STAMP.version, "run_id": "run"},
    }


def _hashes(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 256, (count, 32), np.uint8)


_begun = [0.0]


def _started() -> None:
    """Begin to measure; what comes before does not count."""
    _begun[0] = time.process_time()


def _apart(work: Callable[[int], Any], count: int) -> tuple[float, float]:
    """Measure the most bytes and the processor seconds of `work(count)` in a separate process."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_measured, (work, count))


def _measured(work: Callable[[int], Any], count: int) -> tuple[float, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    _started()
    work(count)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return most - pages * resource.getpagesize(), time.process_time() - _begun[0]


if __name__ == "__main__":
    main()
