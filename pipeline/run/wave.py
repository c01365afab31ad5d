"""One wave: some photos, from their scan to the commit of their rows.

Until the commit everything lies in a private folder of the wave, by the name of what it depends on
(`fingerprints.wave_hash`): a run that was killed finds the scans and the cloaks of its last wave
there.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from photoveil.pipeline.fingerprints import optimiser_hash, wave_hash
from photoveil.pipeline.graph import pipelines
from photoveil.pipeline.graph.paths import WavePaths
from photoveil.pipeline.graph.pipelines import find_near_duplicates
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.run.context import RunContext
from photoveil.pipeline.run.near_duplicates import NearDuplicateIndex
from photoveil.pipeline.runners.select import run_pipeline
from photoveil.pipeline.state.people import People
from photoveil.pipeline.state.prototypes import PROTOTYPES
from photoveil.pipeline.state.review import Level
from photoveil.pipeline.state.scan_cache import ScanCache
from photoveil.pipeline.state.scan_table import SCHEMA as SCANS
from photoveil.pipeline.state.scans import read_scans, scanned_ahead
from photoveil.pipeline.state.warm_starts import CHANGES
from photoveil.transforms.beam.progress import tick
from photoveil.transforms.beam.stage_metrics import StageMetrics
from photoveil.transforms.io import parquet, storage
from photoveil.transforms.records import ContentGroup, HashedPhoto, ScannedPhoto

_REPORTED = ("source", "status", "reason", "distance", "faces")  # columns that a run counts


@dataclass(frozen=True)
class WaveMemory:
    """What a wave knows from those before it, and adds to for those after it.

    scans: of photos that were scanned ahead. people, near_duplicates: of the library.
    work: what workers did.
    """

    scans: ScanCache
    people: People
    near_duplicates: NearDuplicateIndex
    work: StageMetrics


class WaveRun:
    """Cloaks the photos of one wave.

    Args:
        memory: is added to.
        groups: the photos, each with its exact duplicates.
        name: of the wave's part of the manifest; see `library.sequence`.
    """

    def __init__(
        self, context: RunContext, memory: WaveMemory, groups: Sequence[ContentGroup], name: str
    ) -> None:
        self._context, self._memory, self._groups, self._name = context, memory, groups, name
        folder = wave_hash(groups, context.stamp, SCANS.names)
        self._paths = _paths(context, folder, name)

    def run(self) -> list[dict[str, Any]]:
        """Scan, cloak, write and commit.

        Returns:
            The rows, with the columns that a run counts.

        Raises:
            OSError: the disk is full, or the manifest or the state cannot be written. Nothing of
                the wave is committed.
        """
        people, settings = self._memory.people, self._context.settings
        found = self._scan()
        # Of the run, whatever the level: a photo that is taken back to another one is then taken
        # for whom it was before, and gets the cloak that it had.
        engine = optimiser_hash(settings, self._context.stamp)
        reviewed = self._context.reviewed.applied(found, people.whose)
        who = people.add(found, self._name, engine)
        photos = people.without_spared(reviewed.photos, settings.people)
        photos = self._memory.near_duplicates.mirrored(photos, self._find_near_duplicates)
        photos = list(map(reviewed.still, photos))
        levels = [level for level in Level if reviewed.of_level(level, photos)]
        for level in levels:  # one after the other: a later one knows the prototypes of the first
            self._cloak(level, people.with_known(reviewed.of_level(level, photos), who))
        return self._commit(levels)

    def _scan(self) -> list[ScannedPhoto]:
        """What is in the photos: known from a scan ahead or a run that was killed, or found now."""
        paths, memory = self._paths, self._memory
        found, rest = scanned_ahead(memory.scans, self._groups)
        if rest and parquet.is_whole(paths.scans):  # from a run that was killed
            with contextlib.suppress(parquet.DamagedTable):
                found += read_scans(paths.scans)
                rest = []
        for photo in found:
            tick(photo, "found", paths.progress, len(photo.faces))
            tick(photo, "scanned", paths.progress, 1 + len(photo.copies))
        if rest:
            self._run_graph(partial(pipelines.scan, groups=rest))
            found += read_scans(paths.scans)
        found = _as_planned(found, self._groups)
        return sorted(found, key=lambda photo: os.fsencode(photo.ref.relative))

    def _find_near_duplicates(self, hashes: list[HashedPhoto]) -> str:
        """Find the pairs among photos; gives the folder that they are in."""
        self._run_graph(partial(find_near_duplicates, photos=hashes))
        return self._paths.pairs

    def _cloak(self, level: Level, photos: list[ScannedPhoto]) -> None:
        """Cloak and write photos of one level, and keep the cloaks of people met first."""
        context, paths = self._context.at(level), self._paths_at(level)
        build = partial(pipelines.cloak, photos=photos)
        self._memory.work.add(_run_graph(context, paths, build))
        changes = parquet.gathered(paths.changes, CHANGES)
        means = parquet.gathered(paths.prototypes, PROTOTYPES)
        self._memory.people.keep_cloaks(changes, means, f"{self._name}{level}")

    def _paths_at(self, level: Level) -> WavePaths:
        """Where photos of a level are worked on: cloaks of another one do not count there."""
        if level is Level.NORMAL:
            return self._paths
        paths = self._paths
        return replace(
            paths,
            handed=storage.join(paths.handed, level),
            cloaks=storage.join(paths.cloaks, level),
            changes=storage.join(paths.changes, level),
            prototypes=storage.join(paths.prototypes, level),
            manifest=storage.join(paths.manifest, level),
            stamp=self._context.at(level).stamp,
        )

    def _commit(self, levels: Sequence[Level]) -> list[dict[str, Any]]:
        """Make the rows part of the manifest, in one file; the wave's folders go."""
        library = self._context.library
        parts = [self._paths_at(level).manifest for level in levels]
        rows = pa.concat_tables([parquet.gathered(part, manifest.SCHEMA) for part in parts])
        part = storage.join(library.manifest, f"{self._name}.parquet")
        parquet.write(rows, part, library.scratch)
        storage.remove_folder(self._paths.manifest)
        # Its own, and what was left of others that will not be resumed.
        storage.remove_folder(storage.join(library.state, "waves"))
        return rows.select(list(_REPORTED)).to_pylist()

    def _run_graph(self, build: Callable[..., None]) -> None:
        self._memory.work.add(_run_graph(self._context, self._paths, build))


