"""Visible difference of a face: FLIP and CIEDE2000, DSSIM, and contrast drawn on smooth skin."""

from __future__ import annotations

import flip_evaluator
import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_SMOOTH = 3.0  # levels; contrast that hides half of a change
_VIEWING_SIDE = 300  # pixels: a face at the size it is looked at


def face_region(pixels: np.ndarray, box: Box) -> np.ndarray:
    """Cut out the part of a uint8 (H, W, 3) photo inside the box; empty outside the frame."""
    height, width = pixels.shape[:2]
    left, top = max(0, int(box[0])), max(0, int(box[1]))
    right, bottom = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    return pixels[top : max(top, bottom), left : max(left, right)]


def at_viewing_size(face: np.ndarray) -> np.ndarray:
    """Reduce the face to at most 300 pixels on its long side."""
    image = Image.fromarray(face)
    image.thumbnail((_VIEWING_SIDE, _VIEWING_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def flip(clean: np.ndarray, changed: np.ndarray) -> float:
    """Compute mean FLIP (Andersson et al. 2020, HPG), 0 (equal) to 1.

    At FLIP's default viewing distance: a 0.7 m wide 4K monitor seen from 0.7 m.

    Args:
        clean: uint8 (H, W, 3) RGB, at least 1 x 1.
        changed: of the same shape.
    """
    pair = (clean.astype(np.float32) / 255, changed.astype(np.float32) / 255)
    _, mean, _ = flip_evaluator.evaluate(*pair, "LDR", applyMagma=False)
    return float(mean)


def delta_e(clean: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Compute CIEDE2000 (Sharma et al. 2005) per pixel, float32 (H, W); 1 is about just noticeable.

    Args:
        clean: uint8 (H, W, 3) RGB.
        changed: of the same shape.
    """
    # In single precision: a third quicker, and the same to 1e-6.
    pair = (pixels.astype(np.float32) / 255 for pixels in (clean, changed))
    return deltaE_ciede2000(*(rgb2lab(pixels) for pixels in pair))


def drawn_contrast(clean: np.ndarray, changed: np.ndarray) -> float:
    """Compute the contrast that a change adds where the picture is smooth, at its worst spot.

    People see a thin line on smooth skin first, and means over a face miss it. So the change of
    luminance, without what is finer than a line or as broad as a shadow, is compared with the local
    contrast of the clean face. Lengths grow with the face, which is measured at its own resolution.

    Args:
        clean, changed: uint8 (H, W, 3) RGB, one face.

    Returns:
        Levels, 0 or more: root mean square of the change at the spot, as if it lay on skin without
        any contrast. About 1 shows no line; from 1.6 up lines were seen
        (docs/lab-notebook.md).
    """
    grey, other = (pixels.astype(np.float32) @ _LUMA for pixels in (clean, changed))
    unit = sum(grey.shape) / 2 / 112  # the lengths below are in pixels of a crop
    change = other - grey
    lines = _blurred(change, 0.7 * unit) - _blurred(change, 4 * unit)
    size = np.sqrt(_blurred(lines**2, 1.5 * unit))
    variance = _blurred(grey**2, 3 * unit) - _blurred(grey, 3 * unit) ** 2
    return float((size / (1 + np.sqrt(np.maximum(variance, 0)) / _SMOOTH)).max())


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(image, sigma, truncate=3)


def dssim(clean: np.ndarray, changed: np.ndarray) -> float:
    """Compute (1 - SSIM) / 2, 0 (equal) to 1, with the settings of Wang et al. (2004).

    tf.image.ssim uses the same settings, and therefore Fawkes.

    Args:
        clean: uint8 (H, W, 3) RGB.
        changed: of the same shape.

    Raises:
        ValueError: a side is shorter than SSIM's window of 11 pixels.
    """
    similarity = structural_similarity(
        clean,
        changed,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float((1 - similarity) / 2)
