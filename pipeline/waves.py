"""A run on one machine: the archive in waves, each committed before the next begins."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import hashlib
import itertools
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from apache_beam.runners.runner import PipelineResult

from pipeline import graph, history, manifest, scans, upkeep
from pipeline.ahead import Ahead
from pipeline.ahead import sources as scanned_sources
from pipeline.cloak_memory import CHANGES
from pipeline.library import Library
from pipeline.likes import Likes
from pipeline.manifest import RunStamp
from pipeline.people import People
from pipeline.plan import COLUMNS, Plan, make_plan
from pipeline.progress import tick
from pipeline.runners import run_pipeline
from pipeline.scans import read_scans
from pipeline.settings import RunSettings, Settings
from pipeline.work import Work
from transforms import assets, storage, tables
from transforms.apart import ReadLimits
from transforms.cloak.surrogates import SURROGATES, WHO
from transforms.discover import PhotoRef, discover
from transforms.duplicates import ContentGroup
from transforms.faces.identity import Change
from transforms.fingerprint import fingerprint
from transforms.near_duplicates import Hashed
from transforms.publish import NO_SPACE

_READERS = 8  # files hashed at once while planning: disks and networks like a queue


@dataclass
class Outcome:
    """What a run did.

    statuses: files by manifest status. moved: files that have a new name, their output with them.
    pruned: files whose outputs were deleted.
    failed: (source, reason). left_out: reasons and how often. faces: cloaked faces. flips: mean
    FLIP of each. near: near duplicates among them. people: who merged or split, of those known
    before. seconds: wall-clock time. stopped: why before all was done, if so. work: of the workers.
    """

    plan: Plan
    statuses: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    pruned: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    faces: int = 0
    flips: list[float] = field(default_factory=list)
    near: int = 0
    people: Change = field(default_factory=Change)
    seconds: float = 0.0
    stopped: str | None = None
    work: Work = field(default_factory=Work)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count the manifest rows of one wave."""
        for row in rows:
            self.statuses[row["status"]] += 1
            if row["status"] == "cloaked":
                self.faces += len(row["faces"])
                self.near += row["distance"] is not None
                self.flips += [face["flip"] for face in row["faces"]]
            elif row["status"] == "failed":
                self.failed.append((row["source"], row["reason"]))
            elif row["status"] == "unsupported":
                self.left_out[row["reason"]] += 1


@dataclass
class Scan:
    """What a scan ahead of a run did.

    files: exact duplicates included. faces: that were found. people: who merged or split.
    seconds: wall-clock time. stopped: why before all was done, if so.
    """

    files: int = 0
    faces: int = 0
    people: Change = field(default_factory=Change)
    seconds: float = 0.0
    stopped: str | None = None


def models(settings: Settings) -> tuple[str, ...]:
    """Names of the assets that a run needs."""
    detector = ["retinaface.pb"] if settings.detector.model == "retinaface" else []
    surrogates = dict.fromkeys((*settings.cloak.recognisers, WHO))
    return tuple(detector + [asset for name in surrogates for asset in SURROGATES[name][0]])


def new_stamp(settings: Settings) -> RunStamp:
    """The identity of a run that starts now."""
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%fZ")
    return RunStamp(
        f"{now}-{secrets.token_hex(3)}",
        settings.mode,
        settings.hash,
        settings.tries_hash,
        assets.assets_hash(models(settings)),
        version("photoveil"),
    )


def plan_run(
    library: Library,
    settings: Settings,
    stamp: RunStamp,
    recloak: bool = False,
    since: float | None = None,
) -> Plan:
    """What `run` would do; the arguments are those of `make_plan`.

    Raises:
        OSError: the archive or the library cannot be listed.
    """
    return make_plan(
        discover(library.source),
        manifest.read(library.manifest, COLUMNS).to_pylist(),
        storage.walk(library.root) if storage.exists(library.root) else (),
        stamp,
        recloak,
        partial(_hash_files, limits=settings.limits),
        since,
    )


def plan_scan(
    library: Library, settings: Settings, stamp: RunStamp, since: float | None = None
) -> list[ContentGroup]:
    """The photos that a run would cloak and whose faces are not known yet.

    Raises:
        OSError: the archive or the library cannot be listed.
    """
    ahead = Ahead(library.state, settings, stamp)
    todo = plan_run(library, settings, stamp, since=since).todo
    return [group for group in todo if ahead.find(group.ref) is None]


