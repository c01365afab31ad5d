"""What the model handlers of all stages share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from photoveil.transforms.beam.stage_metrics import NAMESPACE

Example = TypeVar("Example")
Model = TypeVar("Model")


class StageHandler(ModelHandler[Example, PredictionResult, Model]):
    """A handler that answers a batch of a fixed size at once, for a stage of `stage_metrics`.

    Args:
        stage: that Beam's metrics of the batches count for.
        batch_size: examples in a batch; the last one of a bundle may hold fewer.
    """

    def __init__(self, stage: str, batch_size: int) -> None:
        super().__init__()
        self._stage, self._batch_size = stage, batch_size

    @abstractmethod
    def answers(self, batch: Sequence[Example], model: Model) -> Iterable[Any]:
        """Compute the inference of each example of a batch, in order."""

    def run_inference(
        self,
        batch: Sequence[Example],
        model: Model,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterable[PredictionResult]:
        for example, answer in zip(batch, self.answers(batch, model), strict=True):
            yield PredictionResult(example, answer)

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        return {"min_batch_size": self._batch_size, "max_batch_size": self._batch_size}

    def get_metrics_namespace(self) -> str:
        return f"{NAMESPACE}.{self._stage}"


class WrappingHandler(ModelHandler[Example, PredictionResult, Model]):
    """A handler around another one, as which it is batched, loaded and measured."""

    def __init__(self, handler: ModelHandler[Example, PredictionResult, Model]) -> None:
        super().__init__()
        self._handler = handler

    def load_model(self) -> Model:
        return self._handler.load_model()

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        return self._handler.batch_elements_kwargs()

    def get_metrics_namespace(self) -> str:
        return self._handler.get_metrics_namespace()
