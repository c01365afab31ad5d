"""Kinds of perturbation, by their names in `cloak.perturbation`.

A new kind is a file with a class like `luminance.Luminance` and its name in `SPACES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

from photoveil.transforms.cloak.luminance import Luminance
from photoveil.transforms.cloak.parameters import CloakParameters


class PerturbationSpace(Protocol):
    """Perturbations of one kind, of a batch of crops: how one changes a crop, and what it may be.

    The variable that the optimiser steps is a float32 tensor (N, S, S, C).
    """

    def start(self, change: tf.Tensor) -> tf.Tensor:
        """The variable to start from, given the mean change of earlier photos; zeros if none."""

    def apply(self, variable: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
        """The changed crops, float32 (N, S, S, 3) in 0..255, seen through similarities (N, 2, 3).

        Differentiable in the variable.
        """

    def precondition(self, gradient: tf.Tensor) -> tf.Tensor:
        """The direction of a step, from the gradient of the objective; both like the variable."""

    def project(self, variable: tf.Tensor) -> tf.Tensor:
        """The admissible variable in place of one that a step has made."""

    def finish(self, variable: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The change to lay on the photo, float32 (N, S, S, C), and its DSSIM, float32 (N,)."""


SPACES: dict[str, Callable[[tf.Tensor, CloakParameters], PerturbationSpace]] = {
    "luminance": Luminance,
}
