"""Exact duplicates: files with the same bytes are cloaked once, and each gets the output."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

from photoveil.transforms.io import storage
from photoveil.transforms.naming import output_names
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import ContentGroup, PhotoRef, Placed

Placing = Literal["copy", "link"]
"""How a duplicate gets the cloaked file: a copy of its own, or a hard link, which takes no room
but shares the modification time (on local disks; elsewhere always a copy)."""


class OutputChangedError(OSError):
    """A cloaked file is no longer the one that was written."""


def not_copied(ref: PhotoRef, error: OSError) -> Placed:
    """Return the failure of an exact duplicate that could not be written."""
    reason = Reason.NOT_WRITTEN.of(system=storage.explain(error))
    return Placed(ref, reason, not storage.is_of_name(error))


def group_by_content(
    refs: Iterable[PhotoRef], hashes: Mapping[PhotoRef, str]
) -> list[ContentGroup]:
    """Group files with the same bytes, each group led by its first file and in the order of those.

    Args:
        hashes: of the bytes; a file without one has no duplicate.
    """
    groups: defaultdict[str | PhotoRef, list[PhotoRef]] = defaultdict(list)
    for ref in refs:
        groups[hashes.get(ref, ref)].append(ref)
    return [ContentGroup(first, tuple(copies)) for first, *copies in groups.values()]


def place_copy(
    output: str, sha256: str, ref: PhotoRef, root: str, scratch: str, how: Placing
) -> None:
    """Give `ref` the cloaked file that was made of a file with the same bytes.

    Args:
        output: path of that file below `root`.
        sha256: hex, of that file when it was written.

    Raises:
        OutputChangedError: it is another file now.
        OSError: it cannot be read, or the copy cannot be written.
    """
    source, target = storage.join(root, output), output_names.place(root, ref.output)
    data = storage.read_bytes(source)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OutputChangedError(
            f"the cloaked form of its twin, {output}, was changed by someone else"
        )
    if how == "link" and storage.is_local(root):
        storage.link_atomic(source, target, scratch)
    else:
        storage.write_atomic(target, data, scratch, ref.mtime, like=ref.path)
