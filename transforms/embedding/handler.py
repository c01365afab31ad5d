"""Embeddings that identify people: those of the surrogate `models.WHO`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np
import tensorflow as tf

from photoveil.transforms.beam.model_handler import StageHandler
from photoveil.transforms.embedding.models import WHO
from photoveil.transforms.embedding.surrogates import load_surrogate
from photoveil.transforms.records import ScannedPhoto

_BATCH = 8  # faces; one shape is compiled
_PHOTOS = 32  # embedded together, since only the last batch of their faces is filled up

Embedder = Callable[[np.ndarray], np.ndarray]
"""A function from uint8 (n, 112, 112, 3) RGB aligned crops, any n >= 1, to embeddings, float32
(n, 192) of unit length."""


@cache
def load_embedder() -> Embedder:
    """Load the embedder, once per process.

    Raises:
        transforms.io.assets.AssetError: the model cannot be fetched.
    """
    compiled = tf.function(load_surrogate(WHO).embed, autograph=False)

    def embed(crops: np.ndarray) -> np.ndarray:
        found = []
        for start in range(0, len(crops), _BATCH):
            batch = crops[start : start + _BATCH]
            filled = np.pad(batch, [(0, _BATCH - len(batch)), *[(0, 0)] * 3], "edge")
            found.append(compiled(tf.constant(filled, tf.float32)).numpy()[: len(batch)])
        return np.concatenate(found)

    return embed


class EmbedHandler(StageHandler[ScannedPhoto, Embedder]):
    """Turns each scanned photo into the embeddings of its faces.

    They are float32 (n, 192) of unit length; (0, 0) for a photo without faces.
    """

    def __init__(self) -> None:
        super().__init__("embed", _PHOTOS)

    def load_model(self) -> Embedder:
        return load_embedder()

    def answers(self, batch: Sequence[ScannedPhoto], model: Embedder) -> Iterable[np.ndarray]:
        with_faces = [photo for photo in batch if len(photo.crops)]
        vectors = iter(())
        if with_faces:
            vectors = iter(model(np.concatenate([photo.crops for photo in with_faces])))
        for photo in batch:
            own = [next(vectors) for _ in photo.crops]
            yield np.stack(own) if own else np.zeros((0, 0), np.float32)
