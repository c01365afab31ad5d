"""Puts originals in place of cloaked photos, as a review asks."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.state.review import Review
from photoveil.transforms.io import storage
from photoveil.transforms.naming import output_names
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import ContentGroup, PhotoRef, Status

Row = dict[str, Any]


def put_originals(
    library: Library, groups: Sequence[ContentGroup], review: Review, names: Iterator[str]
) -> list[Row]:
    """Put the originals in place of the outputs of photos that the library has rows of.

    The bytes are those of the original, its metadata and embedded pictures too.

    Args:
        names: of parts of the manifest, of which one is taken. review: what the rows say of it.

    Returns:
        The new rows, which are committed.

    Raises:
        OSError: the disk is full, or the manifest cannot be written.
    """
    refs = {ref.source: ref for group in groups for ref in (group.ref, *group.copies)}
    if not refs:
        return []
    table = manifest.read(library.manifest)
    wanted = table.filter(pc.is_in(table["source"], pa.array(list(refs), pa.string())))
    rows = [_put(library, row, refs[row["source"]], review) for row in wanted.to_pylist()]
    manifest.write_part(rows, library.manifest, library.scratch, next(names))
    return rows


def _put(library: Library, row: Row, ref: PhotoRef, review: Review) -> Row:
    """Put one original in its place; its new row, which says so or why it did not work."""
    new = manifest.moved_row(row, ref)
    try:
        data = storage.read_bytes(ref.path)
    except OSError as error:
        return _failed(new, Reason.NOT_READ.of(system=storage.explain(error)))
    if hashlib.sha256(data).hexdigest() != row["source_sha256"]:
        return _failed(new, Reason.CHANGED.of())
    try:
        target = output_names.place(library.root, ref.output)
        storage.write_atomic(target, data, library.scratch, ref.mtime, like=ref.path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _failed(new, Reason.NOT_WRITTEN.of(system=storage.explain(error)))
    is_copy = row["status"] == Status.DUPLICATE
    return {
        **new,
        "status": Status.DUPLICATE if is_copy else Status.UNCHANGED,
        "reason": Reason.LEFT_PHOTO.of(),
        "retry": False,
        "duplicate_of": row["duplicate_of"] if is_copy else None,
        "distance": row["distance"] if is_copy else None,
        "output_sha256": row["source_sha256"],
        "output_size": len(data),
        "faces": [],
        "notes": list(output_names.note(ref.naming)),
        "review": review.wish(row["source_sha256"], ()).fingerprint,
        "finished": manifest.utc(time.time()),
    }


def _failed(row: Row, reason: str) -> Row:
    return {
        **row,
        **{"status": Status.FAILED, "reason": reason, "retry": True, "output": None},
        **{"duplicate_of": None, "distance": None, "output_sha256": None, "output_size": None},
        **{"faces": [], "notes": []},
    }
