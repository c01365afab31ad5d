"""Gaussian filters of a batch of images, and what is made of them: luminance and its texture."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def luminance(images: tf.Tensor) -> tf.Tensor:
    """Luma of ITU-R BT.709, of the values as they are stored.

    Args:
        images: float32 (N, H, W, 3) RGB in 0..255.

    Returns:
        float32 (N, H, W, 1) in 0..255.
    """
    return tf.reduce_sum(images * [0.2126, 0.7152, 0.0722], axis=-1, keepdims=True)


def texture(crops: tf.Tensor, sigma: float = 2.0) -> tf.Tensor:
    """Local standard deviation of luminance: how much of a change the eye does not notice there.

    Visual masking (Legge & Foley 1980, JOSA 70(12)): contrast hides contrast of its own kind.

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
    """Gaussian mean of what lies around each pixel, inside the image alone.

    Args:
        images: float32 (N, H, W, C).
        sigma: in pixels.

    Returns:
        float32 (N, H, W, C), in the images' own units.
    """
    kernel = gaussian_kernel(sigma, int(np.ceil(3 * sigma)))
    down, across = (blur_matrix(side, kernel) for side in images.shape[1:3])
    weight = np.outer(down.sum(axis=1), across.sum(axis=1))  # less than 1 near the edge
    return blur(images, down, across) / weight[:, :, np.newaxis]


def gaussian_kernel(sigma: float, radius: int) -> np.ndarray:
    """float32 (2 * radius + 1,) normalised Gaussian; lengths in pixels."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def blur_matrix(side: int, kernel: np.ndarray) -> np.ndarray:
    """float32 (side, side): times a column of pixels it blurs them, with 0 beyond the edge."""
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
