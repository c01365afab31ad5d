"""Kinds of perturbation, by their names in `cloak.perturbation`.

To add a kind, write a class like `luminance.Luminance` in a file of its own and enter its name in
`SPACES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

from photoveil.transforms.cloak.displacement import Displacement
from photoveil.transforms.cloak.luminance import Luminance
from photoveil.transforms.cloak.parameters import CloakParameters


class PerturbationSpace(Protocol):
    """Perturbations of one kind for a batch of crops: how they change a crop and which are
    admissible.

    The variable that the optimiser steps is a float32 tensor (N, S, S, C). What comes of it is a
    `Perturbation` as one tensor (N, S, S, 3): shift in x and y, and levels.
    """

    def start(self, change: tf.Tensor) -> tf.Tensor:
        """Return the initial variable, given the mean perturbation of earlier photos, (N, S, S, 3);
        zeros if there is none.
        """

    def apply(self, variable: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
        """Return the changed crops, float32 (N, S, S, 3) in 0..255, seen through similarities (N,
        2, 3).

        Differentiable in the variable.
        """

    def precondition(self, gradient: tf.Tensor) -> tf.Tensor:
        """Return the direction of a step for the gradient of the objective; both are like the
        variable.
        """

    def project(self, variable: tf.Tensor) -> tf.Tensor:
        """Return the admissible variable for one that a step has made."""

    def finish(self, variable: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the perturbation, float32 (N, S, S, 3), and the DSSIM of its levels, (N,)."""


SPACES: dict[str, Callable[[tf.Tensor, CloakParameters], PerturbationSpace]] = {
    "displacement": Displacement,
    "luminance": Luminance,
}