def scan(
    library: Library,
    groups: Sequence[ContentGroup],
    settings: Settings,
    stamp: RunStamp,
    progress: Path | None = None,
    stop: Callable[[], str | None] = lambda: None,
) -> Scan:
    """Find the faces and people in photos that no run has done; a run will not look again.

    The arguments and errors are those of `run`. What a scan that was killed had found is kept.
    """
    started = time.monotonic()
    ahead, people, outcome = Ahead(library.state, settings, stamp), People(library.state), Scan()
    if not tables.parts(library.manifest):  # the library is there, and holds nothing
        manifest.write_part([], library.manifest, library.scratch, stamp.run_id)
    for number, some in enumerate(_in_waves(groups, settings.run.wave_photos)):
        outcome.stopped = stop()
        if outcome.stopped:
            break
        name = f"{stamp.run_id}-{number:06d}"
        folder = storage.join(library.state, f"waves/{name}")
        wave = _wave(library, folder, name, stamp, progress)
        _run(partial(graph.scan, groups=some), settings, wave, library)
        found = list(read_scans(wave.scans))
        people.add(found, name)
        ahead.add(tables.gathered(wave.scans, scans.SCHEMA), name)
        storage.remove_folder(folder)
        outcome.files += sum(1 + len(photo.copies) for photo in found)
        outcome.faces += sum(len(photo.faces) for photo in found)
    outcome.people = _settle(people, library)
    outcome.seconds = time.monotonic() - started
    return outcome


def run(
    library: Library,
    plan: Plan,
    settings: Settings,
    stamp: RunStamp,
    progress: Path | None = None,
    prune: bool = False,
    stop: Callable[[], str | None] = lambda: None,
) -> Outcome:
    """Carry a plan out. The caller holds the library's lock.

    Args:
        progress: file that workers report to; see `pipeline.progress`.
        prune: delete the outputs of sources that are gone.
        stop: asked before each wave; a reason ends the run there.

    Raises:
        LibraryError: `prune` on an archive of which nothing is there.
        OSError: the disk is full, or the manifest or the state cannot be written. What was done
            before is safe.
    """
    started = time.monotonic()
    begun = time.time()
    outcome = Outcome(plan)
    changes = bool(
        (plan.refs or plan.newly_gone or plan.back or plan.dropped or (prune and plan.gone))
        or not manifest.is_compact(library.manifest)  # a run was killed at its end
    )
    people = People(library.state)
    named = set(people.known().values())  # whom the user may have met in `photoveil people`
    _sweep(library)
    if changes:
        history.record(library, stamp, begun)
    try:
        _carry_out_plan(library, people, named, outcome, settings, stamp, progress, prune, stop)
    except BaseException as error:
        with contextlib.suppress(OSError):
            why = str(error) or type(error).__name__
            work = outcome.work.record(settings.cloak.batch_size)
            history.record(
                *(library, stamp, begun, time.time(), outcome.statuses), stopped=why, work=work
            )
        raise
    if changes:
        ahead = Ahead(library.state, settings, stamp)
        ahead.drop(set(manifest.read(library.manifest, ["source"])["source"].to_pylist()))
        outcome.people = outcome.people.then(_settle(people, library), named)
    outcome.seconds = time.monotonic() - started
    if changes:
        upkeep.sweep(library)
        manifest.compact(library.manifest, library.scratch, stamp.run_id)
        history.record(
            *(library, stamp, begun, time.time(), outcome.statuses, outcome.seconds),
            stopped=outcome.stopped,
            work=outcome.work.record(settings.cloak.batch_size),
        )
    return outcome


def _carry_out_plan(
    library: Library,
    people: People,
    named: Collection[str],
    outcome: Outcome,
    settings: Settings,
    stamp: RunStamp,
    progress: Path | None,
    prune: bool,
    stop: Callable[[], str | None],
) -> None:
    plan = outcome.plan
    names = (f"{stamp.run_id}-{number:06d}" for number in itertools.count())
    for placed in upkeep.settle(library, plan, settings.run.duplicates, prune, names):
        outcome.add(row for row in placed if row["status"] in ("duplicate", "failed"))
    outcome.moved = plan.moved
    outcome.pruned = len(plan.gone) if prune else 0
    likes = Likes(library, settings)
    ahead = Ahead(library.state, settings, stamp)
    done = set(manifest.read(library.manifest, ["source"])["source"].to_pylist())
    for groups in _waves(plan.todo, settings.run, done):
        outcome.stopped = stop()
        if outcome.stopped:
            return
        if people.due(len(done)):
            outcome.people = outcome.people.then(_settle(people, library), named)
        rows = _run_wave(
            library,
            groups,
            ahead,
            likes,
            people,
            settings,
            stamp,
            next(names),
            progress,
            outcome.work,
        )
        outcome.add(rows)
        done.update(row["source"] for row in rows)
        if any(row["reason"] == NO_SPACE for row in rows):
            raise _full(library)


