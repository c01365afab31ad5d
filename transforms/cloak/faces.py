"""What goes in and out of the optimiser; no TensorFlow needed to pass it on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Known:
    """What is kept of a person for the next cloak.

    start: float16 (S, S) luminance change in levels, the mean of some cloaks of other photos; None
        while there are few.
    target: float16 (192,) of unit length, where `poison` moves the person's faces to: an embedding
        of `surrogates.WHO`.
    """

    start: np.ndarray | None
    target: np.ndarray


@dataclass(frozen=True)
class AlignedFace:
    """A face on its way to the optimiser.

    index: which face of its photo. crop: uint8 (S, S, 3) RGB.
    origin: what the cloak comes from, see `transforms.scan.origin`.
    known: what is kept of the person; None for one met first.
    """

    index: int
    crop: np.ndarray
    origin: str
    known: Known | None = None

    @property
    def has_start(self) -> bool:
        """Whether earlier cloaks of the person give one."""
        return self.known is not None and self.known.start is not None

    @property
    def seed(self) -> int:
        """Of its jitter: a face gets the same cloak in any batch and on any machine."""
        return int.from_bytes(hashlib.sha256(self.origin.encode()).digest()[:8], "big")


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
