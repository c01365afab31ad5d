"""Pixels that can only take the colours of a table."""

from __future__ import annotations

import numpy as np
from PIL import Image


def dithered(wanted: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Choose colours of a table so that they are right on average, if not for each pixel.

    This is error diffusion (Floyd and Steinberg 1976).

    Args:
        wanted: uint8 (H, W, 3).
        table: uint8 (n, 3), 1 to 256 colours.

    Returns:
        uint8 (H, W), the index of each pixel's colour.
    """
    colours = Image.new("P", (1, 1))
    filled = np.resize(table[0], (256, 3)).astype(np.uint8)  # the first colour in all places left
    filled[: len(table)] = table
    colours.putpalette(filled.tobytes())
    found = Image.fromarray(wanted).quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG)
    places = np.asarray(found)
    return np.where(places < len(table), places, 0).astype(np.uint8)
