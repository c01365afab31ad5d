"""How a stored picture is turned to be upright: which tag says it, and how to turn arrays.

An orientation is a number from 1 to 8 as in EXIF (tag 0x0112, EXIF 2.32 section 4.6.4). Programs do
not agree on the tags that they read. docs/formats.md has a table of what they do, and `Orientation`
holds both: what most of them show, and what others may.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

TAG = 0x0112

_HEADER = b"Exif\0\0"
_SHORT = 3
_READERS = {_SHORT: "H", 4: "I"}  # the types of a tag's value: 16 or 32 bits, unsigned
_XMP = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])\s*[\"'<]")


@dataclass(frozen=True)
class Orientation:
    """The orientations of a photo.

    shown: that by which most viewers show the stored pixels.
    others: those by which some programs show them.
    """

    shown: int = 1
    others: tuple[int, ...] = ()

    @property
    def turns(self) -> tuple[int, ...]:
        """The other orientations, applied to the picture as it is shown."""
        back = inverse(self.shown)
        return tuple(combined(back, other) for other in self.others)


def chosen(shown: int | None, others: Iterable[int | None]) -> Orientation:
    """Combine the orientation that most viewers show with other ones; None stands for no tag."""
    shown = shown or 1
    return Orientation(shown, tuple(sorted({one for one in others if one} - {shown})))


def in_exif(block: bytes) -> tuple[int | None, int | None]:
    """Read the orientation in the first directory of an EXIF block.

    Returns:
        As browsers read it, which is a value of 16 bits; and as others do, whatever its width. None
        if there is no value from 1 to 8.
    """
    while block.startswith(_HEADER):
        block = block[len(_HEADER) :]
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return None, None
    try:
        (first,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, first)
        for at in range(first + 2, first + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", block, at)
            if tag == TAG and kind in _READERS:
                (value,) = struct.unpack_from(order + _READERS[kind], block, at + 8)
                found = value if 1 <= value <= 8 else None
                return found if kind == _SHORT else None, found
    except struct.error:  # cut off: what was read before it counts
        pass
    return None, None


def in_xmp(packet: bytes) -> int | None:
    """Read the `tiff:Orientation` of an XMP packet; None if there is no value from 1 to 8."""
    found = _XMP.search(packet)
    return int(found[1]) if found else None


def is_transposed(orientation: int) -> bool:
    """Return True if rows are stored as columns; this is undone before mirroring."""
    return orientation >= 5


def is_mirrored_across(orientation: int) -> bool:
    """Return True if left is stored on the right."""
    return orientation in (2, 3, 6, 7)


def is_mirrored_down(orientation: int) -> bool:
    """Return True if the top is stored at the bottom."""
    return orientation in (3, 4, 7, 8)


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """View a stored (H, W, ...) array upright."""
    if is_transposed(orientation):
        stored = stored.swapaxes(0, 1)
    if is_mirrored_across(orientation):
        stored = stored[:, ::-1]
    if is_mirrored_down(orientation):
        stored = stored[::-1]
    return stored


def upright_vectors(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored (H, W, 2) vectors (x, y) along with the pixels that they belong to."""
    turned = upright(stored, orientation)
    if is_transposed(orientation):
        turned = turned[..., ::-1]
    signs = (
        -1 if is_mirrored_across(orientation) else 1,
        -1 if is_mirrored_down(orientation) else 1,
    )
    return turned * np.array(signs, stored.dtype)


def as_stored(seen: np.ndarray, orientation: int) -> np.ndarray:
    """View an upright (H, W, ...) array as it is stored; the inverse of `upright`."""
    return upright(seen, inverse(orientation))


def inverse(orientation: int) -> int:
    """Return the orientation that undoes another."""
    # Turning by a quarter is undone by the opposite quarter; all others undo themselves.
    return {6: 8, 8: 6}.get(orientation, orientation)


def quarter(orientation: int) -> int:
    """Return how many quarter turns anticlockwise, 0..3, an orientation makes, mirroring aside."""
    return {1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}[orientation]


@cache
def combined(first: int, then: int) -> int:
    """Return the one orientation that does what two do one after the other."""
    corners = np.arange(4).reshape(2, 2)
    both = upright(upright(corners, first), then)
    return next(one for one in range(1, 9) if np.array_equal(upright(corners, one), both))
