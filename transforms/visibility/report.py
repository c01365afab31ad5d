"""Figures of how visible a cloak is on a face: FLIP, CIEDE2000, DSSIM, PSNR and the largest change.

Each is computed at the file's own resolution and at viewing size. Claims rest on FLIP and
CIEDE2000: DSSIM, which Fawkes reports, hardly registers slow changes of colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.metrics import peak_signal_noise_ratio

from photoveil.transforms.visibility.metrics import SSIM_WINDOW, Windows, delta_e, dssim, flip, lab


@dataclass(frozen=True)
class FaceVisibility:
    """Of one face at one size.

    flip: mean FLIP, HPG (Andersson et al. 2020), 0..1, FLIP's default viewing distance.
    delta_e, delta_e_p95: CIEDE2000 (Sharma et al. 2005) of the pixels, mean and 95th percentile.
    dssim: (1 - SSIM) / 2 with Gaussian windows of 11 px; NaN for a face smaller than a window.
    psnr: dB; infinite where nothing changed. max_change: levels, 0..255.
    """

    flip: float
    delta_e: float
    delta_e_p95: float
    dssim: float
    psnr: float
    max_change: int


def visibility(clean: np.ndarray, written: np.ndarray) -> FaceVisibility:
    """Compute the figures of a pair of uint8 (H, W, 3) RGB faces of equal size, at least 1 x 1."""
    colour = delta_e(lab(clean), lab(written))
    change = np.abs(clean.astype(np.int16) - written)
    has_window = min(clean.shape[:2]) >= SSIM_WINDOW
    psnr = float("inf")
    if change.any():
        psnr = float(peak_signal_noise_ratio(clean, written, data_range=255))
    return FaceVisibility(
        flip(clean, written),
        float(colour.mean()),
        float(np.quantile(colour, 0.95)),
        dssim(Windows.of(clean), Windows.of(written)) if has_window else float("nan"),
        psnr,
        int(change.max()),
    )
