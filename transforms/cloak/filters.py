"""Gaussian filters on batches of images, luminance and local contrast."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def luminance(images: tf.Tensor) -> tf.Tensor:
    """Compute the luma of ITU-R BT.709 from the stored values.

    Args:
        images: float32 (N, H, W, 3) RGB in 0..255.

    Returns:
        float32 (N, H, W, 1) in 0..255.
    """
    return tf.reduce_sum(images * [0.2126, 0.7152, 0.0722], axis=-1, keepdims=True)


def texture(crops: tf.Tensor, sigma: float = 2.0) -> tf.Tensor:
    """Compute the local standard deviation of luminance: where it is high, the eye misses changes.

    Visual masking (Legge & Foley 1980, JOSA 70(12)): contrast hides contrast of the same kind.

    Args:
        crops: float32 (N, H, W, 3) RGB in 0..255.
        sigma: of the Gaussian neighbourhood, in pixels.

    Returns:
        float32 (N, H, W, 1) in levels.
    """
    grey = luminance(crops)
    variance = low_pass(tf.square(grey), sigma) - tf.square(low_pass(grey, sigma))
    return tf.sqrt(tf.nn.relu(variance))


def low_pass(images: tf.Tensor, sigma: float) -> tf.Tensor:
    """Blur with a Gaussian that is renormalised at the image border.

    Args:
        images: float32 (N, H, W, C).
        sigma: in pixels.

    Returns:
        float32 (N, H, W, C), in the units of the images.
    """
    kernel = gaussian_kernel(sigma, int(np.ceil(3 * sigma)))
    down, across = (blur_matrix(side, kernel) for side in images.shape[1:3])
    weight = np.outer(down.sum(axis=1), across.sum(axis=1))  # less than 1 near the edge
    return blur(images, down, across) / weight[:, :, np.newaxis]


def gaussian_kernel(sigma: float, radius: int) -> np.ndarray:
    """Return a normalised Gaussian, float32 (2 * radius + 1,); lengths in pixels."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def blur_matrix(side: int, kernel: np.ndarray) -> np.ndarray:
    """Return the float32 (side, side) matrix that blurs a column of pixels; 0 beyond the edge."""
    radius = len(kernel) // 2
    matrix = np.zeros((side, side + 2 * radius), np.float32)
    for row in range(side):
        matrix[row, row : row + len(kernel)] = kernel
    return matrix[:, radius:-radius]


def blur(images: tf.Tensor, down: np.ndarray, across: np.ndarray) -> tf.Tensor:
    # The products are convolutions of one pixel, with a line of the image as its channels. On a CPU
    # that takes a tenth of the time of a convolution over one or three channels; and threads share
    # a matrix product of many images in the midst of one, and round otherwise there.
    lines = tf.transpose(images, (0, 1, 3, 2))
    lines = tf.nn.conv2d(lines, across.T[np.newaxis, np.newaxis], 1, "VALID")
    lines = tf.transpose(lines, (0, 3, 2, 1))
    lines = tf.nn.conv2d(lines, down.T[np.newaxis, np.newaxis], 1, "VALID")
    return tf.transpose(lines, (0, 3, 1, 2))
