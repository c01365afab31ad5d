"""Random similarities of a crop.

Every recogniser cuts a face out a little differently, and a perturbation that fools only one crop
is worth little. So each step sees the face through another similarity: expectation over
transformation (Athalye et al., ICML 2018, arXiv:1707.07397).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from photoveil.transforms.cloak.parameters import CloakParameters


def jitter_matrices(seed: int, size: int, steps: int, parameters: CloakParameters) -> np.ndarray:
    """Draw random similarities about the centre of the crop; each is mirrored with probability 1/2.

    Args:
        seed: the same seed draws the same similarities.
        size: side of the crop in pixels.
        steps: how many to draw.
        parameters: the standard deviations of rotation, scale and shift.

    Returns:
        float64 (steps, 2, 3), output to input pixel coordinates.
    """
    draws = np.random.default_rng(seed).normal(size=(steps, 5))
    angle = draws[:, 0] * parameters.jitter_rotation
    scale = np.exp(draws[:, 1] * parameters.jitter_scale)
    shift = draws[:, 2:4] * parameters.jitter_shift * size / 112
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    linear[:, :, 0] *= np.sign(draws[:, 4:])
    centre = np.array([size - 1, size - 1]) / 2
    offset = centre - linear @ centre + shift
    return np.concatenate([linear, offset[..., np.newaxis]], axis=-1)


def warp(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Resample images bilinearly through similarities, with an exact gradient.

    TensorFlow's own projective transform approximates its gradient by the inverse transform, which
    is far off for the fine patterns of a perturbation.

    Args:
        images: float32 (N, S, S, C).
        matrices: float32 (N, 2, 3), output to input pixel coordinates. Samples outside the image
            take the nearest pixel.

    Returns:
        float32 (N, S, S, C).
    """
    return tf.reshape(sample(images, warped_grid(images.shape[1], matrices)), images.shape)


def warped_grid(size: int, matrices: tf.Tensor) -> tf.Tensor:
    """Compute the source coordinates of each pixel of a warped image.

    Args:
        size: side of the image in pixels.
        matrices: float32 (N, 2, 3), output to input pixel coordinates.

    Returns:
        float32 (N, size * size, 2) points (x, y), row by row.
    """
    axis = tf.range(size, dtype=tf.float32)
    grid_x, grid_y = (tf.reshape(part, (-1, 1)) for part in tf.meshgrid(axis, axis))
    # No matrix product: threads split a batched one, so its rounding would depend on the batch.
    by_x, by_y, shift = tf.unstack(matrices[:, tf.newaxis], axis=-1)
    return by_x * grid_x + by_y * grid_y + shift


def sample(images: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Interpolate images bilinearly at any points, differentiable in both.

    Args:
        images: float32 (N, S, S, C).
        points: float32 (N, K, 2) pixel coordinates (x, y); outside the image the nearest pixel
            counts.

    Returns:
        float32 (N, K, C).
    """
    batch, size, channels = images.shape[0], images.shape[1], images.shape[3]
    points = tf.clip_by_value(points, 0.0, size - 1.0)
    corner = tf.minimum(tf.floor(points), size - 2.0)
    weight_x, weight_y = tf.unstack(points - corner, axis=-1)
    x, y = tf.unstack(tf.cast(corner, tf.int32), axis=-1)
    flat = tf.reshape(images, (batch, -1, channels))
    index = y * size + x
    result = tf.zeros((batch, points.shape[1], channels))
    for step_y, step_x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (weight_y if step_y else 1 - weight_y) * (weight_x if step_x else 1 - weight_x)
        values = tf.gather(flat, index + step_y * size + step_x, batch_dims=1)
        result += weight[..., tf.newaxis] * values
    return result
