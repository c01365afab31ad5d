"""Embeddings of unit length, and how alike two of them are."""

from __future__ import annotations

import tensorflow as tf


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
