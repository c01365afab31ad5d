"""Find the files of an archive, as references: nothing is opened here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from transforms import extensions, storage
from transforms.junk import is_junk

_HEAD = 32  # bytes that tell a format


@dataclass(frozen=True)
class Naming:
    """Where the output of a file lies when OUT does not take the file's own path; and why not.

    path: below OUT.
    """

    path: str
    why: str


@dataclass(frozen=True)
class PhotoRef:
    """A file of the input tree that may be a photo.

    root, relative: where it lies; see `storage.Entry` for names that are no UTF-8.
    size: bytes. mtime: seconds since the epoch.
    problem: why it cannot be opened, if that is known already.
    naming: of its output; it tells nothing of the file itself, so it does not count in comparisons.
    """

    root: str
    relative: str
    size: int
    mtime: float
    problem: str | None = None
    naming: Naming | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> str:
        """Where to read it."""
        return storage.join(self.root, self.relative)

    @property
    def source(self) -> str:
        """`relative` as valid UTF-8 for people and manifests; odd bytes as \\xNN."""
        return printable(self.relative)

    @property
    def output(self) -> str:
        """Where its output lies, below OUT."""
        return self.relative if self.naming is None else self.naming.path

    @property
    def key(self) -> str:
        """A short ASCII name of the reference, safe as a Beam key whatever the file's name."""
        return hashlib.sha256(os.fsencode(self.relative)).hexdigest()[:32]


def printable(name: str) -> str:
    """A file name as valid UTF-8, bytes that are none written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def discover(root: str) -> Iterator[PhotoRef]:
    """Every file below `root`, and whatever else lies there with its problem named.

    Raises:
        OSError: `root` cannot be listed.
    """
    for entry in storage.walk(root):
        yield PhotoRef(root, entry.relative, entry.size, entry.mtime, entry.problem)


def holds_photo(root: str) -> bool:
    """True when a photo lies below `root`, or something that may be one and cannot be read.

    Most archives are known by the name of their first photo. Where no name is a photo's, files are
    opened until the first bytes of one are.

    Raises:
        OSError: `root` cannot be listed.
    """
    doubtful = []
    for ref in discover(root):
        if is_junk(ref.source):
            continue
        extension = os.path.splitext(ref.relative)[1].lower()
        if extension in extensions.PHOTOS or ref.problem is not None:
            return True
        if extension not in extensions.VIDEOS | extensions.SIDECARS:
            doubtful.append(ref)
    if not doubtful:
        return False
    from transforms.codecs import sniff  # slow to load, and seldom needed

    return any(map(partial(_begins_as_photo, sniff), doubtful))


def _begins_as_photo(sniff: Callable[[bytes], str | None], ref: PhotoRef) -> bool:
    try:
        return sniff(storage.read_bytes(ref.path, _HEAD)) is not None
    except OSError:
        return True  # the run says what is wrong with it