def _run_wave(
    library: Library,
    groups: Sequence[ContentGroup],
    ahead: Ahead,
    likes: Likes,
    people: People,
    settings: Settings,
    stamp: RunStamp,
    name: str,
    progress: Path | None,
    work: Work,
) -> list[dict[str, Any]]:
    waves = storage.join(library.state, "waves")
    folder = storage.join(waves, _wave_name(groups, stamp))
    wave = _wave(library, folder, name, stamp, progress)
    found, rest = ahead.take(groups)
    if rest and tables.is_whole(wave.scans):  # from a run that was killed
        with contextlib.suppress(tables.DamagedTable):
            found += read_scans(wave.scans)
            rest = []
    for photo in found:
        tick(photo, "found", wave.progress, len(photo.faces))
        tick(photo, "scanned", wave.progress, 1 + len(photo.copies))
    if rest:
        work.add(_run(partial(graph.scan, groups=rest), settings, wave, library))
        found += read_scans(wave.scans)
    found.sort(key=lambda photo: os.fsencode(photo.ref.relative))

    def find(hashes: list[Hashed]) -> str:
        work.add(_run(partial(graph.alike, photos=hashes), settings, wave, library))
        return wave.pairs

    people.add(found, name, _engine(settings, stamp))
    photos = likes.mirrored(people.without_spared(found, settings.people), find)
    build = partial(graph.cloak, photos=people.with_known(photos))
    work.add(_run(build, settings, wave, library))
    people.keep_cloaks(tables.gathered(wave.changes, CHANGES), name)
    rows = tables.gathered(wave.manifest, manifest.SCHEMA)
    tables.write(rows, storage.join(library.manifest, f"{name}.parquet"), library.scratch)
    storage.remove_folder(wave.manifest)
    storage.remove_folder(waves)  # this one, and what was left of others that will not be resumed
    columns = ["source", "status", "reason", "distance", "faces"]
    return rows.select(columns).to_pylist()


def _wave(
    library: Library, folder: str, name: str, stamp: RunStamp, progress: Path | None
) -> graph.Wave:
    """The places of a wave whose private folder is `folder`."""
    return graph.Wave(
        library.destination,
        storage.join(folder, "handed"),
        storage.join(folder, "scan"),
        storage.join(folder, "pairs"),
        storage.join(folder, "cloaks"),
        storage.join(folder, "changes"),
        storage.join(library.scratch, name),
        stamp,
        None if progress is None else str(progress),
    )


def _settle(people: People, library: Library) -> Change:
    """Over the photos of the library, and those scanned ahead."""
    done = manifest.read(library.manifest, ["source_sha256"])["source_sha256"]
    photos = {*done.drop_null().to_pylist(), *scanned_sources(library.state)}
    return people.settle(photos, len(done))


def _wave_name(groups: Sequence[ContentGroup], stamp: RunStamp) -> str:
    """Of the private folder of a wave; one that was interrupted finds its own again."""
    content = repr((stamp.tries_hash, stamp.assets_hash, stamp.version, *groups)).encode()
    return hashlib.sha256(content).hexdigest()[:32]


def _engine(settings: Settings, stamp: RunStamp) -> str:
    """Of what the cloak of a face hangs on, beside the face and the person."""
    cloak = replace(settings.cloak, batch_size=1)  # which changes nothing
    decisive = repr((cloak, stamp.assets_hash, stamp.version))
    return hashlib.sha256(decisive.encode()).hexdigest()[:16]


def _run(
    build: Callable[..., None], settings: Settings, wave: graph.Wave, library: Library
) -> PipelineResult:
    try:
        return run_pipeline(partial(build, settings=settings, wave=wave), settings.run)
    except RuntimeError as error:  # Beam hands errors of its workers over as text
        if f"[Errno {errno.ENOSPC}]" in str(error) or f"[Errno {errno.EDQUOT}]" in str(error):
            raise _full(library) from error
        raise


def _full(library: Library) -> OSError:
    return OSError(
        f"no space left on the disk of {library.root}. What is done is kept; make room and run "
        "the same command again"
    )


def _waves(
    groups: Sequence[ContentGroup], settings: RunSettings, done: Collection[str]
) -> Iterator[Sequence[ContentGroup]]:
    """The photos in waves: small ones first, so that a new library soon shows something.

    Args:
        done: sources in the manifest; it grows while waves are taken. That alone decides the size
            of the next one, so a run that was killed goes on with the same waves.
    """
    start = 0
    while start < len(groups):
        size = min(settings.wave_photos, max(settings.first_wave, len(done)))
        yield groups[start : start + size]
        start += size


def _in_waves(groups: Sequence[ContentGroup], most: int) -> Iterator[list[ContentGroup]]:
    for start in range(0, len(groups), most):
        yield list(groups[start : start + most])


def _hash_files(refs: Sequence[PhotoRef], limits: ReadLimits) -> dict[PhotoRef, str]:
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(partial(fingerprint, limits=limits), refs)
        return {photo.ref: photo.sha256 for photo in found if photo.sha256 is not None}


def _sweep(library: Library) -> None:
    """Delete the unfinished files that an interrupted run left behind."""
    if storage.exists(library.scratch):
        leftovers = [entry.relative for entry in storage.walk(library.scratch)]
        storage.remove([storage.join(library.scratch, name) for name in leftovers])
