"""EXIF orientation (tag 0x0112, EXIF 2.32 section 4.6.4): between stored and upright arrays."""

from __future__ import annotations

import numpy as np
from PIL import Image

from transforms.codecs.errors import DAMAGE

_TAG = 0x0112


def read_orientation(image: Image.Image) -> int:
    """1..8; 1 where there is none or it cannot be read, as every viewer does."""
    try:
        value = image.getexif().get(_TAG, 1)
    except DAMAGE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """A view of a stored (H, W, ...) array as it is meant to be seen."""
    if orientation >= 5:
        stored = stored.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    return stored


def as_stored(seen: np.ndarray, orientation: int) -> np.ndarray:
    """The inverse of `upright`."""
    # Turning by a quarter is undone by the opposite quarter; all others undo themselves.
    return upright(seen, {6: 8, 8: 6}.get(orientation, orientation))
