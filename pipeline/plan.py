"""The plan: what a run will do, from what lies in the archive and what the manifest says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.manifest import RunStamp, utc
from transforms.discover import PhotoRef, printable
from transforms.duplicates import Published
from transforms.storage import Entry

_FINISHED = {"cloaked", "no_face", "duplicate", "unchanged"}
# A duplicate's output is a copy of one of these.
_MADE = _FINISHED - {"duplicate"}


@dataclass(frozen=True)
class Plan:
    """todo: files to work on. unchanged: files that are done. stale: files that are done with
    other settings and are left so. published: by source hash, outputs that new copies can use."""

    todo: tuple[PhotoRef, ...]
    unchanged: int
    stale: int
    published: Mapping[str, Published]


def make_plan(
    refs: Iterable[PhotoRef],
    rows: Iterable[Mapping[str, Any]],
    outputs: Iterable[Entry],
    stamp: RunStamp,
    recloak: bool,
) -> Plan:
    """Compare the archive with the library.

    A file is done when the manifest has a row for it with its size and modification time, and the
    output named there exists with the size it had. What failed, or could not be written by an
    earlier version, is tried again.

    Args:
        refs: the archive. rows: the manifest's. outputs: files below the library's root.
        recloak: do anew what was done with other settings or models.
    """
    by_source = {row["source"]: row for row in rows}
    sizes = {printable(entry.relative): entry for entry in outputs}
    todo: list[PhotoRef] = []
    unchanged = stale = 0
    for ref in refs:
        row = by_source.get(ref.source)
        if row is None or not _is_done(ref, row, sizes):
            todo.append(ref)
        elif _is_current(row, stamp):
            unchanged += 1
        elif recloak:
            todo.append(ref)
        else:
            stale += 1
    # An output that this run will write over is no good to copy from.
    overwritten = {ref.source for ref in todo}
    published = {
        row["source_sha256"]: Published(
            sizes[row["output"]].relative,
            row["output_sha256"],
            row["source"],
            row["width"],
            row["height"],
        )
        for source, row in by_source.items()
        if row["status"] in _MADE
        and source not in overwritten
        and _is_current(row, stamp)
        and _output_is_there(row, sizes)
    }
    return Plan(tuple(todo), unchanged, stale, published)


def _is_done(ref: PhotoRef, row: Mapping[str, Any], sizes: Mapping[str, Entry]) -> bool:
    return (
        row["status"] in _FINISHED
        and row["source_size"] == ref.size
        and row["source_modified"] == utc(ref.mtime)
        and _output_is_there(row, sizes)
    )


def _output_is_there(row: Mapping[str, Any], sizes: Mapping[str, Entry]) -> bool:
    entry = sizes.get(row["output"])
    return entry is not None and entry.size == row["output_size"]


def _is_current(row: Mapping[str, Any], stamp: RunStamp) -> bool:
    made_with = (row["settings_hash"], row["assets_hash"])
    return made_with == (stamp.settings_hash, stamp.assets_hash)
