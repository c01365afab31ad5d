"""Projections: they return a perturbation to the admissible ones after each step.

To add a projection, write a function here and enter its name in `PROJECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from photoveil.transforms.cloak.dssim import dssim
from photoveil.transforms.cloak.filters import low_pass, luminance, texture
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.embedding.normalize import divide_by_root

Project = Callable[[tf.Tensor], tf.Tensor]
"""From a float32 (N, S, S, 1) luminance change in levels to the admissible one in its place."""


def onto_dssim(crops: tf.Tensor, mask: tf.Tensor, parameters: CloakParameters) -> Project:
    """Project as `within_cap` and then shrink onto the DSSIM budget, which Fawkes limits too (Shan
    et al., USENIX Security 2020).

    Args:
        crops: float32 (N, S, S, 3) RGB in 0..255.
        mask: float32 (S, S, 1) in 0..1, by which a change is multiplied before it is applied.
    """
    # DSSIM of a change of luminance is all but the one of the colours, at a third of the cost.
    grey = luminance(crops)
    limit = within_cap(crops, mask, parameters)

    def project(change: tf.Tensor) -> tf.Tensor:
        change = limit(change)
        # DSSIM grows about with the square of a change's scale.
        excess = tf.maximum(dssim_of_change(grey, mask * change) / parameters.dssim_budget, 1.0)
        return divide_by_root(change, per_face(excess))

    return project


def within_cap(crops: tf.Tensor, mask: tf.Tensor, parameters: CloakParameters) -> Project:
    """Remove low frequencies, which look like shadows, and clip to the cap, which is lower the
    smoother the crop is: on smooth skin a faint line is seen first. Arguments as above.
    """
    smooth = parameters.smooth_cap + parameters.texture_cap * texture(crops)
    cap = tf.minimum(smooth, parameters.max_change)

    def project(change: tf.Tensor) -> tf.Tensor:
        change -= parameters.high_pass * low_pass(change, parameters.high_pass_sigma)
        return tf.clip_by_value(change, -cap, cap)

    return project


PROJECTIONS: dict[str, Callable[[tf.Tensor, tf.Tensor, CloakParameters], Project]] = {
    "dssim": onto_dssim,
    "cap": within_cap,
}


def dssim_of_change(images: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
    """Compute the DSSIM, float32 (N,), of images float32 (N, S, S, C) in 0..255 and the changed
    ones.
    """
    return dssim(images, tf.clip_by_value(images + change, 0.0, 255.0))


def per_face(values: tf.Tensor) -> tf.Tensor:
    """Reshape float32 (N,) to (N, 1, 1, 1)."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
