"""Gaussian filters on batches of images, luminance and local contrast."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

_LEAST_WEIGHT = 1e-3  # of the pixels inside that a blur takes in; with less it fades out


def luminance(images: tf.Tensor) -> tf.Tensor:
    """Compute the luma of ITU-R BT.709 from the stored values.

    Args:
        images: float32 (N, H, W, 3) RGB in 0..255.

    Returns:
        float32 (N, H, W, 1) in 0..255.
    """
    return tf.reduce_sum(images * [0.2126, 0.7152, 0.0722], axis=-1, keepdims=True)


def texture(crops: tf.Tensor, sigma: float = 2.0, fine: float = 1.0) -> tf.Tensor:
    """Compute the local contrast of fine detail in luminance.

    Where it is high, the eye misses changes. That is visual masking (Legge & Foley 1980, JOSA
    70(12)): contrast hides contrast of the same kind. Lines are fine, so a slope or the soft edge
    of a blurred face hides none of them, however strong it is. Nor does the edge of the photo, of
    which a viewer sees one side alone.

    Args:
        crops: float32 (N, H, W, 3) RGB in 0..255.
        sigma: standard deviation of the Gaussian neighbourhood, in pixels.
        fine: standard deviation of the blur that leaves out what is fine, in pixels.

    Returns:
        float32 (N, H, W, 1), root mean squares in levels.
    """
    grey, shown = luminance(crops), inside(crops)
    detail = grey - low_pass_inside(grey, shown, fine)
    return tf.sqrt(tf.nn.relu(low_pass_inside(tf.square(detail), shown, sigma)))


def inside(crops: tf.Tensor) -> tf.Tensor:
    """Find the part of a crop that lies in the photo.

    Outside of it a crop is black (`align.crop_face`), in each row or column up to its edge. Black
    that a photo has there itself counts as outside as well; a black frame of spectacles does not.

    Args:
        crops: float32 (N, H, W, 3) RGB in 0..255.

    Returns:
        float32 (N, H, W, 1): 1 inside, 0 outside and at the border itself.
    """
    black = tf.cast(tf.reduce_max(crops, axis=-1, keepdims=True) == 0, crops.dtype)
    outside = tf.zeros_like(black)
    for axis in (1, 2):
        for reverse in (False, True):
            outside = tf.maximum(outside, tf.math.cumprod(black, axis, reverse=reverse))
    return 1 - tf.nn.max_pool2d(outside, 3, 1, "SAME")  # with the pixels that are interpolated


def low_pass_inside(images: tf.Tensor, shown: tf.Tensor, sigma: float) -> tf.Tensor:
    """Blur with a Gaussian that takes nothing from outside of the photo.

    Args:
        images: float32 (N, H, W, C).
        shown: float32 (N, H, W, 1), from `inside`.
        sigma: standard deviation in pixels.

    Returns:
        float32 (N, H, W, C), in the units of the images; 0 far outside.
    """
    weight = tf.maximum(low_pass(shown, sigma), _LEAST_WEIGHT)
    return low_pass(shown * images, sigma) / weight


def low_pass(images: tf.Tensor, sigma: float) -> tf.Tensor:
    """Blur with a Gaussian that is renormalised at the edge of the image.

    Args:
        images: float32 (N, H, W, C).
        sigma: standard deviation in pixels; the kernel ends at 3 sigma.

    Returns:
        float32 (N, H, W, C), in the units of the images.
    """
    kernel = gaussian_kernel(sigma, int(np.ceil(3 * sigma)))
    down, across = (blur_matrix(side, kernel) for side in images.shape[1:3])
    weight = np.outer(down.sum(axis=1), across.sum(axis=1))  # less than 1 near the edge
    return blur(images, down, across) / weight[:, :, np.newaxis]


def gaussian_kernel(sigma: float, radius: int) -> np.ndarray:
    """Compute the samples of a Gaussian, normalised to the sum 1.

    Args:
        sigma: standard deviation in pixels.
        radius: pixels from the centre to the last sample.

    Returns:
        float32 (2 * radius + 1,).
    """
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def blur_matrix(side: int, kernel: np.ndarray) -> np.ndarray:
    """Build the matrix that blurs a column of pixels, which counts as 0 beyond its ends.

    Args:
        side: pixels of the column.
        kernel: float32 of odd length.

    Returns:
        float32 (side, side).
    """
    radius = len(kernel) // 2
    matrix = np.zeros((side, side + 2 * radius), np.float32)
    for row in range(side):
        matrix[row, row : row + len(kernel)] = kernel
    return matrix[:, radius:-radius]


def blur(images: tf.Tensor, down: np.ndarray, across: np.ndarray) -> tf.Tensor:
    """Multiply the columns and the rows of images by blur matrices.

    Args:
        images: float32 (N, H, W, C).
        down: float32 (H', H), for the columns; fewer rows than H cut the result.
        across: float32 (W', W), for the rows.

    Returns:
        float32 (N, H', W', C).
    """
    # The products are 1 x 1 convolutions, with a line of the image as the channels. On a CPU that
    # takes a tenth of the time of a convolution over one or three channels. A matrix product would
    # not do: threads split it within an image, so its rounding would depend on the batch.
    lines = tf.transpose(images, (0, 1, 3, 2))
    lines = tf.nn.conv2d(lines, across.T[np.newaxis, np.newaxis], 1, "VALID")
    lines = tf.transpose(lines, (0, 3, 2, 1))
    lines = tf.nn.conv2d(lines, down.T[np.newaxis, np.newaxis], 1, "VALID")
    return tf.transpose(lines, (0, 3, 1, 2))
