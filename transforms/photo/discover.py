"""Find the files of an archive, as references: nothing is opened here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

from photoveil.transforms.io import storage
from photoveil.transforms.io.system_files import is_junk, is_trash
from photoveil.transforms.photo import extensions
from photoveil.transforms.records import PhotoRef

_HEAD = 32  # bytes that tell a format


def discover(root: str) -> Iterator[PhotoRef]:
    """Find every file below `root`, and whatever else lies there with its problem named.

    Trash folders are not looked into: nobody wants published what they have deleted.

    Raises:
        OSError: `root` cannot be listed.
    """
    for entry in storage.walk(root):
        if is_trash(entry.relative):
            continue
        yield PhotoRef(root, entry.relative, entry.size, entry.mtime, entry.problem)


def holds_photo(root: str, chosen: Callable[[str], bool] = lambda source: True) -> bool:
    """True when a photo lies below `root`, or something that may be one and cannot be read.

    Most archives are known by the name of their first photo. Where no name is a photo's, files are
    opened until the first bytes of one are.

    Args:
        chosen: says of a path below `root` whether it counts.

    Raises:
        OSError: `root` cannot be listed.
    """
    doubtful = []
    for ref in discover(root):
        if is_junk(ref.source) or not chosen(ref.source):
            continue
        extension = os.path.splitext(ref.relative)[1].lower()
        if extension in extensions.PHOTOS or ref.problem is not None:
            return True
        if extension not in extensions.VIDEOS | extensions.SIDECARS:
            doubtful.append(ref)
    if not doubtful:
        return False
    from photoveil.transforms.codecs import sniff  # slow to load, and seldom needed

    return any(map(partial(_begins_as_photo, sniff), doubtful))


def _begins_as_photo(sniff: Callable[[bytes], str | None], ref: PhotoRef) -> bool:
    try:
        return sniff(storage.read_bytes(ref.path, _HEAD)) is not None
    except OSError:
        return True  # the run says what is wrong with it
