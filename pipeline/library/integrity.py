"""Is a library what its manifest says, and are the originals what they were when it was made?

Everything is read again: each output is hashed and decoded, each original hashed, and the files of
both trees are held against the rows of the manifest.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from photoveil.pipeline.library.identity import FILE, FOLDER
from photoveil.pipeline.library.library import MOVING, Library
from photoveil.pipeline.library.manifest import utc
from photoveil.transforms import codecs
from photoveil.transforms.failures import failure
from photoveil.transforms.io import parquet, storage
from photoveil.transforms.io.storage import Entry, printable
from photoveil.transforms.naming import output_names
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.discover import discover
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.records import PhotoRef

Kind = Literal[
    "part",
    "lost",
    "damaged",
    "unreadable",
    "orphan",
    "unopened",
    "unfinished",
    "stray",
    "new",
    "changed",
    "gone",
    "spoilt",
    "unseen",
]
Mend = Literal["run", "repair", "hand"]

KINDS: Mapping[Kind, tuple[str, Mend]] = {
    "part": ("parts of the manifest that cannot be read", "repair"),
    "lost": ("cloaked files that are missing or were cut", "run"),
    "damaged": ("cloaked files with other bytes than were written", "repair"),
    "unreadable": ("cloaked files that cannot be opened", "repair"),
    "orphan": ("cloaked files that are lost or damaged, their originals being gone", "hand"),
    "unopened": ("cloaked files that cannot be checked here", "hand"),
    "unfinished": ("cloaked files of a run that was interrupted", "run"),
    "stray": ("files in the library that the manifest does not know", "hand"),
    "new": ("originals that the manifest does not know", "run"),
    "changed": ("originals that were changed since", "run"),
    "gone": ("originals that were moved or deleted since", "run"),
    "spoilt": ("originals with other bytes, though size and date are as they were", "hand"),
    "unseen": ("originals that cannot be looked at", "hand"),
}
"""What may be wrong, in the order in which it is told; and what mends it: the next run, or a
repair before it, or the user's own hand."""

COLUMNS = (
    *("source", "output", "status", "source_sha256", "output_sha256", "source_size"),
    *("output_size", "source_modified", "format", "mode", "gone"),
)

_READERS = 8  # files read at once: disks and networks like a queue
_QUEUED = 1_000  # checks handed out together
_NO_LIMIT = 1 << 62
LIMITS = ReadLimits()
"""Of the process that opens a file."""
_LITTER = {".ds_store", "thumbs.db", "desktop.ini"}  # of file browsers: it says nothing of photos
_OWN_FOLDERS = tuple(f"{FOLDER}/{name}/" for name in ("manifest", "runs", "unfinished", "moving"))

Row = Mapping[str, Any]
Check = Callable[[], "Finding | None"]


@dataclass(frozen=True)
class Finding:
    """Something that is not in order.

    file: below the library's root or below the input folder, as the kind says; valid UTF-8.
    detail: what is known beyond the kind. path: the file that a repair takes away.
    """

    kind: Kind
    file: str
    detail: str = ""
    path: str | None = None


def unreadable_parts(library: Library) -> list[Finding]:
    """The parts of the manifest that were damaged; while there are any, nothing else is known."""
    found = []
    for path in parquet.parts(library.manifest):
        try:
            parquet.read(path)
        except parquet.DamagedTable as error:
            name = f"{FOLDER}/manifest/{os.path.basename(path)}"
            found.append(Finding("part", name, storage.explain(error), path))
    return found


def check_library(library: Library, rows: Sequence[Row]) -> tuple[list[Finding], list[Check]]:
    """Hold both trees against the manifest without opening a photo.

    Args:
        rows: the manifest's, with `COLUMNS`.

    Returns:
        What is wrong already, and the checks that open a file each.

    Raises:
        OSError: a tree cannot be listed.
    """
    named = (row["output"] for row in rows if row["output"] is not None)
    listing = output_names.listing(library.root, named)
    outputs = {printable(entry.relative): entry for entry in listing}
    originals = {ref.source: ref for ref in discover(library.source)}
    by_source = {row["source"]: row for row in rows}
    found = [*_strays(outputs, by_source, originals), *_unaccounted(originals, by_source)]
    checks: list[Check] = []
    decoded = set()
    decoders = threading.Semaphore(os.cpu_count() or 1)  # pixels take memory, bytes little
    for row in rows:
        ref = originals.get(row["source"])
        if row["output"] is not None:
            entry = _entry(outputs, row)
            if entry is None:
                found.append(Finding("orphan" if ref is None else "lost", row["output"]))
            else:
                to_decode = row["format"] is not None and row["output_sha256"] not in decoded
                decoded.add(row["output_sha256"])
                path = storage.join(library.root, entry.relative)
                check = partial(_check_output, row, path, decoders if to_decode else None)
                checks.append(check if ref is not None else partial(_as_orphan, check))
        if ref is not None and row["source_sha256"] is not None and _same_date(ref, row):
            checks.append(partial(_check_original, row, ref))
    return found, checks


