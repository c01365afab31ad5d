"""Embeddings of unit length, and the cosine of two of them."""

from __future__ import annotations

import tensorflow as tf


def unit_length(embeddings: tf.Tensor) -> tf.Tensor:
    """Scale embeddings, float32 (N, D), to length 1 each; zeros stay zeros."""
    squares = tf.reduce_sum(tf.square(embeddings), axis=-1, keepdims=True)
    return divide_by_root(embeddings, squares)


def divide_by_root(values: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
    """Divide values by the square roots of one number per face.

    TensorFlow would rewrite a plain division into a product with the reciprocal root. It
    approximates that, and does so in another way for the last few numbers of a row. A face's result
    would then depend on its place in the batch, by a rounding error.

    Args:
        values: float32 (N, ...).
        squares: float32 of as many dimensions, 0 or more; they broadcast to the values.

    Returns:
        float32 (N, ...); 0 where the square is 0.
    """
    roots = tf.sqrt(tf.broadcast_to(squares, tf.shape(values)))
    return tf.math.divide_no_nan(values, roots)


def cosine(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Compute the cosine similarities of pairs of embeddings.

    Args:
        first, second: float32 (N, D) of unit length.

    Returns:
        float32 (N,) in -1..1.
    """
    return tf.reduce_sum(first * second, axis=-1)
