"""The id of a library: random, made once, and kept in the library wherever that is moved."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

from photoveil.transforms.io import storage

FOLDER = "_photoveil"
"""Of the program's own files, in the output tree."""
FILE = f"{FOLDER}/library.json"
_FORMAT = 1  # of the library; a program refuses one of a later format


class LibraryError(ValueError):
    """A run that must not start; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Identity:
    """What a library says of itself, in a file of its own.

    id: random, made once; the library keeps it wherever it is moved. forgotten: when its private
    state was deleted on purpose, ISO 8601, until a run begins another one.
    """

    id: str
    forgotten: str | None = None


def read_identity(root: str) -> Identity | None:
    """None where there is no library, or one that version 0.1.0 made.

    Raises:
        LibraryError: it is damaged, or of a later version.
        OSError: it cannot be read.
    """
    path = storage.join(root, FILE)
    if not storage.exists(path):
        return None
    try:
        fields = json.loads(storage.read_bytes(path))
        found = Identity(fields["id"], fields["forgotten"])
        newer = fields["format"] > _FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise LibraryError(
            f"{path} is damaged; delete that file and run the same command again: the private "
            "state says which library this is"
        ) from error
    if newer:
        raise LibraryError(f"{root} was made by a later version of Photoveil; install that one")
    return found


def library_around(path: str) -> str | None:
    """The library that a place on a disk lies in; None where it lies in none."""
    while storage.is_local(path):
        if storage.exists(storage.join(path, f"{FOLDER}/manifest")):
            return path
        above = os.path.dirname(path)
        if above == path:
            break
        path = above
    return None


def write_identity(identity: Identity, root: str) -> None:
    """Let the library at `root` say this of itself.

    Raises:
        OSError: it cannot be written.
    """
    data = json.dumps({**asdict(identity), "format": _FORMAT}, indent=1).encode()
    scratch = storage.join(root, f"{FOLDER}/unfinished")
    storage.write_atomic(storage.join(root, FILE), data, scratch)
