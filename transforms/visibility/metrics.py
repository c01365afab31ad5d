"""Visible difference of a face: FLIP, CIEDE2000 and DSSIM."""

from __future__ import annotations

from dataclasses import dataclass

import flip_evaluator
import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.color import deltaE_ciede2000, rgb2lab

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

_VIEWING_SIDE = 300  # pixels: a face at the size it is looked at
SSIM_WINDOW = 11
"""Pixels of a side of the windows of SSIM."""
_SSIM_SIGMA = 1.5  # pixels
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


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


def lab(pixels: np.ndarray) -> np.ndarray:
    """Convert uint8 (H, W, 3) RGB to CIE L*a*b*, float32 (H, W, 3)."""
    # In single precision: a third quicker, and the same to 1e-6.
    return rgb2lab(pixels.astype(np.float32) / 255)


def delta_e(clean: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Compute CIEDE2000 (Sharma et al. 2005) per pixel, float32 (H, W); 1 is about just noticeable.

    Args:
        clean: float32 (H, W, 3) from `lab`.
        changed: of the same shape.
    """
    return deltaE_ciede2000(clean, changed)


@dataclass(frozen=True, eq=False)
class Windows:
    """Sums over SSIM's windows of one picture, float64 (channels, H, W).

    levels: of the pixels. mean, square: Gaussian means of the levels and of their squares.
    """

    levels: np.ndarray
    mean: np.ndarray
    square: np.ndarray

    @classmethod
    def of(cls, pixels: np.ndarray) -> Windows:
        """Compute them for uint8 (H, W, channels).

        Raises:
            ValueError: a side is shorter than SSIM's window of 11 pixels.
        """
        if min(pixels.shape[:2]) < SSIM_WINDOW:
            raise ValueError(f"{pixels.shape[:2]} is smaller than a window of SSIM")
        levels = np.moveaxis(pixels, 2, 0).astype(np.float64)
        return cls(levels, _windowed(levels), _windowed(levels * levels))


def dssim(clean: Windows, changed: Windows) -> float:
    """Compute (1 - SSIM) / 2, 0 (equal) to 1, with the settings of Wang et al. (2004).

    tf.image.ssim uses the same settings, and therefore Fawkes. The sums are in the order of
    scikit-image, which computes those of the clean picture anew for each comparison.
    """
    x, y = clean.mean, changed.mean
    covariance = _windowed(clean.levels * changed.levels) - x * y
    variances = (clean.square - x * x) + (changed.square - y * y)
    likeness = (2 * x * y + _C1) * (2 * covariance + _C2)
    similar = likeness / ((x**2 + y**2 + _C1) * (variances + _C2))
    inner = slice(SSIM_WINDOW // 2, -(SSIM_WINDOW // 2))
    channels = np.array([one[inner, inner].mean(dtype=np.float64) for one in similar])
    return float((1 - channels.mean()) / 2)


def _windowed(levels: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(levels, (0, _SSIM_SIGMA, _SSIM_SIGMA), truncate=3.5)
