"""Exact duplicates: files with the same bytes are one photo, cloaked once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from transforms.discover import PhotoRef


@dataclass(frozen=True)
class Published:
    """An output of this library that already holds the cloaked form of some bytes.

    output: path below the library's root. output_sha256: hex, of that file when it was written.
    source: the input file it was made from. width, height: pixels, upright.
    """

    output: str
    output_sha256: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class ContentGroup:
    """All files that hold the same bytes.

    ref: the one that is cloaked, the first by name. copies: the others; they get its output.
    published: the output made of these bytes earlier, if any; then nothing is cloaked.
    """

    ref: PhotoRef
    sha256: str
    format: str
    copies: tuple[PhotoRef, ...] = ()
    published: Published | None = None


def group_by_content(
    sha256: str, refs: Iterable[PhotoRef], format: str, published: Iterable[Published]
) -> ContentGroup:
    """The group of the files that have one hash.

    Args:
        refs: at least one, in any order. format: "JPEG" or "PNG", which the bytes decide.
        published: none or one.
    """
    first, *copies = sorted(refs, key=lambda ref: ref.relative)
    return ContentGroup(first, sha256, format, tuple(copies), next(iter(published), None))
