"""The cloak itself: a small luminance change that moves the embedding of a face.

Each step passes the crops through one surrogate, the surrogates in turn, after a fresh random
similarity: every recogniser cuts faces out a little differently, and a cloak that fools one crop
only is worth little (expectation over transformation, Athalye et al., ICML 2018,
arXiv:1707.07397). The step follows the accumulated gradient (momentum iterative method, Dong et
al., CVPR 2018, arXiv:1710.06081) reshaped by what the eye forgives: most where the gradient is
strong and the photo is textured, less in low frequencies, which look like shadows. The change is
then shrunk onto the DSSIM budget, as the objective of Fawkes (Shan et al., USENIX Security 2020)
demands.

The embedding moves away from where it was (evade), or to the target of its person (poison).

docs/cloak.md tells what was tried and what it measured.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from transforms.cloak.faces import Cloak
from transforms.cloak.losses import (
    cosine,
    divide_by_root,
    dssim,
    low_pass,
    luminance,
    texture,
    unit_length,
)
from transforms.cloak.parameters import CloakParameters
from transforms.cloak.surrogates import WHO, WHO_SIZE, Surrogate
from transforms.faces.align import feather

_MOMENTUM = 0.7


class Optimizer:
    """Cloaks batches of aligned faces against a set of surrogates.

    One compiled function holds the whole loop. Batches are filled up to `batch_size` by repeating
    the last face, and the loop is told how many of its steps to take, so that it is compiled once
    per crop size.
    """

    def __init__(self, surrogates: Sequence[Surrogate], parameters: CloakParameters) -> None:
        self._surrogates = tuple(surrogates)
        self._parameters = parameters
        self._loop = _compile_loop(self._surrogates, parameters)

    @property
    def traces(self) -> int:
        """How often the loop was compiled."""
        return self._loop.experimental_get_tracing_count()

    def cloak(
        self,
        crops: np.ndarray,
        seeds: Sequence[int],
        starts: np.ndarray | None = None,
        targets: Sequence[np.ndarray | None] = (),
    ) -> list[Cloak]:
        """Cloaks for a batch of faces.

        Args:
            crops: uint8 (n, S, S, 3) RGB aligned faces, 1 <= n <= batch_size.
            seeds: one per face, of its jitter.
            starts: float (n, S, S) changes in levels to start from, for people known already:
                `known_steps` are then enough in place of `steps`.
            targets: one per face, float (192,) of unit length, where `poison` moves it to; None,
                or none at all, to evade.

        Returns:
            One a face; to the last bit the same whatever else is in the batch, since every batch
            is computed at one size and no sum crosses faces.

        Raises:
            ValueError: more faces than the batch size.
        """
        count, size = crops.shape[:2]
        if not 1 <= count <= self._parameters.batch_size:
            raise ValueError(f"{count} faces for a batch of {self._parameters.batch_size}")
        fill = [*range(count), *[count - 1] * (self._parameters.batch_size - count)]
        steps = self._parameters.steps if starts is None else self._parameters.known_steps
        starts = np.zeros((count, size, size), np.float32) if starts is None else starts
        longest = max(self._parameters.steps, self._parameters.known_steps)
        jitter = np.zeros((count, longest, 2, 3), np.float32)
        for face, seed in enumerate(seeds):
            jitter[face, :steps] = jitter_matrices(seed, size, steps, self._parameters)
        target = np.zeros((count, WHO_SIZE), np.float32)
        for face, where in enumerate(targets):
            if where is not None:
                target[face] = where
        changes, scores = self._loop(
            tf.constant(crops[fill], tf.float32),
            tf.constant(jitter[fill]),
            tf.constant(steps),
            tf.constant(starts[fill][..., np.newaxis], tf.float32),
            tf.constant(target[fill]),
        )
        return [
            Cloak(change, float(score), steps)
            for change, score in zip(
                changes.numpy()[:count, :, :, 0], scores.numpy()[:count], strict=True
            )
        ]


def jitter_matrices(seed: int, size: int, steps: int, parameters: CloakParameters) -> np.ndarray:
    """Random similarities about the crop's centre, half of them, by chance, mirrored.

    Returns:
        float64 (steps, 2, 3), output to input.
    """
    draws = np.random.default_rng(seed).normal(size=(steps, 5))
    angle = draws[:, 0] * parameters.jitter_rotation
    scale = np.exp(draws[:, 1] * parameters.jitter_scale)
    shift = draws[:, 2:4] * parameters.jitter_shift * size / 112
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    linear[:, :, 0] *= np.sign(draws[:, 4:])
    centre = np.array([size - 1, size - 1]) / 2
    offset = centre - linear @ centre + shift
    return np.concatenate([linear, offset[..., np.newaxis]], axis=-1)


def warp(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Bilinear resampling, with an exact gradient.

    TensorFlow's own projective transform approximates its gradient by the inverse transform,
    which is far off for the fine patterns a cloak is made of.

    Args:
        images: float32 (N, S, S, C).
        matrices: float32 (N, 2, 3), output to input pixel coordinates. Samples outside the image
            take the nearest pixel.
    """
    batch, size, channels = images.shape[0], images.shape[1], images.shape[3]
    axis = tf.range(size, dtype=tf.float32)
    grid_x, grid_y = (tf.reshape(part, (-1, 1)) for part in tf.meshgrid(axis, axis))
    # No matrix product: one of a batch may be rounded otherwise where threads share it.
    by_x, by_y, shift = tf.unstack(matrices[:, tf.newaxis], axis=-1)
    points = tf.clip_by_value(by_x * grid_x + by_y * grid_y + shift, 0.0, size - 1.0)
    corner = tf.minimum(tf.floor(points), size - 2.0)
    weight_x, weight_y = tf.unstack(points - corner, axis=-1)
    x, y = tf.unstack(tf.cast(corner, tf.int32), axis=-1)
    flat = tf.reshape(images, (batch, -1, channels))
    index = y * size + x
    result = tf.zeros_like(flat)
    for step_y, step_x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (weight_y if step_y else 1 - weight_y) * (weight_x if step_x else 1 - weight_x)
        values = tf.gather(flat, index + step_y * size + step_x, batch_dims=1)
        result += weight[..., tf.newaxis] * values
    return tf.reshape(result, images.shape)


