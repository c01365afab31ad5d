"""What the optimiser weighs: DSSIM, texture, and likeness of embeddings."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Wang et al. (2004, IEEE TIP 13(4)): an 11 px Gaussian window and their two constants.
_SSIM_RADIUS, _SSIM_SIGMA = 5, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

# New GPUs would round to ten bits what they multiply. A variance, the small difference of large
# squares, is lost in that: DSSIM comes out too large, and cloaks too weak.
tf.config.experimental.enable_tensor_float_32_execution(False)


def dssim(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Structural dissimilarity, (1 - SSIM) / 2, per image.

    The SSIM of `tf.image.ssim`, which Fawkes uses, so that budgets compare.

    Args:
        first, second: float32 (N, H, W, C) in 0..255, H and W at least 11.

    Returns:
        float32 (N,) in 0..1; 0 for equal images.
    """
    kernel = gaussian_kernel(_SSIM_SIGMA, _SSIM_RADIUS)
    inside = slice(_SSIM_RADIUS, -_SSIM_RADIUS)  # where the window does not reach over the edge
    down, across = (_blur_matrix(side, kernel)[inside] for side in first.shape[1:3])
    mean_first, mean_second = _blur(first, down, across), _blur(second, down, across)
    products = mean_first * mean_second
    squares = tf.square(mean_first) + tf.square(mean_second)
    covariance = _blur(first * second, down, across) - products
    variances = _blur(tf.square(first) + tf.square(second), down, across) - squares
    luminance = (2 * products + _C1) / (squares + _C1)
    structure = (2 * covariance + _C2) / (variances + _C2)
    # Row by row: a sum over all of an image may be split where the next image of the batch begins,
    # and a face's cloak would hang on its neighbours by a rounding.
    rows = tf.reduce_mean(luminance * structure, axis=(2, 3))
    return (1.0 - tf.reduce_mean(rows, axis=1)) / 2.0


def gaussian_kernel(sigma: float, radius: int) -> np.ndarray:
    """float32 (2 * radius + 1,) normalised Gaussian; lengths in pixels."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


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
    down, across = (_blur_matrix(side, kernel) for side in images.shape[1:3])
    weight = np.outer(down.sum(axis=1), across.sum(axis=1))  # less than 1 near the edge
    return _blur(images, down, across) / weight[:, :, np.newaxis]


def _blur_matrix(side: int, kernel: np.ndarray) -> np.ndarray:
    """float32 (side, side): times a column of pixels it blurs them, with 0 beyond the edge."""
    radius = len(kernel) // 2
    matrix = np.zeros((side, side + 2 * radius), np.float32)
    for row in range(side):
        matrix[row, row : row + len(kernel)] = kernel
    return matrix[:, radius:-radius]


def _blur(images: tf.Tensor, down: np.ndarray, across: np.ndarray) -> tf.Tensor:
    # The products are convolutions of one pixel, with a line of the image as its channels. On a CPU
    # that takes a tenth of the time of a convolution over one or three channels; and threads share
    # a matrix product of many images in the midst of one, and round otherwise there.
    lines = tf.transpose(images, (0, 1, 3, 2))
    lines = tf.nn.conv2d(lines, across.T[np.newaxis, np.newaxis], 1, "VALID")
    lines = tf.transpose(lines, (0, 3, 2, 1))
    lines = tf.nn.conv2d(lines, down.T[np.newaxis, np.newaxis], 1, "VALID")
    return tf.transpose(lines, (0, 3, 1, 2))


def unit_length(embeddings: tf.Tensor) -> tf.Tensor:
    """float32 (N, D) embeddings at length 1 each; one of zeros stays so."""
    squares = tf.reduce_sum(tf.square(embeddings), axis=-1, keepdims=True)
    return divide_by_root(embeddings, squares)


def divide_by_root(values: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
    """Values over the square roots of one number a face.

    A plain division would be rewritten into a product with the reciprocal root. That one is
    approximate, and in another way for the last few of a row of numbers than for those before: what
    a face gets would hang by a rounding on its place in the batch.

    Args:
        values: float32 (N, ...).
        squares: float32 of as many dimensions, broadcast to the values; 0 or more.

    Returns:
        float32 (N, ...); 0 where the square is 0.
    """
    roots = tf.sqrt(tf.broadcast_to(squares, tf.shape(values)))
    return tf.math.divide_no_nan(values, roots)


def cosine(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Cosine similarity, float32 (N,) in -1..1, of unit-length embeddings (N, D)."""
    return tf.reduce_sum(first * second, axis=-1)
