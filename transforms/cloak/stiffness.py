"""Where a crop may not bend in small waves: along edges that run straight.

A bent spectacle frame, door post or line of text catches the eye, a moved brow does not. An edge
runs straight where the gradients of its neighbourhood agree: that is the coherence of the structure
tensor (Weickert, Int. J. Computer Vision 31, 1999).
"""

from __future__ import annotations

import tensorflow as tf

from photoveil.transforms.cloak.filters import low_pass, luminance

_NOISE, _NEIGHBOURHOOD = 1.0, 3.0  # pixels; sigma of what is smoothed away, and of what is compared
_COHERENCE = (0.7, 0.9)  # from where the crop begins to be stiff to where it is wholly so
_STRENGTH = (8.0, 16.0)  # levels per pixel, likewise


def stiffness(crops: tf.Tensor) -> tf.Tensor:
    """Compute how stiff each place is.

    Args:
        crops: float32 (N, S, S, 3) RGB in 0..255.

    Returns:
        float32 (N, S, S, 1): 0 where the crop may bend freely, 1 along strong straight edges.
    """
    grey = tf.pad(low_pass(luminance(crops), _NOISE), ((0, 0), (1, 1), (1, 1), (0, 0)), "SYMMETRIC")
    across = (grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]) / 2
    down = (grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]) / 2
    xx, xy, yy = (
        low_pass(part, _NEIGHBOURHOOD) for part in (across * across, across * down, down * down)
    )
    difference = tf.sqrt(tf.square(xx - yy) + 4 * tf.square(xy))
    coherence = tf.math.divide_no_nan(difference, xx + yy)
    strength = tf.sqrt((xx + yy + difference) / 2)
    return low_pass(_ramp(coherence, *_COHERENCE) * _ramp(strength, *_STRENGTH), _NOISE)


def _ramp(values: tf.Tensor, start: float, end: float) -> tf.Tensor:
    return tf.clip_by_value((values - start) / (end - start), 0.0, 1.0)
