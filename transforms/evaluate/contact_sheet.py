"""A contact sheet to assess cloaks by eye: original, cloaked, and their difference x 10."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

_CELL = 300  # pixels
_CAPTION = 20
_ACROSS = 2  # faces side by side
_GAP = 8


@dataclass(frozen=True)
class Shown:
    """One face of the sheet: its caption, and uint8 (H, W, 3) regions of equal size."""

    caption: str
    clean: np.ndarray
    written: np.ndarray


def contact_sheet(faces: Sequence[Shown]) -> Image.Image:
    """Draw the sheet, in the reading order given."""
    down = -(-len(faces) // _ACROSS)
    width = _ACROSS * (3 * _CELL + _GAP) - _GAP
    sheet = Image.new("RGB", (width, max(1, down) * (_CELL + _CAPTION + _GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, face in enumerate(faces):
        x = index % _ACROSS * (3 * _CELL + _GAP)
        y = index // _ACROSS * (_CELL + _CAPTION + _GAP)
        draw.text((x + 4, y + 4), face.caption, fill="black")
        difference = 10 * (face.written.astype(np.int16) - face.clean) + 128
        for column, pixels in enumerate(
            (face.clean, face.written, np.clip(difference, 0, 255).astype(np.uint8))
        ):
            sheet.paste(_fitted(pixels), (x + column * _CELL, y + _CAPTION))
    return sheet


def _fitted(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels)
    factor = _CELL / max(image.size)
    size = tuple(max(1, round(side * factor)) for side in image.size)
    # A small face is shown in its own pixels, enlarged, not smoothed over.
    method = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS
    return image.resize((size[0], size[1]), method)
