"""What a run does without cloaking: outputs that move, known bytes, sources that went away.

Every step is safe against a crash: a new place is filled first, then the manifest says so in one
part, then the old place is emptied, which the next run makes up for (`sweep`). What the library
holds the only copy of goes to the trash of the private state before it is deleted.
"""

from __future__ import annotations

import datetime as dt
import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from photoveil.pipeline.library import manifest, trash
from photoveil.pipeline.library.library import MOVING, Library
from photoveil.pipeline.run import pruning
from photoveil.pipeline.run.plan import KnownFile, Plan, Relation
from photoveil.transforms.duplicates.exact import Placing, not_copied, place_copy
from photoveil.transforms.io import storage
from photoveil.transforms.io.storage import printable
from photoveil.transforms.naming import output_names
from photoveil.transforms.records import Placed, Status

_PART = 500  # files placed between two commits

Row = dict[str, Any]


@dataclass(frozen=True)
class Names:
    """How a run names what it writes.

    run: its own name. parts: names of parts of the manifest, each later than the one before.
    """

    run: str
    parts: Iterator[str]


def is_idle(library: Library, plan: Plan, prune: bool) -> bool:
    """True when there is nothing to do at all."""
    return manifest.is_compact(library.manifest) and not (  # else a run was killed at its end
        plan.refs or plan.newly_gone or plan.back or plan.dropped or (prune and plan.gone)
    )


def reconcile_outputs(
    library: Library, plan: Plan, how: Placing, prune: bool, names: Names
) -> Iterator[list[Row]]:
    """Carry out all of a plan but its photos to cloak.

    Args:
        how: duplicates get their files. prune: delete the outputs of sources that are gone.

    Yields:
        The rows of each part, once they are committed.

    Raises:
        LibraryError: nothing of the archive is there any more and `prune` would empty the library.
        OSError: the disk is full, or the manifest cannot be written.
    """
    rows = _Rows(library, plan, prune)
    if prune and plan.gone:
        pruning.check_archive(library, plan)
        trash.check_room(library, rows.pruned_bytes)
    known = list(_staged(library, plan))
    for start in range(0, len(known), _PART):
        placed = [row for item in known[start : start + _PART] for row in rows.place(item, how)]
        manifest.write_part(placed, library.manifest, library.scratch, next(names.parts))
        yield placed
    marks = rows.marks()
    if marks:
        manifest.write_part(marks, library.manifest, library.scratch, next(names.parts))
    delete_abandoned(library, names)
    if prune and plan.gone:
        trash.empty_earlier(library, names.run)


def delete_abandoned(library: Library, names: Names) -> None:
    """Delete the outputs that no row names any more.

    Those that moved are elsewhere by now; the others are kept in the trash.
    """
    rows = {row["output"]: row for row in manifest.abandoned(library.manifest)}
    names_lost = [name for name in _relative(library, list(rows)) if _is_in(library, name)]
    if names_lost:
        kept = manifest.read(library.manifest, ["output"])["output"].drop_null().to_pylist()
        names_lost = output_names.without_kept(library.root, names_lost, kept)
    lost = {name: rows[printable(name)] for name in names_lost}
    if lost:
        held = set(manifest.read(library.manifest, ["output_sha256"])["output_sha256"].to_pylist())
        last = {name: row for name, row in lost.items() if row["output_sha256"] not in held}
        trash.put(library, last, names.run, next(names.parts))
    storage.remove([storage.join(library.root, name) for name in lost])
    storage.remove_empty_folders(library.root, lost)
    storage.remove_folder(storage.join(library.root, MOVING))


def delete_unfinished(library: Library) -> None:
    """Delete the unfinished files that an interrupted run left behind."""
    if storage.exists(library.scratch):
        leftovers = [entry.relative for entry in storage.walk(library.scratch)]
        storage.remove([storage.join(library.scratch, name) for name in leftovers])


def _is_in(library: Library, name: str) -> bool:
    """False for what leads out of the library, as a manifest from elsewhere may have it."""
    try:
        storage.inside(library.root, name)
    except OSError:
        return False
    return True


