"""Decide whether a picture inside a photo's file shows the photo itself or another scene.

A thumbnail, reduced or rotated, shows nobody whom the photo does not show. It is recognised by
correlation, so that no detection is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from photoveil.transforms.codecs.orientation import upright

_SIDE = 64  # pixels of a side to which two pictures are reduced to compare them
_REDUCED = 256  # pixels of the long side that are enough for that
# Smallest correlations of brightness, and of edges (for gain maps), of pictures of one scene. 1,500
# pairs of different scenes had at most 0.83 and 0.5.
_SAME_LIGHT, _SAME_EDGES = 0.9, 0.7
_STRETCH = 0.05  # by which a thumbnail's proportions may differ; more is filled up with bars
_FLAT = 2.0  # levels; a picture with a smaller standard deviation shows nothing
_LONG_SIDE = 640  # pixels of the long side to which pictures are reduced to compare details
_BLOCK = 8  # pixels of a side
_PATCH = 16  # pixels of a side to which two faces are reduced to compare them
_DETAIL = 12.0  # root mean square difference of a block, in levels, that may be sharpening


Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""


@dataclass(frozen=True)
class Framed:
    """An embedded picture that shows the photo.

    pixels: uint8 (h, w, 3), upright and without black bars.
    larger: True if it has more pixels than the photo, so that it may show finer detail.
    equal: True if no part of it differs by more than sharpening and compression do.
    """

    pixels: np.ndarray
    larger: bool
    equal: bool


def is_flat(picture: np.ndarray) -> bool:
    """Return True for uint8 (H, W, 3) pixels without any detail."""
    return float(_grey(picture, (_SIDE, _SIDE)).std()) < _FLAT


class View:
    """A photo to compare embedded pictures with.

    Args:
        pixels: uint8 (H, W, 3), upright.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels
        self._small = _grey(pixels, (_SIDE, _SIDE))

    def framed(self, picture: np.ndarray) -> Framed | None:
        """Find the orientation in which a picture shows the photo.

        Args:
            picture: uint8 (h, w, 3), in any of the eight orientations of EXIF.

        Returns:
            None if it shows something else.
        """
        if self._small.std() < _FLAT:
            return None
        reduced = _reduced(picture, _REDUCED)
        likeness = {way: self._likeness(upright(reduced, way)) for way in range(1, 9)}
        way = max(likeness, key=lambda one: likeness[one])
        if likeness[way] < 1:
            return None
        pixels = np.ascontiguousarray(self._without_bars(upright(picture, way)))
        larger = pixels.shape[0] * pixels.shape[1] > 1.2 * self._pixels[..., 0].size
        return Framed(pixels, larger, not larger and self._equal(pixels))

    def place(self, framed: Framed, box: Box) -> Box:
        """Convert a box in a framed picture to the pixels of the photo."""
        across = self._pixels.shape[1] / framed.pixels.shape[1]
        down = self._pixels.shape[0] / framed.pixels.shape[0]
        return box[0] * across, box[1] * down, box[2] * across, box[3] * down

    def patch(self, framed: Framed, box: Box) -> float:
        """Compute the correlation, -1..1, of a part of a framed picture with that of the photo."""
        return _correlation(_part(framed.pixels, box), _part(self._pixels, self.place(framed, box)))

    def _likeness(self, turned: np.ndarray) -> float:
        """Compute a score that is 1 or more if an upright picture shows the photo."""
        grey = _grey(self._without_bars(turned), (_SIDE, _SIDE))
        light = _correlation(grey, self._small) / _SAME_LIGHT
        return max(light, _correlation(_edges(grey), _edges(self._small)) / _SAME_EDGES)

    def _without_bars(self, turned: np.ndarray) -> np.ndarray:
        """Cut out the middle of an upright picture, in the photo's proportions."""
        (height, width), (tall, wide) = self._pixels.shape[:2], turned.shape[:2]
        if abs(width * tall / (height * wide) - 1) <= _STRETCH:
            return turned
        scale = min(wide / width, tall / height)
        inner = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (tall - inner[0]) // 2, (wide - inner[1]) // 2
        return turned[top : top + inner[0], left : left + inner[1]]

    def _equal(self, framed: np.ndarray) -> bool:
        small = _reduced(framed, _LONG_SIDE)
        size = (small.shape[1], small.shape[0])
        one, other = _grey(small, size), _grey(self._pixels, size)
        one, other = one - one.mean(), other - other.mean()
        rest = one - other * float((one * other).mean() / max(float((other**2).mean()), 1e-6))
        rows, columns = (side // _BLOCK for side in rest.shape)
        if not rows or not columns:
            return True
        blocks = rest[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
        return float(np.sqrt((blocks**2).mean(axis=(1, 3))).max()) <= _DETAIL


def _grey(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, None, 2.0), np.float32)


def _reduced(pixels: np.ndarray, long_side: int) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((long_side, long_side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _edges(grey: np.ndarray) -> np.ndarray:
    down, across = np.gradient(grey)
    return np.hypot(down, across)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Compute the correlation of two pictures, -1..1; 0 if one of them is flat."""
    if min(float(one.std()), float(other.std())) < 1e-3:
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _part(pixels: np.ndarray, box: Box) -> np.ndarray:
    height, width = pixels.shape[:2]
    left, top = int(min(max(box[0], 0), width - 1)), int(min(max(box[1], 0), height - 1))
    part = pixels[top : max(top + 1, round(box[3])), left : max(left + 1, round(box[2]))]
    return _grey(part, (_PATCH, _PATCH))
