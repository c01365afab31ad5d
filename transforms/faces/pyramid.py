"""The detector over a photo at several sizes, the large ones in tiles.

RetinaFace (Deng et al., CVPR 2020, arXiv:1905.00641) finds faces from about 16 pixels up to about
the size of its largest anchors. One pass at one size therefore misses either the face that fills
the frame or the small faces in the back row of a group photo; a pyramid of sizes finds both. The
finest level is as large as the smallest required face demands. It is cut into overlapping tiles, so
that memory does not grow with the photo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.faces.rows import (
    COLUMNS,
    SCORE,
    Detector,
    non_maximum_suppression,
    sides,
    turned_back,
)

# Side in pixels of a face that the detector finds nearly without fail: of 120 heads that lie apart
# on a smooth ground 120 score 0.5 and more at 20 pixels, 118 at 18. In denser scenes all are found
# at 16 already, 96 % at 14.
RELIABLE_FACE = 20

# Mean side in pixels of the largest face that is believed at a level that has a smaller one below
# it. The smaller level sees such a face too, and better: at 300 pixels and more the detector takes
# a leaf or a collar for a face, and its landmarks are less exact.
_LARGEST_FACE = 320

# Most pixels of one pass of the detector, which takes about 210 bytes for each.
_TILE_PIXELS = 1600 * 1200
# Ratio of the sizes of neighbouring levels above the fixed ones. A face that is too large for the
# overlap of two tiles, _STEP * RELIABLE_FACE and its clearance, is found at the level below.
_STEP = 6.0
_OVERLAP = 148
# A box nearer to the edge of a tile, in sides of the box, may be of a face that is cut through.
_CLEARANCE = 0.1


@dataclass(frozen=True)
class Tile:
    """A rectangle of a level, in pixels of the level."""

    left: int
    top: int
    right: int
    bottom: int


def level_sizes(
    height: int, width: int, long_sides: Sequence[int], smallest_face: int
) -> list[tuple[int, int]]:
    """Compute (height, width) of each pyramid level, smallest first.

    A level larger than the photo adds nothing but blur, so levels are capped at the photo's own
    size. A photo smaller than every level is enlarged to the smallest, because RetinaFace misses
    faces in tiny images.

    Args:
        height: of the photo in pixels.
        width: likewise.
        long_sides: long sides of the levels that every photo gets.
        smallest_face: side, in pixels of the photo, of the smallest face that must be found. If the
            fixed levels are too small for it, a finer one is added or replaces the largest.
    """
    long_side = max(height, width)
    smallest, *larger = sorted(long_sides)
    chosen = sorted({smallest, *(min(side, long_side) for side in larger if long_side > smallest)})
    finest = min(long_side, math.ceil(long_side * RELIABLE_FACE / smallest_face))
    if finest > chosen[-1]:
        if len(chosen) > 1 and finest <= _STEP * chosen[-2]:
            chosen.pop()
        coarsest = chosen[-1]
        steps = math.ceil(math.log(finest / coarsest, _STEP))
        ratio = (finest / coarsest) ** (1 / steps)
        chosen += [*(round(coarsest * ratio**step) for step in range(1, steps)), finest]
    scales = [side / long_side for side in chosen]
    return [(max(1, round(height * s)), max(1, round(width * s))) for s in scales]


def tiles(height: int, width: int) -> list[Tile]:
    """Cut a level into overlapping tiles of at most `_TILE_PIXELS` each.

    They have as few pixels in all as rows and columns of equal tiles allow.
    """
    best: tuple[int, list[Tile]] | None = None
    for rows in range(1, 2 + height // 512):
        tile_height = _tile_side(height, rows)
        widest = _TILE_PIXELS // tile_height
        if width <= widest:
            columns = 1
        elif widest >= 2 * _OVERLAP:
            columns = math.ceil((width - _OVERLAP) / (widest - _OVERLAP))
        else:
            continue
        tile_width = _tile_side(width, columns)
        pixels = rows * columns * tile_height * tile_width
        if best is None or pixels < best[0]:
            cut = [
                Tile(left, top, left + tile_width, top + tile_height)
                for top in _starts(height, tile_height, rows)
                for left in _starts(width, tile_width, columns)
            ]
            best = pixels, cut
    assert best is not None  # tiles 512 pixels high fit, whatever their width
    return best[1]


def _tile_side(length: int, count: int) -> int:
    return length if count == 1 else math.ceil((length + (count - 1) * _OVERLAP) / count)


def _starts(length: int, side: int, count: int) -> list[int]:
    return [round(index * (length - side) / max(1, count - 1)) for index in range(count)]


class Pyramid:
    """A photo at the sizes of its levels."""

    def __init__(self, pixels: np.ndarray, parameters: DetectorParameters) -> None:
        """Take uint8 (H, W, 3) RGB, of any size."""
        self._image = Image.fromarray(pixels)
        self._max_overlap = parameters.max_overlap
        height, width = pixels.shape[:2]
        self.sizes = level_sizes(height, width, parameters.long_sides, parameters.smallest_face)
        self._whole: dict[tuple[int, int], np.ndarray] = {}  # levels of one tile, by size

    def find(self, detector: Detector, quarter: int = 0, levels: int | None = None) -> np.ndarray:
        """Detect faces of all scores, one row per face, best first.

        Args:
            detector: from `transforms.faces.detect`.
            quarter: quarter turns anticlockwise by which the photo is shown to the detector.
            levels: number of levels of the pyramid to use, from the smallest; all if None.

        Returns:
            float32 (n, 15) rows in pixels of the photo.
        """
        found = [np.zeros((0, COLUMNS), np.float32)]
        for index, (height, width) in enumerate(self.sizes[:levels]):
            scale = np.array([self._image.width / width, self._image.height / height])
            for tile in tiles(height, width):
                cut = np.rot90(self._cut(tile, height, width), quarter)
                rows = detector(np.ascontiguousarray(cut))
                if index:
                    rows = rows[sides(rows) <= _LARGEST_FACE]
                rows = turned_back(rows, quarter, tile.bottom - tile.top, tile.right - tile.left)
                rows = rows[_is_whole(rows, tile, height, width)]
                corner = np.tile([tile.left, tile.top], 7)
                moved = (rows[:, :SCORE] + corner) * np.tile(scale, 7)
                found.append(np.concatenate([moved, rows[:, SCORE:]], axis=1).astype(np.float32))
        rows = np.concatenate(found)
        return rows[non_maximum_suppression(rows, self._max_overlap)]

    def _cut(self, tile: Tile, height: int, width: int) -> np.ndarray:
        """Cut a tile out of a level of that size; a level of one tile is computed once."""
        if (height, width) in self._whole:
            return self._whole[height, width]
        scale = np.array([self._image.width / width, self._image.height / height])
        box = np.array([tile.left, tile.top, tile.right, tile.bottom]) * np.tile(scale, 2)
        size = (tile.right - tile.left, tile.bottom - tile.top)
        right, bottom = min(box[2], self._image.width), min(box[3], self._image.height)
        region = (float(box[0]), float(box[1]), float(right), float(bottom))
        # A gap of 1 leaves to the costly filter what whole-numbered means over boxes leave over:
        # nothing at half the photo's size, the finest level of most photos.
        cut = np.asarray(self._image.resize(size, Image.Resampling.BILINEAR, region, 1.0))
        if size == (width, height):
            self._whole[height, width] = cut
        return cut


def _is_whole(rows: np.ndarray, tile: Tile, height: int, width: int) -> np.ndarray:
    """Find the rows, in pixels of the tile, that do not touch edges cutting through the level."""
    room = _CLEARANCE * sides(rows)
    return (
        ((rows[:, 0] >= room) | (tile.left == 0))
        & ((rows[:, 1] >= room) | (tile.top == 0))
        & ((rows[:, 2] <= tile.right - tile.left - room) | (tile.right == width))
        & ((rows[:, 3] <= tile.bottom - tile.top - room) | (tile.bottom == height))
    )
