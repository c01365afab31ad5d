"""The optimiser: gradient ascent over perturbations of one kind, with alternating surrogates.

The loop is the momentum iterative method (Dong et al., CVPR 2018, arXiv:1710.06081) under
expectation over transformation (`jitter`). It maximises the `objective`. Preconditioning turns a
gradient into a step (`precondition`), and the result of a step is projected onto the admissible
perturbations (`project`). The kind of perturbation brings these together (`space`).

docs/cloak.md describes the method.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from photoveil.transforms.cloak.jitter import jitter_matrices
from photoveil.transforms.cloak.objective import objective
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.cloak.space import SPACES
from photoveil.transforms.embedding.models import WHO_SIZE
from photoveil.transforms.embedding.normalize import unit_length
from photoveil.transforms.embedding.surrogates import Surrogate
from photoveil.transforms.records import Perturbation

_MOMENTUM = 0.7


class Optimizer:
    """Perturbs batches of aligned faces against a set of surrogates.

    One compiled function holds the whole loop, for new people and for known ones. It is compiled
    once per crop size, when the first face comes: batches are filled up to `batch_size` by
    repeating the last face.

    Args:
        surrogates: in the order of their turns; one may occur several times.
        known: those for faces with a warm start, likewise.
        parameters: all but the surrogates and `precision`, which the other arguments settle.
    """

    def __init__(
        self,
        surrogates: Sequence[Surrogate],
        known: Sequence[Surrogate],
        parameters: CloakParameters,
    ) -> None:
        self._parameters = parameters
        distinct = tuple(dict.fromkeys((*surrogates, *known)))
        self._loop = _compile_loop(distinct, parameters)
        self._embed = _compile_embedding(distinct)
        self._wanted = [[one in some for one in distinct] for some in (surrogates, known)]
        longest = max(parameters.steps, parameters.known_steps)
        self._turns, self._known_turns = (
            _turns([distinct.index(one) for one in order], steps, longest)
            for order, steps in ((surrogates, parameters.steps), (known, parameters.known_steps))
        )

    @property
    def traces(self) -> int:
        """Number of times that the loop was compiled."""
        count: int = self._loop.experimental_get_tracing_count()
        return count

    def cloak(
        self,
        crops: np.ndarray,
        seeds: Sequence[int],
        starts: np.ndarray | None = None,
        targets: Sequence[np.ndarray | None] = (),
        clean: np.ndarray | None = None,
    ) -> list[Perturbation]:
        """Compute the perturbations of a batch of faces.

        Args:
            crops: uint8 (n, S, S, 3) RGB aligned faces, 1 <= n <= batch_size.
            seeds: one per face, of its jitter.
            starts: float (n, S, S, 3) warm starts of known people, like `Perturbation.stacked`.
                With them the loop takes `known_steps` steps through the surrogates for known
                people, without them `steps`.
            targets: one per face, float (192,) of unit length, which `poison` moves the face
                towards; None, or an empty sequence, to evade.
            clean: float (n, D) embeddings to move away from, laid out as `embed` gives them; None
                for those of the faces themselves.

        Returns:
            One perturbation per face. It is the same to the last bit whatever else is in the batch,
            because every batch is computed at one size and no sum crosses faces.

        Raises:
            ValueError: there is no face, or more than the batch size.
        """
        fill = self._fill(crops)
        count, size = crops.shape[:2]
        if clean is None:
            clean = self.embed(crops, known=starts is not None)
        turns = self._turns if starts is None else self._known_turns
        if starts is None:
            starts = np.zeros((count, size, size, 3), np.float32)
        steps = int(np.count_nonzero(turns >= 0))
        jitter = np.zeros((count, len(turns), 2, 3), np.float32)
        for face, seed in enumerate(seeds):
            jitter[face, :steps] = jitter_matrices(seed, size, steps, self._parameters)
        target = np.zeros((count, WHO_SIZE), np.float32)
        for face, embedding in enumerate(targets):
            if embedding is not None:
                target[face] = embedding
        changes, scores = self._loop(
            tf.constant(turns),
            tf.constant(crops[fill], tf.float32),
            tf.constant(jitter[fill]),
            tf.constant(starts[fill], tf.float32),
            tf.constant(target[fill]),
            tf.constant(clean[fill], tf.float32),
        )
        return [
            Perturbation(change[..., 2], change[..., :2], float(score), steps)
            for change, score in zip(changes.numpy()[:count], scores.numpy()[:count], strict=True)
        ]

    def embed(self, crops: np.ndarray, known: bool = False) -> np.ndarray:
        """Compute the embeddings of faces by all surrogates.

        Args:
            crops: uint8 (n, S, S, 3) RGB aligned faces, 1 <= n <= batch_size.
            known: only by the surrogates that have turns for known people.

        Returns:
            float32 (n, D): for each face the embeddings of the surrogates, each of unit length, in
            the order of their first turns; zeros for those left out. They are the same bits in any
            batch.

        Raises:
            ValueError: there is no face, or more than the batch size.
        """
        filled = tf.constant(crops[self._fill(crops)], tf.float32)
        found: np.ndarray = self._embed(filled, tf.constant(self._wanted[known])).numpy()
        return found[: len(crops)]

    def _fill(self, crops: np.ndarray) -> list[int]:
        """The numbers of the faces of a full batch, the last of the crops being repeated.

        Raises:
            ValueError: as `cloak`.
        """
        count, whole = len(crops), self._parameters.batch_size
        if not 1 <= count <= whole:
            raise ValueError(f"{count} faces for a batch of {whole}")
        return [*range(count), *[count - 1] * (whole - count)]


def _turns(order: Sequence[int], steps: int, length: int) -> np.ndarray:
    """Return the surrogate of each step, and -1 for what is left of `length`.

    New and known people take turns of one length, so that one compiled function serves both.

    Args:
        order: numbers of surrogates, which repeats.
        steps: at most `length`.

    Returns:
        int32 (length,).
    """
    return np.pad(np.resize(order, steps), (0, length - steps), constant_values=-1).astype(np.int32)


def _compile_loop(surrogates: tuple[Surrogate, ...], parameters: CloakParameters) -> Any:
    """Build the loop as a `tf.function`.

    Returns:
        A function of the turns, int32 (T,), as of `_turns`; crops, float32 (N, S, S, 3); their
        jitter, float32 (N, T, 2, 3); the warm starts, float32 (N, S, S, 3); the targets, float32
        (N, 192); and the embeddings to move away from, float32 (N, D). It returns what
        `PerturbationSpace.finish` does.
    """
    objectives = [objective(parameters.objective, surrogate) for surrogate in surrogates]

    def loop(
        turns: tf.Tensor,
        crops: tf.Tensor,
        jitter: tf.Tensor,
        start: tf.Tensor,
        target: tf.Tensor,
        clean: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        space = SPACES[parameters.perturbation](crops, parameters)
        steps = tf.math.count_nonzero(turns >= 0, dtype=tf.int32)
        rate = tf.linspace(parameters.learning_rate, parameters.final_learning_rate, steps)
        away_from = tf.split(clean, [surrogate.length for surrogate in surrogates], axis=1)

        def gradient(which: int, variable: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(variable)
                found = surrogates[which].embed(space.apply(variable, matrices))
                gain = objectives[which](found, away_from[which], target)
            return tape.gradient(gain, variable)

        def ascend(
            step: tf.Tensor, variable: tf.Tensor, momentum: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            branches = [
                partial(gradient, which, variable, jitter[:, step])
                for which in range(len(surrogates))
            ]
            direction = space.precondition(tf.switch_case(turns[step], branches))
            momentum = _MOMENTUM * momentum + (1 - _MOMENTUM) * direction
            return step + 1, space.project(variable + rate[step] * momentum), momentum

        variable = space.start(start)
        _, variable, _ = tf.while_loop(
            lambda step, *_: step < steps,
            ascend,
            (tf.constant(0), variable, tf.zeros_like(variable)),
        )
        return space.finish(variable)

    # AutoGraph would rewrite the source of every function that the loop calls, which takes longer
    # than all the rest of the compilation.
    return tf.function(loop if _together() else partial(_face_by_face, loop), autograph=False)


def _compile_embedding(surrogates: tuple[Surrogate, ...]) -> Any:
    """Build a `tf.function` that embeds crops, each as the mean with its mirror image.

    A careful tracker averages them, too.

    Returns:
        A function from crops, float32 (N, S, S, 3) RGB in 0..255, and which surrogates are wanted,
        bool (number of surrogates,), to float32 (N, D): the embeddings by the surrogates one after
        the other, each of unit length, or zeros.
    """

    def embed(crops: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        both = tf.concat([crops, crops[:, :, ::-1]], 0)

        def by(surrogate: Surrogate) -> tf.Tensor:
            there, mirrored = tf.split(surrogate.embed(both), 2)
            return unit_length(there + mirrored)

        return tf.concat(
            [
                tf.cond(
                    wanted[which],
                    partial(by, surrogate),
                    partial(tf.zeros, (crops.shape[0], surrogate.length)),
                )
                for which, surrogate in enumerate(surrogates)
            ],
            axis=1,
        )

    def one_by_one(crops: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(lambda crop: embed(crop[tf.newaxis], wanted)[0], crops)

    return tf.function(embed if _together() else one_by_one, autograph=False)


def _together() -> bool:
    """Check whether the faces of a batch are to be computed together.

    With oneDNN's kernels a face gets the same bits wherever it is in a batch. Without oneDNN (on
    ARM, or if it is turned off) TensorFlow uses Eigen's kernels, which split the sums of a
    convolution by the rows of a batch. On a GPU the faces stay together all the same, because one
    face alone would leave it idle.
    """
    onednn = platform.machine().lower() in ("x86_64", "amd64") and (
        os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1"
    )
    return onednn or bool(tf.config.list_physical_devices("GPU"))


def _face_by_face(
    loop: Callable[..., tuple[tf.Tensor, tf.Tensor]], turns: tf.Tensor, *faces: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Run the loop on batches of one face, in parallel."""

    def one(parts: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
        change, score = loop(turns, *(part[tf.newaxis] for part in parts))
        return change[0], score[0]

    return tf.map_fn(
        one,
        faces,
        fn_output_signature=(tf.float32, tf.float32),
        parallel_iterations=faces[0].shape[0],
    )
