"""What goes in and out of the optimiser; no TensorFlow needed to pass it on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AlignedFace:
    """A face on its way to the optimiser.

    index: which face of its photo. crop: uint8 (S, S, 3) RGB. seed: of its jitter; it comes from
    the photo's content, so a photo gets the same cloak in any batch and on any machine.
    """

    index: int
    crop: np.ndarray
    seed: int


@dataclass(frozen=True)
class Cloak:
    """The result for one face.

    change: float32 (S, S) luminance change in levels, 0 at the crop's edge.
    dssim: of the changed crop against the clean one, 0..1.
    steps: optimiser steps spent.
    """

    change: np.ndarray
    dssim: float
    steps: int
