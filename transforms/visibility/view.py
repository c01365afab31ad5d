"""A face as the measures of visibility take it: what each needs is computed once.

A face is compared several times: bent with each luminance change that is tried, and with the
written file. What a measure makes of one side alone is kept for the next comparison.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from photoveil.transforms.visibility import metrics
from photoveil.transforms.visibility.contrast import Ground, drawn_contrast, luminance


class FaceView:
    """A face in one version of a photo.

    Args:
        region: uint8 (H, W, 3) RGB, the pixels of the face's box, at least 1 x 1.
        crop: uint8 (S, S, 3) RGB, the aligned face.
    """

    def __init__(self, region: np.ndarray, crop: np.ndarray) -> None:
        self.region, self.crop = region, crop

    @cached_property
    def small(self) -> np.ndarray:
        """The region at viewing size."""
        return metrics.at_viewing_size(self.region)

    @cached_property
    def lab(self) -> np.ndarray:
        """The colours at viewing size; see `metrics.lab`."""
        return metrics.lab(self.small)

    @cached_property
    def ground(self) -> Ground:
        """The luminance of the region."""
        return Ground(luminance(self.region))

    @cached_property
    def windows(self) -> metrics.Windows:
        """Those of the crop, for DSSIM."""
        return metrics.Windows.of(self.crop)


def flip(clean: FaceView, changed: FaceView) -> float:
    """Compute mean FLIP at viewing size."""
    return metrics.flip(clean.small, changed.small)


def delta_e(clean: FaceView, changed: FaceView) -> float:
    """Compute mean CIEDE2000 at viewing size."""
    return float(metrics.delta_e(clean.lab, changed.lab).mean())


def dssim(clean: FaceView, changed: FaceView) -> float:
    """Compute DSSIM of the crops."""
    return metrics.dssim(clean.windows, changed.windows)


def contrast(clean: FaceView, changed: FaceView) -> float:
    """Compute the contrast drawn on smooth skin, at the photo's own resolution."""
    return drawn_contrast(clean.ground, changed.ground.grey)
