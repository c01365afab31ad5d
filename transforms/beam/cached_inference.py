"""Finished cloaks survive a crash: each is kept on disk until its wave is committed."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from photoveil.transforms.beam.model_handler import Example, Model, WrappingHandler
from photoveil.transforms.io import storage


def _all_of(example: Any) -> Any:
    return example


class CachingHandler(WrappingHandler[Example, Model]):
    """A handler that gives the same example the same answer, computed once.

    Args:
        handler: what computes; what else is in a batch must not change an answer. folder: private,
            because cloaks tell of faces; emptied by whoever made it, and for one handler with one
            set of parameters alone.
        decisive: what of an example an answer depends on.
    """

    def __init__(
        self,
        handler: ModelHandler[Example, PredictionResult, Model],
        folder: str,
        decisive: Callable[[Example], Any] = _all_of,
    ) -> None:
        super().__init__(handler)
        self._folder, self._decisive = folder, decisive

    def run_inference(
        self,
        batch: Sequence[Example],
        model: Model,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterable[PredictionResult]:
        files = [self._file(example) for example in batch]
        results: dict[int, Any] = {}
        for number, file in enumerate(files):
            # A full disk or a damaged file costs the insurance, no photo; pickle raises anything.
            with contextlib.suppress(Exception):
                results[number] = pickle.loads(storage.read_bytes(file))
        new = [number for number in range(len(batch)) if number not in results]
        if new:
            examples = [batch[number] for number in new]
            done = self._handler.run_inference(examples, model, inference_args)
            for number, result in zip(new, done, strict=True):
                results[number] = result.inference
                with contextlib.suppress(OSError):
                    storage.write_atomic(
                        files[number], pickle.dumps(result.inference), self._folder
                    )
        for number, example in enumerate(batch):
            yield PredictionResult(example, results[number])

    def _file(self, example: Example) -> str:
        decisive = pickle.dumps(self._decisive(example))
        return storage.join(self._folder, hashlib.sha256(decisive).hexdigest())
