"""A run on one machine: the archive in waves, each committed before the next begins."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from photoveil.pipeline.library import manifest, run_history, sequence, trash
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.library.run_history import Record
from photoveil.pipeline.run import reconcile
from photoveil.pipeline.run.context import RunContext
from photoveil.pipeline.run.naming import with_names
from photoveil.pipeline.run.near_duplicates import NearDuplicateIndex
from photoveil.pipeline.run.originals import put_originals
from photoveil.pipeline.run.plan import Plan
from photoveil.pipeline.run.reconcile import (
    Names,
    delete_abandoned,
    delete_unfinished,
    reconcile_outputs,
)
from photoveil.pipeline.run.result import RunResult, ScanResult
from photoveil.pipeline.run.wave import WaveMemory, WaveRun, disk_full, scan_wave
from photoveil.pipeline.settings import RunSettings
from photoveil.pipeline.state import review
from photoveil.pipeline.state.people import People
from photoveil.pipeline.state.scan_cache import ScanCache
from photoveil.pipeline.state.scan_cache import sources as scanned_sources
from photoveil.transforms.faces.identity import Change
from photoveil.transforms.io import parquet
from photoveil.transforms.photo.write import NO_SPACE
from photoveil.transforms.records import ContentGroup, Status


def scan(context: RunContext, groups: Sequence[ContentGroup]) -> ScanResult:
    """Find the faces and people in photos that no run has done; a run will not look again.

    What a scan that was killed had found is kept.

    Raises:
        OSError: the disk is full, or the state cannot be written.
    """
    started = time.monotonic()
    library, settings = context.library, context.settings
    scans, people = ScanCache(library.state, settings, context.stamp), People(library.state)
    outcome = ScanResult()
    names = sequence.names(library, context.stamp.run_id)
    if not parquet.parts(library.manifest):  # the library is there, and holds nothing
        manifest.write_part([], library.manifest, library.scratch, next(names))
    for start in range(0, len(groups), settings.run.wave_photos):
        outcome.stopped = context.stop()
        if outcome.stopped:
            break
        wave = groups[start : start + settings.run.wave_photos]
        found = scan_wave(context, wave, next(names), people, scans)
        outcome.files += sum(1 + len(photo.copies) for photo in found)
        outcome.faces += sum(len(photo.faces) for photo in found)
    outcome.people = _settle(people, library)
    outcome.seconds = time.monotonic() - started
    return outcome


def run(context: RunContext, plan: Plan, prune: bool = False) -> RunResult:
    """Carry a plan out.

    Args:
        prune: delete the outputs of sources that are gone.

    Raises:
        LibraryError: `prune` on an archive of which nothing is there.
        OSError: the disk is full, or the manifest or the state cannot be written. What was done
            before is safe.
    """
    started = time.monotonic()
    library, settings = context.library, context.settings
    delete_unfinished(library)
    plan = with_names(plan, library)
    outcome = RunResult(plan)
    if reconcile.is_idle(library, plan, prune):
        return outcome
    record = Record(context.stamp, started=time.time())
    numbered = sequence.names(library, context.stamp.run_id)
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
        _reconcile(context, outcome, prune, names)
        _cloak(context, outcome, people, named, names)
    except BaseException as error:
        with contextlib.suppress(OSError):
            run_history.write(library, names.run, ended(str(error) or type(error).__name__))
        raise
    scans = ScanCache(library.state, settings, context.stamp)
    scans.drop(_sources(library))
    outcome.people = outcome.people.then(_settle(people, library), named)
    outcome.seconds = time.monotonic() - started
    delete_abandoned(library, names)
    manifest.compact(library.manifest, library.scratch, next(names.parts))
    run_history.write(library, names.run, ended(outcome.stopped))
    return outcome


def _reconcile(context: RunContext, outcome: RunResult, prune: bool, names: Names) -> None:
    """Do all of a plan but its photos to cloak."""
    library, plan = context.library, outcome.plan
    placing = context.settings.run.duplicates
    for placed in reconcile_outputs(library, plan, placing, prune, names):
        outcome.add(row for row in placed if row["status"] in (Status.DUPLICATE, Status.FAILED))
    outcome.add(put_originals(library, plan.originals, context.reviewed.review, names.parts))
    outcome.moved = plan.moved
    outcome.pruned = len(plan.gone) if prune else 0
    outcome.trash = trash.folder(library, names.run) if outcome.pruned else None


def _cloak(
    context: RunContext,
    outcome: RunResult,
    people: People,
    named: Collection[str],
    names: Names,
) -> None:
    """Cloak the photos of a plan, wave by wave.

    Args:
        outcome: is added to. named: people known before the run.

    Raises:
        OSError: as `run`.
    """
    library, settings = context.library, context.settings
    memory = WaveMemory(
        ScanCache(library.state, settings, context.stamp),
        people,
        NearDuplicateIndex(library, settings),
        outcome.work,
    )
    done = _sources(library)
    for groups in _waves(outcome.plan.todo, settings.run, done):
        outcome.stopped = context.stop()
        if outcome.stopped:
            return
        if people.due(len(done)):
            outcome.people = outcome.people.then(_settle(people, library), named)
        rows = WaveRun(context, memory, groups, next(names.parts)).run()
        outcome.add(rows)
        done.update(row["source"] for row in rows)
        if any(row["reason"] == NO_SPACE for row in rows):
            raise disk_full(library)


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


def _sources(library: Library) -> set[str]:
    """Of the rows of the manifest."""
    return set(manifest.read(library.manifest, ["source"])["source"].to_pylist())


def _settle(people: People, library: Library) -> Change:
    """Over the photos of the library, and those scanned ahead."""
    done = manifest.read(library.manifest, ["source_sha256"])["source_sha256"]
    photos = {*done.drop_null().to_pylist(), *scanned_sources(library.state)}
    change = people.settle(photos, len(done))
    if change.merged:
        before = review.read(library.state)
        if (after := before.following(change)) != before:
            review.write(library.state, after)
    return change
