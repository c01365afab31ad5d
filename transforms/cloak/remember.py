"""Finished batches survive a crash: each is kept on disk until its wave is committed."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from transforms import storage

Example = TypeVar("Example")
Model = TypeVar("Model")


class Remembered(ModelHandler[Example, PredictionResult, Model]):
    """A handler that gives the same batch the same answer, computed once.

    Whole batches are kept, not elements: what else is in its batch decides the last bits of a
    result, and a run that was killed must end with the same bytes as one that was not.

    Args:
        handler: what computes. folder: private, because cloaks tell of faces; emptied by whoever
            made it, and for one handler with one set of parameters alone.
    """

    def __init__(
        self, handler: ModelHandler[Example, PredictionResult, Model], folder: str
    ) -> None:
        super().__init__()
        self._handler, self._folder = handler, folder

    def load_model(self) -> Model:
        return self._handler.load_model()

    def run_inference(
        self,
        batch: Sequence[Example],
        model: Model,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterable[PredictionResult]:
        key = hashlib.sha256(pickle.dumps(list(batch))).hexdigest()
        file = storage.join(self._folder, key)
        if storage.exists(file):
            inferences = pickle.loads(storage.read_bytes(file))
        else:
            results = self._handler.run_inference(batch, model, inference_args)
            inferences = [result.inference for result in results]
            with contextlib.suppress(OSError):  # a full disk costs the insurance, not the photo
                storage.write_atomic(file, pickle.dumps(inferences), self._folder)
        for example, inference in zip(batch, inferences, strict=True):
            yield PredictionResult(example, inference)

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        return self._handler.batch_elements_kwargs()

    def get_metrics_namespace(self) -> str:
        return self._handler.get_metrics_namespace()
