"""The gain map of an Ultra HDR photo (Android's Ultra HDR Image Format 1.1, ISO 21496-1, Apple's).

It is a small JPEG after the photo that says how much a bright screen should brighten each place. It
shows the light on a face, which no cloak has changed. Under each cloak it is replaced by a
paraboloid: brighter towards one side or towards the middle, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from photoveil.transforms.codecs import mpf, segments, xmp
from photoveil.transforms.codecs.errors import CodecError
from photoveil.transforms.codecs.segments import APP1, APP2, Segment

ISO = b"urn:iso:std:iso:ts:21496:-1\0"
"""How the APP2 segment begins that announces a gain map in a photo, and describes it in the map."""

_MARKS = (b"http://ns.adobe.com/hdr-gain-map/1.0/", b"http://ns.apple.com/HDRGainMap/1.0/")
_CELLS = 512  # of the photo's longer side, by which faces are told apart
_MARGIN, _FEATHER = 0.1, 0.2  # of the longer side of a cloaked region
_SAMPLES = 64  # a side, of what a paraboloid is fitted to
_STRETCH = 0.05  # largest difference between the proportions of a photo and its map


@dataclass(frozen=True)
class GainMap:
    """Where a gain map is in a file.

    number: of its entry in the MPF list; None without one.
    item: of its entry in the XMP directory; None without one.
    """

    start: int
    end: int
    number: int | None
    item: int | None


@dataclass(frozen=True)
class Region:
    """A cloaked part of a photo; its borders are fractions of the photo's height and width."""

    top: float
    left: float
    bottom: float
    right: float


def find(data: bytes, end: int, listing: bytes, packet: bytes) -> GainMap | None:
    """Find the gain map that a file lists after the photo; None if there is no readable one.

    Args:
        data: the file.
        end: offset of the end of the photo itself.
        listing: payload of the MPF segment, or nothing.
        packet: XMP.
    """
    numbers = {start: (number, size) for number, start, size in mpf.listed(listing, data)}
    items: dict[int, tuple[int, xmp.ContainerItem]] = {}
    position = end
    for index, one in enumerate(xmp.items(packet)):
        if not one.is_primary:
            items[position] = (index, one)
            position += one.length
        position += one.padding
    for start in sorted(numbers.keys() | items.keys()):
        listed, item = numbers.get(start), items.get(start)
        try:
            parts, stop = segments.split(data, start)
        except CodecError:
            continue
        named = item is not None and item[1].semantic == b"GainMap"
        room = max(listed[1] if listed else 0, item[1].length if item else 0)
        if stop - start <= room and (named or any(map(_is_mark, parts))):
            number, place = listed[0] if listed else None, item[0] if item else None
            return GainMap(start, start + room, number, place)
    return None


def _is_mark(segment: Segment) -> bool:
    if segment.marker == APP2:
        return segment.payload.startswith(ISO)
    return segment.marker == APP1 and any(mark in segment.payload for mark in _MARKS)


def regions(touched: np.ndarray) -> list[Region]:
    """Return boxes around the connected cloaked parts of a photo.

    Args:
        touched: bool (H, W), False where the photo stays as it is.
    """
    height, width = touched.shape
    side = max(1, math.ceil(max(height, width) / _CELLS))
    rows, columns = math.ceil(height / side), math.ceil(width / side)
    padded = np.pad(touched, ((0, rows * side - height), (0, columns * side - width)))
    cells = padded.reshape(rows, side, columns, side).any(axis=(1, 3))
    labels, _ = ndimage.label(cells, np.ones((3, 3)))
    return [
        Region(
            down.start * side / height,
            across.start * side / width,
            min(1.0, down.stop * side / height),
            min(1.0, across.stop * side / width),
        )
        for down, across in ndimage.find_objects(labels)
    ]


def fits(size: tuple[int, int], photo: tuple[int, int]) -> bool:
    """Return True if a gain map of one (height, width) can belong to a stored photo of another.

    It has about the photo's proportions and is not larger.
    """
    return (
        size[0] <= photo[0] + 16 and abs(size[0] * photo[1] / (size[1] * photo[0]) - 1) <= _STRETCH
    )


def smoothed(levels: np.ndarray, where: Sequence[Region]) -> np.ndarray:
    """Remove the detail of a component of the map in these regions.

    Args:
        levels: float32 (h, w), as large as the whole picture.

    Returns:
        float32 (h, w): unchanged except in the regions and close around them.
    """
    height, width = levels.shape
    result = levels.astype(np.float32)
    for one in where:
        top, left, bottom, right = (
            *(one.top * height, one.left * width),
            *(one.bottom * height, one.right * width),
        )
        side = max(bottom - top, right - left)
        margin, feather = side * _MARGIN + 1, side * _FEATHER + 1
        around = margin + feather + 1
        rows = slice(max(0, math.floor(top - around)), min(height, math.ceil(bottom + around)))
        columns = slice(max(0, math.floor(left - around)), min(width, math.ceil(right + around)))
        part = result[rows, columns]
        y, x = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
        below, beside = _beyond(y + 0.5, top, bottom), _beyond(x + 0.5, left, right)
        distance = np.maximum(below[:, np.newaxis], beside)
        weight = np.clip(1 - (distance - margin) / feather, 0, 1)
        result[rows, columns] = part + (_paraboloid(part) - part) * weight
    return result


def _paraboloid(part: np.ndarray) -> np.ndarray:
    """Fit a paraboloid to levels, float32 (h, w).

    Its six coefficients can express light from a side or from the front, and no face.
    """
    height, width = part.shape
    size = (min(width, _SAMPLES), min(height, _SAMPLES))
    few = np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BOX))
    terms = _terms(size[1], size[0]).reshape(-1, 6)
    numbers = np.linalg.lstsq(terms, few.ravel(), rcond=None)[0]
    smooth = (_terms(height, width) @ numbers.astype(np.float32)).astype(np.float32)
    return smooth.clip(few.min(), few.max())


def _terms(height: int, width: int) -> np.ndarray:
    """Compute the terms of a polynomial of the second degree, float32 (height, width, 6)."""
    y = (np.arange(height, dtype=np.float32)[:, np.newaxis] + 0.5) / height - 0.5
    x = (np.arange(width, dtype=np.float32)[np.newaxis] + 0.5) / width - 0.5
    y, x = np.broadcast_arrays(y, x)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2)


def _beyond(at: np.ndarray, first: float, last: float) -> np.ndarray:
    """Compute how far outside of an interval each place is; 0 inside of it."""
    return np.maximum(np.maximum(first - at, at - last), 0)
