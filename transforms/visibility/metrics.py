"""Visible difference: FLIP and CIEDE2000 of a face at viewing size, and DSSIM."""

from __future__ import annotations

import flip_evaluator
import numpy as np
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

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
