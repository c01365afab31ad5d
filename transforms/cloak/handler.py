"""The optimiser as a Beam model handler: faces of many photos in one compiled batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from photoveil.transforms.beam.model_handler import StageHandler
from photoveil.transforms.cloak.optimizer import Optimizer
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.embedding.surrogates import load_surrogate
from photoveil.transforms.records import AlignedFace, Perturbation


@cache
def load_optimizer(parameters: CloakParameters) -> Optimizer:
    """Load the optimiser, once per process.

    Each wave is a pipeline of its own, and to compile again for each would cost more than to cloak
    a face.
    """
    loaded = {name: load_surrogate(name, parameters.precision) for name in parameters.recognisers}
    surrogates = [loaded[name] for name in parameters.surrogates]
    known = [loaded[name] for name in parameters.known_turns]
    return Optimizer(surrogates, known, parameters)


class PrototypeHandler(StageHandler[AlignedFace, Optimizer]):
    """Turns each aligned face into its embeddings by all surrogates, as `Optimizer.embed` does."""

    def __init__(self, parameters: CloakParameters) -> None:
        super().__init__("prototype", parameters.batch_size)
        self._parameters = parameters

    def load_model(self) -> Optimizer:
        return load_optimizer(self._parameters)

    def answers(self, batch: Sequence[AlignedFace], model: Optimizer) -> Iterable[np.ndarray]:
        return model.embed(np.stack([face.crop for face in batch]))


class CloakHandler(StageHandler[AlignedFace, Optimizer]):
    """Turns each aligned face into a `Perturbation`.

    The faces of a batch must all have a warm start or all have none, because that decides the
    number of steps.
    """

    def __init__(self, parameters: CloakParameters) -> None:
        super().__init__("cloak", parameters.batch_size)
        self._parameters = parameters

    def load_model(self) -> Optimizer:
        return load_optimizer(self._parameters)

    def answers(self, batch: Sequence[AlignedFace], model: Optimizer) -> Iterable[Perturbation]:
        crops = np.stack([face.crop for face in batch])
        starts = [face.known.start for face in batch if face.known is not None]
        started = [start for start in starts if start is not None]
        return model.cloak(
            crops,
            [face.seed for face in batch],
            np.stack(started) if started else None,
            [None if face.known is None else face.known.target for face in batch],
            _clean(batch, crops, model),
        )


def _clean(batch: Sequence[AlignedFace], crops: np.ndarray, model: Optimizer) -> np.ndarray:
    """The embeddings that the faces of a batch move away from, float32 (n, D).

    For a face without a prototype that is its own. For others it is the sum with the prototype: a
    tracker looks for the person, and away from the mean of several photos leads farther from all of
    them than away from one. Without its own part a face stays more like itself.
    """
    there = [face.embedding for face in batch if face.embedding is not None]
    whole = len(there) == len(batch)
    clean = np.stack(there) if whole else model.embed(crops, known=batch[0].has_start)
    for place, face in enumerate(batch):
        if face.known is not None and face.known.prototype is not None:
            clean[place] += face.known.prototype
    return clean
