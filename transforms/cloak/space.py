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
    """Perturbations of one kind: how they change a batch of crops, and which are admissible.

    The optimiser's variable is float32 (N, S, S, C). The perturbation that it stands for is float32
    (N, S, S, 3), as `Perturbation.stacked`: displacement in x and y, in pixels, and levels.
    """

    def start(self, change: tf.Tensor) -> tf.Tensor:
        """Compute the initial variable.

        Args:
            change: float32 (N, S, S, 3), the mean perturbation of a person's earlier photos; zeros
                for a new person.
        """

    def apply(self, variable: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
        """Change the crops and resample them through similarities.

        Args:
            variable: float32 (N, S, S, C).
            matrices: float32 (N, 2, 3), output to input pixel coordinates.

        Returns:
            float32 (N, S, S, 3) RGB in 0..255, differentiable in the variable.
        """

    def precondition(self, gradient: tf.Tensor) -> tf.Tensor:
        """Turn the gradient of the objective into the direction of a step.

        Both are float32 (N, S, S, C), like the variable.
        """

    def project(self, variable: tf.Tensor) -> tf.Tensor:
        """Return the admissible variable in place of one that a step has made."""

    def finish(self, variable: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute the perturbation of a variable.

        Returns:
            The perturbation, float32 (N, S, S, 3), and the DSSIM of its levels, float32 (N,).
        """


SPACES: dict[str, Callable[[tf.Tensor, CloakParameters], PerturbationSpace]] = {
    "displacement": Displacement,
    "luminance": Luminance,
}
