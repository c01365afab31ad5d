"""Perturbations of luminance: R, G and B change by the same amount, so no colour appears."""

from __future__ import annotations

import tensorflow as tf

from photoveil.transforms.cloak.filters import luminance
from photoveil.transforms.cloak.jitter import warp
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.cloak.precondition import PRECONDITIONERS
from photoveil.transforms.cloak.project import PROJECTIONS, dssim_of_change, per_face
from photoveil.transforms.faces.align import feather


class Luminance:
    """A `PerturbationSpace` whose variable is the change in levels, float32 (N, S, S, 1).

    Args:
        crops: float32 (N, S, S, 3) RGB in 0..255.
        parameters: limits, and the names of preconditioner and projection.
    """

    def __init__(self, crops: tf.Tensor, parameters: CloakParameters) -> None:
        self._crops, self._parameters = crops, parameters
        self._mask = tf.constant(feather(crops.shape[1])[:, :, tf.newaxis])
        self.precondition = PRECONDITIONERS[parameters.preconditioner](crops, parameters)
        self.project = PROJECTIONS[parameters.projection](crops, self._mask, parameters)

    def start(self, change: tf.Tensor) -> tf.Tensor:
        """Scale the levels of a mean of perturbations to the DSSIM budget.

        A mean is fainter than what it is made of. Its displacement is dropped.

        Args:
            change: float32 (N, S, S, 3), as `finish` returns it; zeros stay zeros.

        Returns:
            The initial variable, within `max_change`.
        """
        change = change[..., 2:]
        budget, cap = self._parameters.dssim_budget, self._parameters.max_change
        gain = tf.sqrt(budget / (dssim_of_change(luminance(self._crops), change) + 1e-6))
        return tf.clip_by_value(change * per_face(gain), -cap, cap)

    def apply(self, variable: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
        """Change the crops and resample them through similarities.

        Args:
            variable: float32 (N, S, S, 1).
            matrices: float32 (N, 2, 3), output to input pixel coordinates.

        Returns:
            float32 (N, S, S, 3) RGB in 0..255, differentiable in the variable.
        """
        # In this order: how TensorFlow rounds a sum depends on how the graph was built.
        crops = warp(self._crops, matrices)
        return tf.clip_by_value(crops + warp(self._mask * variable, matrices), 0.0, 255.0)

    def finish(self, variable: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute the perturbation of a variable; its displacement is 0.

        Returns:
            float32 (N, S, S, 3): zeros for x and y, and the change in levels; and float32 (N,): its
            DSSIM on the clean crops, 0..1.
        """
        change = self._mask * variable
        score = dssim_of_change(self._crops, change)
        return tf.concat([tf.zeros_like(change), tf.zeros_like(change), change], axis=-1), score
