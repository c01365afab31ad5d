"""Measure by how much each surrogate's embedding of a face has moved in the written file.

The optimiser's own figures are not reported, because resampling and compression come after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import tensorflow as tf

from photoveil.transforms.beam.model_handler import StageHandler
from photoveil.transforms.embedding.normalize import cosine
from photoveil.transforms.embedding.surrogates import Surrogate, load_surrogate
from photoveil.transforms.records import Measured, WrittenPhoto

_PHOTOS = 32  # measured together, since only the last batch of their faces is filled up


class Measure:
    """Compares aligned crops of originals and written files in batches of one compiled shape.

    Args:
        surrogates: whose embeddings are compared.
        batch_size: faces in a batch; the last batch is filled up.
    """

    def __init__(self, surrogates: Sequence[Surrogate], batch_size: int) -> None:
        self._surrogates = tuple(surrogates)
        self._batch_size = batch_size
        self._compare = tf.function(self._figures, autograph=False)

    def compare(self, clean: np.ndarray, written: np.ndarray) -> list[Measured]:
        """Compute the cosine shift of each face for each surrogate.

        Args:
            clean, written: uint8 (n, S, S, 3) RGB aligned crops of the same faces, any n.

        Returns:
            One record per face, in order.
        """
        figures: list[np.ndarray] = []
        for start in range(0, len(clean), self._batch_size):
            pair = (
                clean[start : start + self._batch_size],
                written[start : start + self._batch_size],
            )
            missing = self._batch_size - len(pair[0])
            filled = [np.pad(crops, [(0, missing), *[(0, 0)] * 3], "edge") for crops in pair]
            figures += list(
                self._compare(*(tf.constant(crops, tf.float32) for crops in filled)).numpy()
            )[: len(pair[0])]
        names = [surrogate.name for surrogate in self._surrogates]
        return [
            Measured({name: float(shift) for name, shift in zip(names, shifts, strict=True)})
            for shifts in figures
        ]

    def _figures(self, clean: tf.Tensor, written: tf.Tensor) -> tf.Tensor:
        shifts = [1.0 - cosine(s.embed(clean), s.embed(written)) for s in self._surrogates]
        return tf.stack(shifts, axis=1)


@cache
def load_measure(surrogates: tuple[str, ...], batch_size: int) -> Measure:
    """Load the surrogates to measure with, once per process; see `handler.load_optimizer`.

    Args:
        surrogates: their names.
        batch_size: faces in a batch.
    """
    return Measure([load_surrogate(name) for name in surrogates], batch_size)


class MeasureHandler(StageHandler[WrittenPhoto, Measure]):
    """Turns each written photo into a list of `Measured`, one for each of its faces.

    Args:
        surrogates: the names of those to measure with.
        batch_size: faces, not photos, that a surrogate gets at once.
    """

    def __init__(self, surrogates: tuple[str, ...], batch_size: int) -> None:
        super().__init__("measure", _PHOTOS)
        self._surrogates = surrogates
        self._faces = batch_size

    def load_model(self) -> Measure:
        return load_measure(self._surrogates, self._faces)

    def answers(self, batch: Sequence[WrittenPhoto], model: Measure) -> Iterable[list[Measured]]:
        with_faces = [photo for photo in batch if photo.faces]
        measured: list[Measured] = []
        if with_faces:
            measured = model.compare(
                np.concatenate([photo.clean for photo in with_faces]),
                np.concatenate([photo.written for photo in with_faces]),
            )
        remaining = iter(measured)
        return [[next(remaining) for _ in photo.faces] for photo in batch]