class _Rows:
    """New rows for old, as a plan asks."""

    def __init__(self, library: Library, plan: Plan, prune: bool) -> None:
        self._library, self._plan = library, plan
        self._moved = {item.row: item.ref for item in plan.known if item.how == Relation.MOVED}
        self._pruned = set(plan.gone) if prune else set()
        self._worked_on = {ref.source for ref in plan.refs}
        restored = {item.ref.source for item in plan.known if item.how == Relation.RESTORED}
        # The bytes of these are no longer what the rows of their duplicates say.
        self._lost = (self._worked_on - restored | self._pruned) - self._moved.keys()
        self._rows = self._wanted()

    @property
    def pruned_bytes(self) -> int:
        """The size of all outputs that are pruned."""
        return sum(self._rows[source]["output_size"] for source in self._pruned)

    def _wanted(self) -> dict[str, Row]:
        """The rows that change or are copied, by source."""
        plan = self._plan
        sources = {item.row for item in plan.known}
        sources.update(plan.newly_gone, plan.back, plan.dropped, self._pruned)
        columns = ["source", "duplicate_of", "status", "source_sha256"]
        links = manifest.read(self._library.manifest, columns)
        hashes = dict(zip(*(links[name].to_pylist() for name in columns[::3]), strict=True))
        # Near duplicates stay those of a photo that is done anew and has not changed.
        same = {
            ref.source for ref, sha256 in plan.hashes.items() if hashes.get(ref.source) == sha256
        }
        touched = pa.array([*self._lost, *self._moved], pa.string())
        self._referring = [
            row["source"]
            for row in links.filter(pc.is_in(links["duplicate_of"], touched)).to_pylist()
            if row["source"] not in self._worked_on
            and (row["status"] == Status.DUPLICATE or row["duplicate_of"] not in same)
        ]
        sources.update(self._referring)
        if not sources:
            return {}
        table = manifest.read(self._library.manifest)
        found = table.filter(pc.is_in(table["source"], pa.array(list(sources), pa.string())))
        return {row["source"]: row for row in found.to_pylist()}

    def place(self, item: KnownFile, how: Placing) -> list[Row]:
        """Put a known file in its place; its new row, and what becomes of the old one."""
        row = self._rows[item.row]
        try:
            _place(self._library, item, row, how)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            return [manifest.copy_row(row, not_copied(item.ref, error))]
        if item.how == Relation.DUPLICATE:
            if item.row in self._moved:
                row = manifest.moved_row(row, self._moved[item.row])
            return [manifest.copy_row(self._renamed(row), Placed(item.ref))]
        new = [manifest.moved_row(self._renamed(row), item.ref)]
        if item.how == Relation.MOVED and item.row not in self._worked_on:
            new.append(manifest.removed_row(row))
        return new

    def marks(self) -> list[Row]:
        """Rows of sources that went away or came back, and of duplicates that lost their twin."""
        plan, now = self._plan, manifest.utc(dt.datetime.now(dt.UTC).timestamp())
        new = {name: {**self._rows[name], "gone": now} for name in plan.newly_gone}
        new |= {name: {**self._rows[name], "gone": None} for name in plan.back}
        heirs: dict[str, str] = {}
        for name in self._referring:
            if name in self._pruned:
                continue
            row = new.get(name, self._rows[name])
            twin = row["duplicate_of"]
            if twin in self._moved:
                row = self._renamed(row)
            elif row["status"] == Status.SKIPPED:  # the next run finds what it is like now
                row = manifest.removed_row(row)
            else:
                heir = heirs.setdefault(twin, name)
                row = (
                    {**row, "status": _own_status(row), "duplicate_of": None, "distance": None}
                    if heir == name
                    else {**row, "duplicate_of": heir}
                )
            new[name] = row
        for name in (*plan.dropped, *self._pruned):
            new[name] = manifest.removed_row(self._rows[name])
        return list(new.values())

    def _renamed(self, row: Row) -> Row:
        twin = self._moved.get(row["duplicate_of"])
        return row if twin is None else {**row, "duplicate_of": twin.source}


def _own_status(duplicate: Row) -> str:
    """The status of a duplicate that stands for itself now: that which its twin had."""
    if duplicate["faces"]:
        return Status.CLOAKED
    if duplicate["format"] is None:
        return Status.COMPANION
    return Status.UNCHANGED if duplicate["reason"] else Status.NO_FACE


def _staged(library: Library, plan: Plan) -> Iterator[KnownFile]:
    """The known files, what they are made of being safe from being written over."""
    written = {ref.output for ref in plan.refs}
    if not any(item.output in written for item in plan.known):
        yield from plan.known
        return
    table = manifest.read(library.manifest, ["source", "output_sha256"])
    hashes: Mapping[str, str] = dict(zip(*(column.to_pylist() for column in table), strict=True))
    for item in plan.known:
        if item.output in written and item.output != item.ref.output:
            aside = f"{MOVING}/{hashes[item.row]}"
            source, target = (storage.inside(library.root, name) for name in (item.output, aside))
            storage.link_atomic(source, target, library.scratch)
            item = replace(item, output=aside)
        yield item


def _place(library: Library, item: KnownFile, row: Mapping[str, Any], how: Placing) -> None:
    target = output_names.place(library.root, item.ref.output)
    if item.how == Relation.DUPLICATE or (
        item.how == Relation.RESTORED and item.output != item.ref.output
    ):
        root, scratch = library.root, library.scratch
        place_copy(item.output, row["output_sha256"], item.ref, root, scratch, how)
        return
    if item.output != item.ref.output:
        storage.link_atomic(storage.join(library.root, item.output), target, library.scratch)
    if storage.is_local(target):
        storage.set_mtime(target, item.ref.mtime)


def _relative(library: Library, names: list[str]) -> list[str]:
    """Paths of outputs as the file system knows them: a manifest cannot hold every name."""
    if not any("\\x" in name for name in names):
        return names
    wanted = set(names)
    return [e.relative for e in storage.walk(library.root) if printable(e.relative) in wanted]
