"""Compares the archive, as it lies, with the library: what a run has to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from photoveil.pipeline.fingerprints import output_version
from photoveil.pipeline.library.library import MOVING
from photoveil.pipeline.library.manifest import RunStamp, utc
from photoveil.pipeline.run.listed_rows import ListedRows
from photoveil.pipeline.run.plan import KnownFile, Plan, Relation, Selection
from photoveil.pipeline.run.reviewed import Reviewed
from photoveil.pipeline.state.review import NO_WISH
from photoveil.transforms.duplicates.exact import group_by_content
from photoveil.transforms.io.storage import Entry, printable
from photoveil.transforms.io.system_files import is_junk
from photoveil.transforms.records import ContentGroup, PhotoRef, Status

# Columns of the manifest that `make_plan` looks at.
COLUMNS = (
    *("source", "output", "status", "retry", "source_sha256", "output_sha256"),
    *("source_size", "output_size", "source_modified"),
    *("mode", "settings_hash", "assets_hash", "output_version", "version", "review", "gone"),
)

Row = Mapping[str, Any]
Hasher = Callable[[Sequence[PhotoRef]], Mapping[PhotoRef, str]]


def make_plan(
    refs: Iterable[PhotoRef],
    rows: pa.Table,
    outputs: Iterable[Entry],
    stamp: RunStamp,
    selection: Selection,
    hash_files: Hasher,
) -> Plan:
    """Compare the archive with the library.

    A file is done when the manifest has a row for it with its size and modification time, and the
    output named there exists with the size it had. Only files that are new or changed and have
    the size of another file are hashed: equal bytes have equal sizes.

    Args:
        refs: the archive. rows: the manifest's, with `COLUMNS`. outputs: files below the library's
            root. hash_files: sha256 of those files that are photos and can be read.
    """
    refs, since = list(refs), selection.since
    held, listed = _Held(outputs), ListedRows(rows, refs)
    is_chosen = np.ones(len(refs), bool)
    if selection.chosen is not None:
        is_chosen = np.array([selection.has(ref.source) for ref in refs], bool)
    plan = _Counts()
    is_settled = np.zeros(len(refs), bool)
    if selection.reviewed.asks_nothing:
        is_settled = listed.done(held.entries, stamp)
        plan.unchanged = int(np.count_nonzero(is_settled & is_chosen))
    why: dict[PhotoRef, str] = {}
    before: dict[str, Row] = {}  # rows of files to work on
    doubtful = np.flatnonzero(is_chosen & ~is_settled)
    is_settled[:] = True
    for number, row in zip(doubtful, listed.of(doubtful), strict=True):
        ref = refs[number]
        reason = _why(ref, row, held, stamp, selection, plan)
        if reason is None:
            continue
        if since is not None and ref.mtime < since:
            plan.older += 1
            continue
        why[ref], is_settled[number] = reason, False
        if row is not None:
            before[ref.source] = row
    hashes = _hashes(why, before, listed, hash_files)
    cloaked = _by_content(listed, is_settled, hashes, held, stamp, selection)
    known, moved = _known(why, hashes, before, cloaked)
    placed = {item.ref for item in known}
    groups = group_by_content((ref for ref in why if ref not in placed), hashes)
    todo, originals = _by_wish(groups, hashes, before, selection.reviewed)
    away = [
        row
        for row in _away(refs, listed, moved)
        if selection.has(row["source"]) and (since is None or row["source_modified"] >= utc(since))
    ]
    gone = [row["source"] for row in away if row["output"] is not None]
    gone_photos = [row["source"] for row in away if _is_photo(row)]
    photos = listed.photos()
    # Files that are as they were, and nothing of a disk or its file system, tell an archive from
    # another one. Numbers of devices and inodes change when a disk is plugged in elsewhere, and a
    # collection may move to a new disk; another folder of the same disk has the same numbers.
    as_they_were = listed.having(listed.as_it_was) | listed.named({item.row for item in known})
    present = np.count_nonzero((photos | listed.left_out()) & as_they_were)
    photo_count = np.count_nonzero(photos)
    is_there = bool(present) or not photo_count  # else nothing is known of the archive
    back = listed.having(is_settled & is_chosen) & listed.gone()
    newly_away = [row for row in away if is_there and row["gone"] is None]
    return Plan(
        tuple(todo),
        Counter(reason for ref, reason in why.items() if ref not in placed),
        tuple(known),
        plan.unchanged,
        plan.left_out,
        plan.failed,
        plan.stale,
        plan.older,
        tuple(gone),
        tuple(row["source"] for row in newly_away if row["output"] is not None),
        tuple(row["source"] for row in listed.take(np.flatnonzero(back))),
        tuple(row["source"] for row in away if is_there and row["output"] is None),
        hashes,
        int(photo_count),
        int(present),
        len(gone_photos),
        _bare(refs, gone_photos),
        tuple(originals),
        int(np.count_nonzero(~is_chosen)),
    )


@dataclass
class _Counts:
    unchanged: int = 0
    left_out: int = 0
    failed: int = 0
    stale: Counter[str] = field(default_factory=Counter)
    older: int = 0


class _Held:
    """The files that the library holds. entries: by name."""

    def __init__(self, outputs: Iterable[Entry]) -> None:
        self.entries = {printable(entry.relative): entry for entry in outputs}

    def find(self, row: Row) -> str | None:
        """Where the output of a row lies, below the root; None when it is lost or was cut."""
        if row["output"] is None:
            return None
        # A file that makes way for another one of the same name waits here.
        for place in (f"{MOVING}/{row['output_sha256']}", row["output"]):
            entry = self.entries.get(place)
            if entry is not None and entry.size == row["output_size"]:
                return entry.relative
        return None

    def has(self, row: Row) -> bool:
        """True when the output lies at its own place."""
        entry = self.entries.get(row["output"])
        return entry is not None and entry.size == row["output_size"]


def _why(
    ref: PhotoRef,
    row: Row | None,
    held: _Held,
    stamp: RunStamp,
    selection: Selection,
    counts: _Counts,
) -> str | None:
    """Why a file has to be worked on; None, and counted, when it has not."""
    if row is None:
        return "new"
    if not _is_as_it_was(ref, row):
        return "changed"
    reviewed = selection.reviewed
    wish = reviewed.wish(row["source_sha256"])
    differs = _differs(row, reviewed.stamp(wish, stamp))
    if row["output"] is None:
        if row["retry"] or (selection.retry and row["status"] == Status.FAILED):
            return "failed before, tried again"
        if differs:
            return "failed or left out before, with other settings"
        if row["status"] == Status.FAILED:
            counts.failed += 1
        else:
            counts.left_out += 1
        return None
    if not held.has(row):
        return "output lost or cut"
    if reviewed.differs(row):
        return "marked in a review" if wish != NO_WISH else "no longer marked in a review"
    if wish.original:
        differs = None  # it is the original, with whatever settings
    if differs is None:
        counts.unchanged += 1
    elif selection.recloak:
        return f"done before with {differs}"
    else:
        counts.stale[differs] += 1
    return None


def _by_wish(
    groups: Iterable[ContentGroup],
    hashes: Mapping[PhotoRef, str],
    by_source: Mapping[str, Row],
    reviewed: Reviewed,
) -> tuple[list[ContentGroup], list[ContentGroup]]:
    """The groups to cloak, and those that get their originals, of which the library has a row."""
    todo: list[ContentGroup] = []
    originals: list[ContentGroup] = []
    for group in groups:
        sha256, row = hashes.get(group.ref), by_source.get(group.ref.source)
        is_known = row is not None and row["output"] is not None and row["source_sha256"] == sha256
        is_left = is_known and reviewed.wish(sha256).original
        (originals if is_left else todo).append(group)
    return todo, originals


def _is_as_it_was(ref: PhotoRef, row: Row) -> bool:
    return (row["source_size"], row["source_modified"]) == (ref.size, utc(ref.mtime))


def _is_photo(row: Row) -> bool:
    """True for a row whose output is a photo of the user's, and no sidecar or the like."""
    return (
        row["output"] is not None
        and row["status"] != Status.COMPANION
        and not is_junk(row["source"])
    )


