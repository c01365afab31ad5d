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
        )