def _compile_loop(surrogates: tuple[Surrogate, ...], parameters: CloakParameters) -> Any:
    budget, cap = parameters.dssim_budget, parameters.max_change
    distinct = tuple(dict.fromkeys(surrogates))
    turns = [distinct.index(surrogate) for surrogate in surrogates]

    def loop(
        crops: tf.Tensor, jitter: tf.Tensor, steps: tf.Tensor, start: tf.Tensor, target: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        size = crops.shape[1]
        turn = tf.constant(np.resize(turns, jitter.shape[1]), tf.int32)
        rate = tf.linspace(parameters.learning_rate, parameters.final_learning_rate, steps)
        mask = tf.constant(feather(size)[:, :, np.newaxis])
        forgiving = tf.pow(parameters.texture_floor + texture(crops), parameters.texture_power)
        # A face is looked at in the mirror too, as trackers do who want to be sure.
        clean = [
            unit_length(surrogate.embed(crops) + surrogate.embed(crops[:, :, ::-1]))
            for surrogate in distinct
        ]
        # The change is one of luminance: DSSIM of that alone is all but the one of the colours,
        # at a third of the cost.
        grey = luminance(crops)

        def gradient(which: int, raw: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
            jittered = warp(crops, matrices)
            with tf.GradientTape() as tape:
                tape.watch(raw)
                seen = tf.clip_by_value(jittered + warp(mask * raw, matrices), 0.0, 255.0)
                found = distinct[which].embed(seen)
                unlike = -cosine(found, clean[which])
                if parameters.objective == "poison" and distinct[which].name == WHO:
                    has_target = tf.reduce_any(target != 0, axis=-1)
                    unlike = tf.where(has_target, cosine(found, target), unlike)
            return tape.gradient(unlike, raw)

        # The mean of many changes is a faint one.
        gain = tf.sqrt(budget / (_dssim(grey, start) + 1e-6))
        raw = tf.clip_by_value(start * _per_face(gain), -cap, cap)
        momentum = tf.zeros_like(raw)
        for step in tf.range(steps):
            branches = [
                partial(gradient, which, raw, jitter[:, step]) for which in range(len(distinct))
            ]
            slope = tf.switch_case(turn[step], branches)
            direction = _unit(_unit(slope, parameters.gradient_power) * forgiving)
            momentum = _MOMENTUM * momentum + (1 - _MOMENTUM) * direction
            raw += rate[step] * momentum
            raw -= parameters.high_pass * low_pass(raw, parameters.high_pass_sigma)
            raw = tf.clip_by_value(raw, -cap, cap)
            # DSSIM grows about with the square of a change's scale.
            excess = tf.maximum(_dssim(grey, mask * raw) / budget, 1.0)
            raw = divide_by_root(raw, _per_face(excess))
        change = mask * raw
        return change, _dssim(crops, change)

    return tf.function(loop if _together() else partial(_face_by_face, loop))


def _together() -> bool:
    """Whether the faces of a batch are computed as one.

    By oneDNN's kernels a face gets the same bits wherever it stands in a batch. Eigen's, which are
    left where TensorFlow is built without oneDNN (ARM) or told to do without, split the sums of a
    convolution by the rows of a batch. A GPU would idle on one face, so there they stay together.
    """
    onednn = platform.machine().lower() in ("x86_64", "amd64") and (
        os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"
    )
    return onednn or bool(tf.config.list_physical_devices("GPU"))


def _face_by_face(
    loop: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    crops: tf.Tensor,
    jitter: tf.Tensor,
    steps: tf.Tensor,
    start: tf.Tensor,
    target: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The loop on batches of one face, side by side."""

    def one(parts: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
        face, moves, begin, aim = (part[tf.newaxis] for part in parts)
        change, score = loop(face, moves, steps, begin, aim)
        return change[0], score[0]

    return tf.map_fn(
        one,
        (crops, jitter, start, target),
        fn_output_signature=(tf.float32, tf.float32),
        parallel_iterations=crops.shape[0],
    )


def _unit(direction: tf.Tensor, power: float = 1.0) -> tf.Tensor:
    """A direction (N, H, W, 1) at root mean square 1, its peaks sharpened by a power before."""
    sharpened = tf.sign(direction) * tf.pow(tf.abs(direction), power)
    square = tf.reduce_mean(tf.square(sharpened), axis=(1, 2, 3), keepdims=True)
    return divide_by_root(sharpened, square)


def _per_face(values: tf.Tensor) -> tf.Tensor:
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]


def _dssim(crops: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
    return dssim(crops, tf.clip_by_value(crops + change, 0.0, 255.0))