def carry_out(checks: Sequence[Check]) -> Iterator[Finding | None]:
    """Carry checks out, several at once, in their order."""
    with ThreadPoolExecutor(_READERS) as pool:
        try:
            for start in range(0, len(checks), _QUEUED):
                yield from pool.map(lambda check: check(), checks[start : start + _QUEUED])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def repair(library: Library, findings: Iterable[Finding]) -> int:
    """Take away what was damaged, so that the next run makes it anew; how many files.

    Raises:
        OSError: one cannot be deleted.
    """
    paths = [found.path for found in findings if KINDS[found.kind][1] == "repair"]
    storage.remove(path for path in paths if path is not None)
    return len(paths)


def _entry(outputs: Mapping[str, Entry], row: Row) -> Entry | None:
    """The file of a row, whole as far as its size tells; where the plan, too, looks for it."""
    for place in (row["output"], f"{MOVING}/{row['output_sha256']}"):
        entry = outputs.get(place)
        if entry is not None and entry.size == row["output_size"]:
            return entry
    return None


def _same_date(ref: PhotoRef, row: Row) -> bool:
    return (ref.size, utc(ref.mtime)) == (row["source_size"], row["source_modified"])


def _strays(
    outputs: Mapping[str, Entry], by_source: Mapping[str, Row], originals: Mapping[str, PhotoRef]
) -> Iterator[Finding]:
    known = {FILE, *(row["output"] for row in by_source.values())}
    may_be_unfinished = output_names.may_be_of(originals.keys() - by_source.keys())
    for name in outputs:
        own = name in known or name.startswith((*_OWN_FOLDERS, f"{FOLDER}/lock"))
        if own or os.path.basename(name).lower() in _LITTER:
            continue
        yield Finding("unfinished" if may_be_unfinished(name) else "stray", name)


def _unaccounted(
    originals: Mapping[str, PhotoRef], by_source: Mapping[str, Row]
) -> Iterator[Finding]:
    for name, ref in originals.items():
        row = by_source.get(name)
        if ref.problem is not None:
            if row is None or row["output"] is not None:
                yield Finding("unseen", name, ref.problem)
        elif row is None:
            yield Finding("new", name)
        elif not _same_date(ref, row):
            yield Finding("changed", name)
    # What lies in a folder that cannot be listed is unseen, not gone.
    unseen = tuple(f"{ref.source}/" for ref in originals.values() if ref.problem)
    for name, row in by_source.items():
        if name not in originals and row["gone"] is None and not name.startswith(unseen):
            yield Finding("gone", name)


def _check_output(row: Row, path: str, decoders: threading.Semaphore | None) -> Finding | None:
    """Args: decoders: of those at work at once; None for a file that need not be decoded."""
    name, wanted = row["output"], row["output_sha256"]
    try:
        if decoders is None:
            return None if storage.sha256(path) == wanted else Finding("damaged", name, path=path)
        data = storage.read_bytes(path)
        if hashlib.sha256(data).hexdigest() != wanted:
            return Finding("damaged", name, path=path)
        with decoders:
            codec_process.decode(data, _NO_LIMIT, LIMITS)
    except (codecs.MissingPackage, codecs.TooMuch) as error:  # it need not be damaged
        return Finding("unopened", name, str(error))
    except codecs.CodecError as error:
        return Finding("unreadable", name, str(error), path)
    except OSError as error:
        return Finding("unopened", name, storage.explain(error))
    except Exception as error:
        return Finding("unopened", name, failure("reading", error).reason)
    return None


def _as_orphan(check: Check) -> Finding | None:
    """A check of an output that cannot be made anew, and so must not be taken away."""
    found = check()
    if found is None or found.path is None:
        return found
    return Finding("orphan", found.file, found.detail)


def _check_original(row: Row, ref: PhotoRef) -> Finding | None:
    try:
        sha256 = storage.sha256(ref.path)
    except OSError as error:
        return Finding("unseen", ref.source, storage.explain(error))
    return None if sha256 == row["source_sha256"] else Finding("spoilt", ref.source)
