"""Whatever one photo raises costs that photo, and no other."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from photoveil.transforms.beam.model_handler import Example, Model, WrappingHandler
from photoveil.transforms.failures import failure

_loading = threading.Lock()


class ErrorIsolatingHandler(WrappingHandler[Example, Model]):
    """A handler whose batches never raise: an example that does has a `Failure` for inference.

    Beam's own exception handling gives up a whole batch, and the photos that shared it.

    Args:
        handler: what else is in a batch must not change its answers. what: it does, for `failure`.
    """

    def __init__(self, handler: ModelHandler[Example, PredictionResult, Model], what: str) -> None:
        super().__init__(handler)
        self._what = what

    def load_model(self) -> Model:
        # Several steps may share a model that a process keeps: its threads wait for each other.
        with _loading:
            return super().load_model()

    def run_inference(
        self,
        batch: Sequence[Example],
        model: Model,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterable[PredictionResult]:
        try:
            return list(self._handler.run_inference(batch, model, inference_args))
        except Exception as error:
            if len(batch) == 1:
                return [PredictionResult(batch[0], failure(self._what, error))]
        return [
            result
            for example in batch
            for result in self.run_inference([example], model, inference_args)
        ]

    def get_num_bytes(self, batch: Sequence[Example]) -> int:
        return 0  # the default pickles every photo for the sake of a metric