def _bare(refs: Iterable[PhotoRef], gone: Sequence[str]) -> tuple[str, ...]:
    """The topmost folders that photos are gone from and that hold no file of the user's now."""
    if not gone:
        return ()
    full = {folder for ref in refs if not is_junk(ref.source) for folder in _folders(ref.source)}
    bare = (next((f for f in _folders(source) if f not in full), None) for source in gone)
    return tuple(sorted({folder for folder in bare if folder is not None}))


def _folders(source: str) -> list[str]:
    """The folders that a file lies in, the topmost first."""
    parts = source.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _differs(row: Row, stamp: RunStamp) -> str | None:
    """What an output was made with that this run would not use; None for a current one."""
    if row["mode"] != stamp.mode:
        return f"mode {row['mode']}"
    if row["assets_hash"] != stamp.assets_hash:
        return "other models"
    if row["settings_hash"] != (stamp.tries_hash if row["output"] is None else stamp.settings_hash):
        return "other settings"
    if output_version(row) != stamp.output_version:
        return f"output version {output_version(row)} (Photoveil {row['version']})"
    return None


def _hashes(
    why: Mapping[PhotoRef, str],
    by_source: Mapping[str, Row],
    listed: ListedRows,
    hash_files: Hasher,
) -> dict[PhotoRef, str]:
    """Hashes of the files to work on, as far as another file can have the same."""
    hashes: dict[PhotoRef, str] = {}
    unread: list[PhotoRef] = []
    for ref in why:
        row = by_source.get(ref.source)
        same = row is not None and row["source_size"] == ref.size
        if row is not None and same and row["source_modified"] == utc(ref.mtime):
            if row["source_sha256"] is not None:
                hashes[ref] = row["source_sha256"]
        elif ref.problem is None:
            unread.append(ref)
    sizes = Counter(ref.size for ref in why)
    known = np.isin(np.array([ref.size for ref in unread], np.int64), listed.sizes_with_output())
    alike = [
        ref for ref, is_known in zip(unread, known, strict=True) if is_known or sizes[ref.size] > 1
    ]
    return {**hashes, **hash_files(alike)}


