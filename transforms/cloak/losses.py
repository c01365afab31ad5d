"""What the optimiser weighs: DSSIM, low-frequency energy, and distance between embeddings."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def dssim(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Structural dissimilarity, (1 - SSIM) / 2, per image.

    SSIM of Wang et al. (2004, IEEE TIP 13(4)) with its 11 px Gaussian window, as Fawkes uses it,
    so that budgets compare.

    Args:
        first, second: float32 (N, H, W, C) in 0..255, H and W at least 11.

    Returns:
        float32 (N,) in 0..1; 0 for equal images.
    """
    return (1.0 - tf.image.ssim(first, second, max_val=255.0)) / 2.0


def gaussian_kernel(sigma: float) -> np.ndarray:
    """float32 (k,) normalised Gaussian, cut at three sigma (pixels)."""
    radius = int(np.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def low_frequency_energy(change: tf.Tensor, sigma: float) -> tf.Tensor:
    """Mean square of the change after a Gaussian blur: what the eye sees as blotches.

    SSIM hardly counts a slow drift of brightness, yet on skin it reads as a bruise.

    Args:
        change: float32 (N, H, W, 1) in levels.
        sigma: blur in pixels.

    Returns:
        float32 (N,) in levels squared.
    """
    kernel = gaussian_kernel(sigma)
    down = tf.reshape(kernel, (-1, 1, 1, 1))
    across = tf.reshape(kernel, (1, -1, 1, 1))
    blurred = tf.nn.conv2d(tf.nn.conv2d(change, down, 1, "SAME"), across, 1, "SAME")
    return tf.reduce_mean(tf.square(blurred), axis=(1, 2, 3))


def cosine(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Cosine similarity, float32 (N,) in -1..1, of unit-length embeddings (N, D)."""
    return tf.reduce_sum(first * second, axis=-1)
