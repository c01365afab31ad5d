"""A run on one machine: the archive in waves, each committed before the next begins."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from apache_beam.runners.runner import PipelineResult

from photoveil.pipeline.graph import pipelines
from photoveil.pipeline.graph.paths import WavePaths
from photoveil.pipeline.graph.pipelines import find_near_duplicates
from photoveil.pipeline.library import manifest, run_history, sequence, trash
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.library.manifest import RunStamp
from photoveil.pipeline.library.run_history import Record
from photoveil.pipeline.run import reconcile
from photoveil.pipeline.run.naming import with_names
from photoveil.pipeline.run.near_duplicates import NearDuplicateIndex
from photoveil.pipeline.run.plan import Plan
from photoveil.pipeline.run.reconcile import (
    Names,
    delete_abandoned,
    delete_unfinished,
    reconcile_outputs,
)
from photoveil.pipeline.run.result import RunResult, ScanResult, StopReason
from photoveil.pipeline.runners.select import run_pipeline
from photoveil.pipeline.settings import RunSettings, Settings
from photoveil.pipeline.state.people import People
from photoveil.pipeline.state.scan_cache import ScanCache
from photoveil.pipeline.state.scan_cache import sources as scanned_sources
from photoveil.pipeline.state.scan_table import SCHEMA as SCANS
from photoveil.pipeline.state.scans import read_scans, scanned_ahead
from photoveil.pipeline.state.warm_starts import CHANGES
from photoveil.transforms.beam.progress import tick
from photoveil.transforms.beam.stage_metrics import StageMetrics
from photoveil.transforms.faces.identity import Change
from photoveil.transforms.io import parquet, storage
from photoveil.transforms.photo.write import NO_SPACE
from photoveil.transforms.records import ContentGroup, HashedPhoto, ScannedPhoto, Status


def scan(
    library: Library,
    groups: Sequence[ContentGroup],
    settings: Settings,
    stamp: RunStamp,
    progress: Path | None = None,
    stop: Callable[[], StopReason | None] = lambda: None,
) -> ScanResult:
    """Find the faces and people in photos that no run has done; a run will not look again.

    The arguments and errors are those of `run`. What a scan that was killed had found is kept.
    """
    started = time.monotonic()
    ahead, people, outcome = (
        ScanCache(library.state, settings, stamp),
        People(library.state),
        ScanResult(),
    )
    names = sequence.names(library, stamp.run_id)
    if not parquet.parts(library.manifest):  # the library is there, and holds nothing
        manifest.write_part([], library.manifest, library.scratch, next(names))
    for some in _in_waves(groups, settings.run.wave_photos):
        outcome.stopped = stop()
        if outcome.stopped:
            break
        name = next(names)
        folder = storage.join(library.state, f"waves/{name}")
        wave = _wave(library, folder, name, stamp, progress)
        _run(partial(pipelines.scan, groups=some), settings, wave, library)
        found = list(read_scans(wave.scans))
        people.add(found, name)
        ahead.add(parquet.gathered(wave.scans, SCANS), name)
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
    stop: Callable[[], StopReason | None] = lambda: None,
) -> RunResult:
    """Carry a plan out. The caller holds the library's lock.

    Args:
        progress: file that workers report to; see `transforms.beam.progress`.
        prune: delete the outputs of sources that are gone.
        stop: asked before each wave; a reason ends the run there.

    Raises:
        LibraryError: `prune` on an archive of which nothing is there.
        OSError: the disk is full, or the manifest or the state cannot be written. What was done
            before is safe.
    """
    started = time.monotonic()
    delete_unfinished(library)
    plan = with_names(plan, library)
    outcome = RunResult(plan)
    if reconcile.is_idle(library, plan, prune):
        return outcome
    record = Record(stamp, started=time.time())
    numbered = sequence.names(library, stamp.run_id)
    names = Names(next(numbered), numbered)
    people = People(library.state)
    named = set(people.known().values())  # whom the user may have met in `photoveil people`
    run_history.write(library, names.run, record)

    def ended(stopped: str | None) -> Record:
        return replace(
            record,
            ended=time.time(),
            statuses=outcome.statuses,
            seconds=time.monotonic() - started,
            stopped=stopped,
            work=outcome.work.record(settings.cloak.batch_size),
        )

    try:
        _carry_out_plan(
            library, people, named, outcome, settings, stamp, names, progress, prune, stop
        )
    except BaseException as error:
        with contextlib.suppress(OSError):
            run_history.write(library, names.run, ended(str(error) or type(error).__name__))
        raise
    ahead = ScanCache(library.state, settings, stamp)
    ahead.drop(set(manifest.read(library.manifest, ["source"])["source"].to_pylist()))
    outcome.people = outcome.people.then(_settle(people, library), named)
    outcome.seconds = time.monotonic() - started
    delete_abandoned(library, names)
    manifest.compact(library.manifest, library.scratch, next(names.parts))
    run_history.write(library, names.run, ended(outcome.stopped))
    return outcome


def _carry_out_plan(
    library: Library,
    people: People,
    named: Collection[str],
    outcome: RunResult,
    settings: Settings,
    stamp: RunStamp,
    names: Names,
    progress: Path | None,
    prune: bool,
    stop: Callable[[], StopReason | None],
) -> None:
    plan = outcome.plan
    for placed in reconcile_outputs(library, plan, settings.run.duplicates, prune, names):
        outcome.add(row for row in placed if row["status"] in (Status.DUPLICATE, Status.FAILED))
    outcome.moved = plan.moved
    outcome.pruned = len(plan.gone) if prune else 0
    outcome.trash = trash.folder(library, names.run) if outcome.pruned else None
    likes = NearDuplicateIndex(library, settings)
    ahead = ScanCache(library.state, settings, stamp)
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
            next(names.parts),
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
    ahead: ScanCache,
    likes: NearDuplicateIndex,
    people: People,
    settings: Settings,
    stamp: RunStamp,
    name: str,
    progress: Path | None,
    work: StageMetrics,
) -> list[dict[str, Any]]:
    waves = storage.join(library.state, "waves")
    folder = storage.join(waves, _wave_name(groups, stamp))
    wave = _wave(library, folder, name, stamp, progress)
    found, rest = scanned_ahead(ahead, groups)
    if rest and parquet.is_whole(wave.scans):  # from a run that was killed
        with contextlib.suppress(parquet.DamagedTable):
            found += read_scans(wave.scans)
            rest = []
    for photo in found:
        tick(photo, "found", wave.progress, len(photo.faces))
        tick(photo, "scanned", wave.progress, 1 + len(photo.copies))
    if rest:
        work.add(_run(partial(pipelines.scan, groups=rest), settings, wave, library))
        found += read_scans(wave.scans)
    found = _as_planned(found, groups)
    found.sort(key=lambda photo: os.fsencode(photo.ref.relative))

    def find(hashes: list[HashedPhoto]) -> str:
        work.add(_run(partial(find_near_duplicates, photos=hashes), settings, wave, library))
        return wave.pairs

    people.add(found, name, _engine(settings, stamp))
    photos = likes.mirrored(people.without_spared(found, settings.people), find)
    build = partial(pipelines.cloak, photos=people.with_known(photos))
    work.add(_run(build, settings, wave, library))
    people.keep_cloaks(parquet.gathered(wave.changes, CHANGES), name)
    rows = parquet.gathered(wave.manifest, manifest.SCHEMA)
    parquet.write(rows, storage.join(library.manifest, f"{name}.parquet"), library.scratch)
    storage.remove_folder(wave.manifest)
    storage.remove_folder(waves)  # this one, and what was left of others that will not be resumed
    columns = ["source", "status", "reason", "distance", "faces"]
    return rows.select(columns).to_pylist()


def _as_planned(
    found: Sequence[ScannedPhoto], groups: Sequence[ContentGroup]
) -> list[ScannedPhoto]:
    """Scans with the names that this run gives to outputs: they may be of an earlier one."""
    planned = {group.ref: group for group in groups}
    return [
        replace(photo, ref=planned[photo.ref].ref, copies=planned[photo.ref].copies)
        for photo in found
    ]


def _wave(
    library: Library, folder: str, name: str, stamp: RunStamp, progress: Path | None
) -> WavePaths:
    """The places of a wave whose private folder is `folder`."""
    return WavePaths(
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
    decisive = (stamp.tries_hash, stamp.assets_hash, stamp.version, SCANS.names)
    content = repr((*decisive, *groups)).encode()
    return hashlib.sha256(content).hexdigest()[:32]


def _engine(settings: Settings, stamp: RunStamp) -> str:
    """Of what the cloak of a face hangs on, beside the face and the person."""
    cloak = replace(settings.cloak, batch_size=1)  # which changes nothing
    decisive = repr((cloak, stamp.assets_hash, stamp.version))
    return hashlib.sha256(decisive.encode()).hexdigest()[:16]


def _run(
    build: Callable[..., None], settings: Settings, wave: WavePaths, library: Library
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
