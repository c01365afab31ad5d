"""A run on one machine: the archive in waves, each committed before the next begins."""

from __future__ import annotations

import datetime as dt
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import graph, manifest
from pipeline.library import Library
from pipeline.manifest import RunStamp
from pipeline.plan import Plan, make_plan
from pipeline.runners import run_locally
from pipeline.scans import read_scans
from pipeline.settings import Settings
from transforms import assets, storage
from transforms.cloak.surrogates import SURROGATES
from transforms.discover import PhotoRef, discover
from transforms.duplicates import Published


@dataclass
class Outcome:
    """What a run did.

    statuses: files by manifest status. failed: (source, reason). left_out: reasons and how often.
    faces: cloaked faces. flips: mean FLIP of each. seconds: wall-clock time.
    """

    plan: Plan
    statuses: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    faces: int = 0
    flips: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, rows: pa.Table) -> None:
        """Count the manifest rows of one wave."""
        for row in rows.select(["source", "status", "reason", "faces"]).to_pylist():
            self.statuses[row["status"]] += 1
            self.faces += len(row["faces"])
            self.flips += [face["flip"] for face in row["faces"]]
            if row["status"] == "failed":
                self.failed.append((row["source"], row["reason"]))
            elif row["status"] == "unsupported":
                self.left_out[row["reason"]] += 1


def models(settings: Settings) -> tuple[str, ...]:
    """Names of the assets that a run needs."""
    detector = ["retinaface.pb"] if settings.detector.model == "retinaface" else []
    return tuple(detector + [a for name in settings.cloak.surrogates for a in SURROGATES[name][0]])


def new_stamp(settings: Settings) -> RunStamp:
    """The identity of a run that starts now."""
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    return RunStamp(
        f"{now}-{secrets.token_hex(3)}",
        settings.mode,
        settings.hash,
        assets.assets_hash(models(settings)),
        version("photoveil"),
    )


def plan_run(library: Library, stamp: RunStamp, recloak: bool = False) -> Plan:
    """What `run` would do.

    Raises:
        OSError: the archive or the library cannot be listed.
    """
    return make_plan(
        discover(library.source),
        manifest.read(library.manifest).to_pylist(),
        storage.walk(library.root) if storage.exists(library.root) else (),
        stamp,
        recloak,
    )


def run(
    library: Library,
    plan: Plan,
    settings: Settings,
    stamp: RunStamp,
    progress: Path | None = None,
) -> Outcome:
    """Carry a plan out. The caller holds the library's lock.

    Args:
        progress: file that workers report to; see `pipeline.progress`.

    Raises:
        OSError: the manifest or the state cannot be written. Waves before are safe.
    """
    started = time.monotonic()
    _sweep(library)
    outcome = Outcome(plan)
    published = dict(plan.published)
    for number, refs in enumerate(_waves(plan.todo, settings.run.wave_photos)):
        rows = _run_wave(library, refs, published, settings, stamp, number, progress)
        outcome.add(rows)
        published.update(_published_by(rows, refs))
    if plan.todo:
        manifest.compact(library.manifest, library.scratch, stamp.run_id)
    outcome.seconds = time.monotonic() - started
    return outcome


def _run_wave(
    library: Library,
    refs: Sequence[PhotoRef],
    published: dict[str, Published],
    settings: Settings,
    stamp: RunStamp,
    number: int,
    progress: Path | None,
) -> pa.Table:
    name = f"{stamp.run_id}-{number:06d}"
    scans = library.state / "scans" / name
    scans.mkdir(parents=True)
    wave = graph.Wave(
        library.destination,
        str(scans / "scan"),
        storage.join(library.scratch, name),
        stamp,
        None if progress is None else str(progress),
    )
    _carry_out(partial(graph.scan, refs=list(refs), published=published), settings, wave)
    photos = list(read_scans(scans))
    _carry_out(partial(graph.cloak, photos=photos), settings, wave)
    shutil.rmtree(scans)
    part = f"{wave.manifest}-00000-of-00001.parquet"  # the name that WriteToParquet gave it
    rows = manifest.read_part(part)
    storage.move(part, storage.join(library.manifest, f"{name}.parquet"))
    return rows


def _carry_out(build: Callable[..., None], settings: Settings, wave: graph.Wave) -> None:
    run_locally(partial(build, settings=settings, wave=wave), settings.run)


def _waves(refs: Sequence[PhotoRef], size: int) -> Iterator[Sequence[PhotoRef]]:
    for start in range(0, len(refs), size):
        yield refs[start : start + size]


def _published_by(rows: pa.Table, refs: Sequence[PhotoRef]) -> dict[str, Published]:
    """What later waves can copy from the outputs of this one."""
    relative = {ref.source: ref.relative for ref in refs}
    made = rows.filter(pc.is_in(rows["status"], pa.array(["cloaked", "no_face", "unchanged"])))
    columns = ["source", "source_sha256", "output_sha256", "width", "height"]
    return {
        row["source_sha256"]: _as_published(row, relative)
        for row in made.select(columns).to_pylist()
    }


def _as_published(row: dict[str, Any], relative: dict[str, str]) -> Published:
    source = row["source"]
    return Published(relative[source], row["output_sha256"], source, row["width"], row["height"])


def _sweep(library: Library) -> None:
    """Delete what an interrupted run left behind."""
    shutil.rmtree(library.state / "scans", ignore_errors=True)
    if storage.exists(library.scratch):
        leftovers = [entry.relative for entry in storage.walk(library.scratch)]
        storage.remove([storage.join(library.scratch, name) for name in leftovers])
