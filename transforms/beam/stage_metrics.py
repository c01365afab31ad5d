"""What workers did and how long each stage took them, told by Beam's metrics on any runner.

A stage is a namespace, `photoveil.STAGE`. Beam's RunInference reports its batches there; stages
without a model report their time by `timed` and `spent`.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a run with nothing to do loads no Beam
    from apache_beam.runners.runner import PipelineResult

NAMESPACE = "photoveil"
STAGES = {
    "read": "reading",
    "detect": "finding faces",
    "align": "aligning",
    "embed": "telling people apart",
    "compare": "finding near duplicates",
    "prototype": "averaging embeddings",
    "cloak": "cloaking",
    "publish": "writing",
    "measure": "measuring",
}
"""In the order of a photo's way, with what each is called in a summary."""
_SPANS = ("micro_secs", "inference_batch_latency_micro_secs")
_BATCH = "inference_request_batch_size"
_BUCKET = "bucket_photos"


@contextlib.contextmanager
def timed(stage: str) -> Iterator[None]:
    """Count the time that the block takes as that of a stage; within a worker."""
    started = time.perf_counter()
    try:
        yield
    finally:
        spent(stage, time.perf_counter() - started)


def spent(stage: str, seconds: float) -> None:
    """Count time as that of a stage; within a worker."""
    _report(stage, _SPANS[0], int(seconds * 1e6))


def bucket(photos: int) -> None:
    """Report the size of a bucket of photos that are compared with each other."""
    _report("compare", _BUCKET, photos)


def _report(stage: str, name: str, value: int) -> None:
    from apache_beam.metrics import Metrics  # slow to load, and a run with nothing to do does not

    Metrics.distribution(f"{NAMESPACE}.{stage}", name).update(value)


@dataclass
class StageMetrics:
    """Of all pipelines of a run.

    photos: files, as manifest rows count them. faces: cloaked or tried. seconds: by stage, of all
    workers and their threads together, loading of models left out. batches: of faces, for
    the optimiser. widest_bucket: photos in the largest bucket of near duplicates, the most that
    any worker gets at once.
    """

    photos: int = 0
    faces: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    batches: int = 0
    in_batches: int = 0
    widest_bucket: int = 0

    def add(self, result: PipelineResult) -> None:
        """Count a pipeline that has ended."""
        found = result.metrics().query()
        for metric in found["counters"]:
            if metric.key.metric.namespace == NAMESPACE:
                self.photos += metric.result * (metric.key.metric.name == "published")
                self.faces += metric.result * (metric.key.metric.name == "face")
        for metric in found["distributions"]:
            space, _, stage = metric.key.metric.namespace.partition(".")
            if space != NAMESPACE or stage not in STAGES:
                continue
            name, figures = metric.key.metric.name, metric.result
            if name in _SPANS:
                self.seconds[stage] += figures.sum / 1e6
            elif name == _BUCKET:
                self.widest_bucket = max(self.widest_bucket, figures.max)
            elif name == _BATCH and stage == "cloak":
                self.batches += figures.count
                self.in_batches += figures.sum

    def record(self, batch_size: int) -> dict[str, Any]:
        """For the history of runs.

        Args:
            batch_size: faces that a batch of the optimiser has room for.
        """
        fill = self.in_batches / (self.batches * batch_size) if self.batches else None
        return {
            "photos": self.photos,
            "faces": self.faces,
            "seconds": {stage: round(self.seconds[stage], 3) for stage in STAGES},
            "batch_fill": None if fill is None else round(fill, 3),
            "widest_bucket": self.widest_bucket,
        }

    def shares(self) -> list[tuple[str, float]]:
        """What took the workers' time, most first: its name and its share, 0..1."""
        total = sum(self.seconds.values())
        return [(STAGES[stage], seconds / total) for stage, seconds in self.seconds.most_common()]
