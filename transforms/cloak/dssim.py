"""Structural dissimilarity (DSSIM), the measure of visibility that Fawkes limits."""

from __future__ import annotations

import tensorflow as tf

from photoveil.transforms import process_wide
from photoveil.transforms.cloak.filters import blur, blur_matrix, gaussian_kernel

# Wang et al. (2004, IEEE TIP 13(4)): an 11 px Gaussian window and their two constants.
_SSIM_RADIUS, _SSIM_SIGMA = 5, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

process_wide.keep_float32()


def dssim(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Compute the structural dissimilarity, (1 - SSIM) / 2, of each image.

    The SSIM is that of `tf.image.ssim`, which Fawkes uses, so budgets are comparable.

    Args:
        first, second: float32 (N, H, W, C) in 0..255, H and W at least 11.

    Returns:
        float32 (N,) in 0..1; 0 for equal images.
    """
    kernel = gaussian_kernel(_SSIM_SIGMA, _SSIM_RADIUS)
    inside = slice(_SSIM_RADIUS, -_SSIM_RADIUS)  # where the window does not reach over the edge
    down, across = (blur_matrix(side, kernel)[inside] for side in first.shape[1:3])
    mean_first, mean_second = blur(first, down, across), blur(second, down, across)
    products = mean_first * mean_second
    squares = tf.square(mean_first) + tf.square(mean_second)
    covariance = blur(first * second, down, across) - products
    variances = blur(tf.square(first) + tf.square(second), down, across) - squares
    luminance = (2 * products + _C1) / (squares + _C1)
    structure = (2 * covariance + _C2) / (variances + _C2)
    # Row by row: a sum over all of an image may be split where the next image of the batch begins,
    # and a face's result would depend on its neighbours by a rounding error.
    rows = tf.reduce_mean(luminance * structure, axis=(2, 3))
    return (1.0 - tf.reduce_mean(rows, axis=1)) / 2.0
