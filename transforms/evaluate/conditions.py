"""Conditions: what happens to a published photo before a recogniser gets it.

To add a condition, write a function from a photo to a photo and enter it in `CONDITIONS`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageFilter

# A condition maps a uint8 (H, W, 3) RGB photo to another, of any size.
Condition = Callable[[np.ndarray], np.ndarray]

AS_WRITTEN = "as written"


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Save once more as JPEG, with chroma at half resolution."""
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(stored))


def long_side(pixels: np.ndarray, most: int) -> np.ndarray:
    """Reduce so that the long side has at most `most` pixels; smaller photos stay as they are."""
    return scaled(pixels, min(1.0, most / max(pixels.shape[:2])))


def scaled(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Resize by a factor, Lanczos."""
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def blur(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Blur with a Gaussian; sigma in pixels of the photo."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def screenshot(pixels: np.ndarray) -> np.ndarray:
    """Simulate a screenshot on a phone 1080 pixels wide that is sent through a messenger.

    The photo is resampled to the screen (enlarged too), sharpened a little as displays do, and
    stored as JPEG 80.
    """
    factor = 1080 / pixels.shape[1]
    image = Image.fromarray(pixels)
    size = (1080, max(1, round(pixels.shape[0] * factor)))
    shown = image.resize(size, Image.Resampling.BILINEAR)
    sharpened = shown.filter(ImageFilter.UnsharpMask(radius=1, percent=30, threshold=0))
    return jpeg(np.asarray(sharpened), 80)


CONDITIONS: dict[str, Condition] = {
    AS_WRITTEN: lambda pixels: pixels,
    "JPEG 75": partial(jpeg, quality=75),
    "JPEG 50": partial(jpeg, quality=50),
    "half size": partial(scaled, factor=0.5),
    "720 px": partial(long_side, most=720),
    "mild blur": partial(blur, sigma=1.0),
    "screenshot": screenshot,
}
