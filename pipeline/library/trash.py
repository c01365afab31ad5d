"""Where cloaked files go that the library deletes: a folder for each run, in the private state.

trash/RUN/photos/...       the files, by their paths in the library
trash/RUN/rows/*.parquet   their rows of the manifest

A run names its folder by its number and its time. The folders of earlier runs are emptied when a
later `--prune` has put its own files away.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from photoveil.pipeline.library import manifest, sequence
from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.library.library import Library
from photoveil.transforms.io import parquet, storage
from photoveil.transforms.io.storage import printable
from photoveil.transforms.records import Status

FOLDER = "trash"
_PHOTOS, _ROWS = "photos", "rows"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """What lies in the trash of one run. folder: its path. files: how many there are."""

    folder: str
    files: int


def listing(library: Library) -> list[Kept]:
    """What lies in the trash, oldest first."""
    root = storage.join(library.state, FOLDER)
    files = [entry.relative.split("/") for entry in _files(root)]
    runs = sequence.oldest_first({parts[0] for parts in files})
    return [
        Kept(storage.join(root, run), sum(parts[:2] == [run, _PHOTOS] for parts in files))
        for run in runs
    ]


def folder(library: Library, run: str) -> str:
    """The trash of the run with that name."""
    return storage.join(library.state, f"{FOLDER}/{run}")


def put(library: Library, files: Mapping[str, Row], run: str, part: str) -> None:
    """Keep files of the library in the trash of a run; they stay where they are, too.

    Args:
        files: the manifest row of each, by its path below the library. part: name of these rows.

    Raises:
        OSError: they cannot be written; the message says what to do.
    """
    target = folder(library, run)
    rows = []
    try:
        for relative, row in files.items():
            source = storage.inside(library.root, relative)
            if not storage.exists(source):  # someone else deleted it
                continue
            place = storage.inside(f"{target}/{_PHOTOS}", relative)
            if storage.exists(place) and not _is_same(source, place):
                raise FileExistsError(errno.EEXIST, "that disk takes two of their names for one")
            _copy(source, place, _scratch(library))
            rows.append(row)
        known = [row for row in rows if row["status"] != Status.REMOVED]
        if known:
            table = pa.Table.from_pylist(known, manifest.SCHEMA)
            path = storage.join(target, f"{_ROWS}/{part}.parquet")
            parquet.write(table, path, _scratch(library))
    except OSError as error:
        raise OSError(
            f"{target}: the cloaked files to delete cannot be kept there first "
            f"({storage.explain(error)}). None of them was deleted. Make room on that disk, or "
            "move the state to another (--state), and run the same command again"
        ) from error


def check_room(library: Library, needed: int) -> None:
    """Find out whether the trash has room, before anything is pruned.

    Args:
        needed: bytes.

    Raises:
        LibraryError: it has not.
    """
    if not storage.is_local(library.state):
        return
    here = storage.is_local(library.root)
    if here and os.stat(library.root).st_dev == os.stat(library.state).st_dev:
        return  # a second name takes no room
    free = shutil.disk_usage(library.state).free
    if needed > free:
        raise LibraryError(
            f"the {needed / 1e6:,.0f} MB to prune are first kept in {library.state}, where only "
            f"{free / 1e6:,.0f} MB are free. Nothing was pruned; make room there, or move the "
            "state to a larger disk (--state)"
        )


def empty_earlier(library: Library, run: str) -> None:
    """Delete the trash of all runs but that one."""
    for kept in listing(library):
        if kept.folder != folder(library, run):
            storage.remove_folder(kept.folder)


def restore(library: Library, names: Iterator[str]) -> tuple[int, list[str]]:
    """Put the files in the trash back into the library, with their rows. The caller holds its lock.

    A file stays in the trash whose source has a row in the manifest by now, or whose place is
    taken.

    Args:
        names: of manifest parts to write.

    Returns:
        How many files were put back, and the paths in the library of those that stay.

    Raises:
        OSError: one cannot be read or written.
    """
    back, left = 0, list[str]()
    for kept in reversed(listing(library)):
        taken = set(manifest.read(library.manifest, ["source"])["source"].to_pylist())
        rows: dict[str, dict[str, Any]] = {}
        for path in sequence.oldest_first(parquet.parts(storage.join(kept.folder, _ROWS))):
            rows.update((row["output"], row) for row in manifest.read_part(path).to_pylist())
        placed = {}
        photos = storage.join(kept.folder, _PHOTOS)
        for relative in [entry.relative for entry in _files(photos)]:
            row, target = rows.get(printable(relative)), storage.inside(library.root, relative)
            if row is None or row["source"] in taken or storage.exists(target):
                continue
            _copy(storage.join(photos, relative), target, library.scratch)
            placed[relative] = row
        if placed:
            rows_back = list(placed.values())
            manifest.write_part(rows_back, library.manifest, library.scratch, next(names))
            storage.remove([storage.join(photos, relative) for relative in placed])
            storage.remove_empty_folders(photos, placed)
            back += len(placed)
        staying = [printable(entry.relative) for entry in _files(photos)]
        if not staying:
            storage.remove_folder(kept.folder)
        left += staying
    return back, sorted(left)


def _is_same(one: str, other: str) -> bool:
    return storage.read_bytes(one) == storage.read_bytes(other)


def _copy(source: str, target: str, scratch: str) -> None:
    """A second name of a file where that can be; else a copy, synced to its disk."""
    if _store(source) == _store(target):
        storage.link_atomic(source, target, scratch)
    else:
        storage.write_atomic(target, storage.read_bytes(source), scratch)


def _store(path: str) -> str:
    """Which kind of storage: files are linked or copied within one only."""
    return "" if storage.is_local(path) else path.partition("://")[0]


def _scratch(library: Library) -> str:
    return storage.join(library.state, f"{FOLDER}/unfinished")


def _files(root: str) -> list[storage.Entry]:
    found = storage.walk(root) if storage.exists(root) else ()
    return [entry for entry in found if not entry.relative.startswith("unfinished/")]
