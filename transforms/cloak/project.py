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
"""A function of a luminance change in levels, float32 (N, S, S, 1). It returns the admissible one
in its place."""


def onto_dssim(crops: tf.Tensor, mask: tf.Tensor, parameters: CloakParameters) -> Project:
    """Project as `within_cap` does and then shrink the change onto the DSSIM budget.

    Fawkes limits the DSSIM, too (Shan et al., USENIX Security 2020).

    Args:
        crops: float32 (N, S, S, 3) RGB in 0..255.
        mask: float32 (S, S, 1) in 0..1, by which a change is multiplied before it is applied.
        parameters: `dssim_budget` and what `within_cap` reads count.
    """
    # For a luminance change, DSSIM of luminance nearly equals DSSIM of RGB, at a third of the cost.
    grey = luminance(crops)
    limit = within_cap(crops, mask, parameters)

    def project(change: tf.Tensor) -> tf.Tensor:
        change = limit(change)
        # DSSIM grows about with the square of the scale of a change.
        excess = tf.maximum(dssim_of_change(grey, mask * change) / parameters.dssim_budget, 1.0)
        return divide_by_root(change, per_face(excess))

    return project


def within_cap(crops: tf.Tensor, mask: tf.Tensor, parameters: CloakParameters) -> Project:
    """Remove low frequencies, which look like shadows, and clip to a cap.

    The cap falls with local contrast, because a faint line is seen most easily on smooth skin.

    Args:
        crops: float32 (N, S, S, 3) RGB in 0..255.
        mask: not used; a change is clipped before it is masked.
        parameters: `high_pass`, `high_pass_sigma`, `smooth_cap`, `texture_cap` and `max_change`
            count.
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
    """Compute the DSSIM between images and the same images with a change added.

    Args:
        images: float32 (N, S, S, C) in 0..255.
        change: float32 in levels, of a shape that broadcasts to that of the images.

    Returns:
        float32 (N,) in 0..1.
    """
    return dssim(images, tf.clip_by_value(images + change, 0.0, 255.0))


def per_face(values: tf.Tensor) -> tf.Tensor:
    """Reshape float32 (N,) to (N, 1, 1, 1)."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