@dataclass(frozen=True)
class _Cloaked:
    """What the library holds for some bytes: rows whose source is still there, and others."""

    there: list[tuple[Row, str]] = field(default_factory=list)
    away: list[tuple[Row, str]] = field(default_factory=list)


def _by_content(
    listed: ListedRows,
    is_settled: np.ndarray,
    hashes: Mapping[PhotoRef, str],
    held: _Held,
    stamp: RunStamp,
    selection: Selection,
) -> dict[str, _Cloaked]:
    """Find what the library holds for the bytes of the files to work on.

    Args:
        is_settled: bool (files,), those that there is nothing to do for.
    """
    found: defaultdict[str, _Cloaked] = defaultdict(_Cloaked)
    there = listed.having(is_settled)
    numbers = np.flatnonzero(listed.of_content(hashes.values()))
    for number, row in zip(numbers, listed.take(numbers), strict=True):
        place = held.find(row)
        if place is None or selection.reviewed.differs(row):
            continue
        wish = selection.reviewed.wish(row["source_sha256"])
        if selection.recloak and _differs(row, selection.reviewed.stamp(wish, stamp)):
            continue
        cloaked = found[row["source_sha256"]]
        (cloaked.there if there[number] else cloaked.away).append((row, place))
    return found


def _known(
    why: Iterable[PhotoRef],
    hashes: Mapping[PhotoRef, str],
    by_source: Mapping[str, Row],
    cloaked: Mapping[str, _Cloaked],
) -> tuple[list[KnownFile], set[str]]:
    """The files whose cloaked form is there, and the sources of the rows that move with them."""
    candidates = [ref for ref in why if hashes.get(ref) in cloaked]
    # Only the date of these changed, or their output was lost. They keep their rows.
    same = {
        ref
        for ref in candidates
        if ref.source in by_source and by_source[ref.source]["source_sha256"] == hashes[ref]
    }
    known: list[KnownFile] = []
    moved = {ref.source for ref in same}
    first: dict[str, KnownFile] = {}  # by content, for when no file with it stays where it was
    for ref in sorted(candidates, key=lambda ref: ref not in same):
        sha256 = hashes[ref]
        found = cloaked[sha256]
        if ref in same:
            place = next(place for _, place in (*found.there, *found.away))
            item = KnownFile(ref, ref.source, place, Relation.RESTORED)
        elif any(row["source"] not in moved for row, _ in found.away):
            row, place = next(pair for pair in found.away if pair[0]["source"] not in moved)
            item = KnownFile(ref, row["source"], place, Relation.MOVED)
            moved.add(row["source"])
        elif found.there:
            row, place = found.there[0]
            item = KnownFile(ref, row["source"], place, Relation.DUPLICATE)
        else:
            twin = first[sha256]
            item = KnownFile(ref, twin.row, twin.output, Relation.DUPLICATE)
        first.setdefault(sha256, item)
        known.append(item)
    return known, moved


def _away(refs: Sequence[PhotoRef], listed: ListedRows, moved: set[str]) -> list[Row]:
    """Rows of sources that are no longer there and did not move elsewhere, by source."""
    there = listed.having(np.ones(len(refs), bool))
    # What lies in a folder that cannot be listed is unseen, not gone.
    unseen = tuple(f"{ref.source}/" for ref in refs if ref.problem)
    away = listed.take(np.flatnonzero(~there))
    return sorted(
        (
            row
            for row in away
            if row["source"] not in moved and not row["source"].startswith(unseen)
        ),
        key=lambda row: str(row["source"]),
    )