def scan_wave(
    context: RunContext,
    groups: Sequence[ContentGroup],
    name: str,
    people: People,
    scans: ScanCache,
) -> list[ScannedPhoto]:
    """Find the faces in some photos ahead of a run, and keep them.

    Args:
        context: of the run.
        groups: the photos, each with its exact duplicates.
        name: of what is kept; see `library.sequence`.
        people: the faces found are added to it.
        scans: the scans are added to it.

    Raises:
        OSError: the disk is full, or the state cannot be written.
    """
    paths = _paths(context, name, name)
    _run_graph(context, paths, partial(pipelines.scan, groups=list(groups)))
    found = list(read_scans(paths.scans))
    people.add(found, name)
    scans.add(parquet.gathered(paths.scans, SCANS), name)
    storage.remove_folder(storage.join(context.library.state, f"waves/{name}"))
    return found


def disk_full(library: Library) -> OSError:
    """The error of a run for which there is no room."""
    return OSError(
        f"no space left on the disk of {library.root}. What is done is kept; make room and run "
        "the same command again"
    )


def _run_graph(context: RunContext, paths: WavePaths, build: Callable[..., None]) -> Any:
    """Run a pipeline that `build` makes from the settings and the wave's paths; its result."""
    settings = context.settings
    try:
        return run_pipeline(partial(build, settings=settings, wave=paths), settings.run)
    except RuntimeError as error:  # Beam hands errors of its workers over as text
        if f"[Errno {errno.ENOSPC}]" in str(error) or f"[Errno {errno.EDQUOT}]" in str(error):
            raise disk_full(context.library) from error
        raise


def _paths(context: RunContext, folder: str, name: str) -> WavePaths:
    """The places of a wave.

    Args:
        folder: name of its private folder. name: of its part of the manifest.
    """
    library, progress = context.library, context.progress
    private = storage.join(library.state, f"waves/{folder}")
    return WavePaths(
        library.destination,
        handed=storage.join(private, "handed"),
        scans=storage.join(private, "scan"),
        pairs=storage.join(private, "pairs"),
        cloaks=storage.join(private, "cloaks"),
        changes=storage.join(private, "changes"),
        prototypes=storage.join(private, "prototypes"),
        manifest=storage.join(library.scratch, name),
        stamp=context.stamp,
        progress=None if progress is None else str(progress),
    )


def _as_planned(
    found: Sequence[ScannedPhoto], groups: Sequence[ContentGroup]
) -> list[ScannedPhoto]:
    """Scans with the names that this run gives to outputs: they may be of an earlier one."""
    planned = {group.ref: group for group in groups}
    return [
        replace(photo, ref=planned[photo.ref].ref, copies=planned[photo.ref].copies)
        for photo in found
    ]
