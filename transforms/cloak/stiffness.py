"""Where a crop may not bend in small waves: along straight edges, and around spectacles.

A bent door post, line of text or spectacle frame catches the eye, a moved brow does not. An edge is
straight where the gradients of its neighbourhood agree: that is the coherence of the structure
tensor (Weickert, Int. J. Computer Vision 31, 1999). Spectacles have corners and curves, and are
recognised by their bridge: an edge across the nose between the eyes, where a bare face is smooth.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy import ndimage

from photoveil.transforms.cloak.filters import inside, low_pass, low_pass_inside, luminance

# Sigma, in pixels: of the blur against noise; of the neighbourhood whose gradients are compared.
_NOISE, _NEIGHBOURHOOD = 1.0, 3.0
_COHERENCE = (0.7, 0.9)  # stiffness 0 below the first, 1 above the second
_STRENGTH = (2.5, 6.0)  # of the edge, in levels per pixel; as above. A strand of hair has a few
# Bare faces have up to 26 levels per pixel across the bridge, where a brow is knitted, nearly all
# of them below 15, and dark frames 36 and more (107 labelled photos).
_BRIDGE = (14.0, 32.0)
_BRIDGE_ROWS, _BRIDGE_COLUMNS = (44, 62), (52, 61)  # of a crop of 112 pixels
_FRAME_ROWS = (32, 78)


def stiffness(crops: tf.Tensor) -> tf.Tensor:
    """Compute the stiffness of each place of a crop.

    Args:
        crops: float32 (N, S, S, 3) RGB in 0..255.

    Returns:
        float32 (N, S, S, 1): 0 where the crop may bend freely, 1 along strong straight edges and
        where spectacles are.
    """
    shown = inside(crops)  # the edge of the photo cannot bend, and is no edge in it
    smooth = low_pass_inside(luminance(crops), shown, _NOISE)
    grey = tf.pad(smooth, ((0, 0), (1, 1), (1, 1), (0, 0)), "SYMMETRIC")
    across = shown * (grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]) / 2
    down = shown * (grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]) / 2
    xx, xy, yy = (
        low_pass(part, _NEIGHBOURHOOD) for part in (across * across, across * down, down * down)
    )
    difference = tf.sqrt(tf.square(xx - yy) + 4 * tf.square(xy))
    coherence = tf.math.divide_no_nan(difference, xx + yy)
    strength = tf.sqrt((xx + yy + difference) / 2)
    straight = low_pass(_ramp(coherence, *_COHERENCE) * _ramp(strength, *_STRENGTH), _NOISE)
    return tf.maximum(straight, _spectacles(down))


def _spectacles(down: tf.Tensor) -> tf.Tensor:
    """Estimate where spectacles are.

    Args:
        down: float32 (N, S, S, 1), the vertical gradient of luminance in levels per pixel.

    Returns:
        float32 (N, S, S, 1): 0 where there are none to 1 where there certainly are.
    """
    scale = down.shape[1] / 112
    rows, columns = (
        slice(round(start * scale), round(stop * scale))
        for start, stop in (_BRIDGE_ROWS, _BRIDGE_COLUMNS)
    )
    strongest = tf.reduce_max(tf.abs(down[:, rows, columns, 0]), axis=1)
    median = tf.sort(strongest, axis=1)[:, strongest.shape[1] // 2]
    places = np.zeros((down.shape[1], 1, 1), np.float32)
    places[round(_FRAME_ROWS[0] * scale) : round(_FRAME_ROWS[1] * scale)] = 1
    places = ndimage.gaussian_filter1d(places, _NEIGHBOURHOOD * scale, axis=0)
    return _ramp(median, *_BRIDGE)[:, tf.newaxis, tf.newaxis, tf.newaxis] * places


def _ramp(values: tf.Tensor, start: float, end: float) -> tf.Tensor:
    return tf.clip_by_value((values - start) / (end - start), 0.0, 1.0)
