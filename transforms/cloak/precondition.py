"""Preconditioners: they turn a gradient into the direction of a step.

To add a preconditioner, write a function here and enter its name in `PRECONDITIONERS`.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from photoveil.transforms.cloak.filters import texture
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.embedding.normalize import divide_by_root

Precondition = Callable[[tf.Tensor], tf.Tensor]
"""A function of a gradient, float32 (N, S, S, 1). It returns a direction of the same shape, of root
mean square 1."""


def masked_by_texture(crops: tf.Tensor, parameters: CloakParameters) -> Precondition:
    """Sharpen the peaks of the gradient, and weight it by how well texture hides a change.

    Args:
        crops: float32 (N, S, S, 3) RGB in 0..255.
        parameters: `gradient_power`, `texture_floor` and `texture_power` count.
    """
    weight = tf.pow(parameters.texture_floor + texture(crops), parameters.texture_power)
    return lambda gradient: unit_rms(unit_rms(gradient, parameters.gradient_power) * weight)


def normalized(crops: tf.Tensor, parameters: CloakParameters) -> Precondition:
    """Follow the gradient itself, as the momentum iterative method does (arXiv:1710.06081)."""
    return unit_rms


PRECONDITIONERS: dict[str, Callable[[tf.Tensor, CloakParameters], Precondition]] = {
    "texture": masked_by_texture,
    "none": normalized,
}


def unit_rms(direction: tf.Tensor, power: float = 1.0) -> tf.Tensor:
    """Scale a direction to root mean square 1.

    Args:
        direction: float32 (N, H, W, C).
        power: applied to the absolute values before scaling; more than 1 sharpens the peaks.

    Returns:
        float32 (N, H, W, C); zeros stay zeros.
    """
    sharpened = tf.sign(direction) * tf.pow(tf.abs(direction), power)
    square = tf.reduce_mean(tf.square(sharpened), axis=(1, 2, 3), keepdims=True)
    return divide_by_root(sharpened, square)
