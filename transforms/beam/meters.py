"""What workers report while they work, by Beam's metrics; `stage_metrics` reads them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import TypeVar

from apache_beam.metrics import Metrics

from photoveil.transforms.beam.stage_metrics import BUCKET, NAMESPACE, SPANS

T = TypeVar("T")


def tick(element: T, event: str, file: str | None, count: int = 1) -> T:
    """Pass `element` on and count an event, as a Beam metric and, given a file, for the screen."""
    Metrics.counter(NAMESPACE, event).inc(count)
    if file is not None:
        with contextlib.suppress(FileNotFoundError):  # a worker on another machine
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(handle, f"{event} {count}\n".encode())
            finally:
                os.close(handle)
    return element


@contextlib.contextmanager
def timed(stage: str) -> Iterator[None]:
    """Count the time that the block takes as that of a stage; within a worker."""
    started = time.perf_counter()
    try:
        yield
    finally:
        spent(stage, time.perf_counter() - started)


def spent(stage: str, seconds: float) -> None:
    """Count time as that of a stage."""
    Metrics.distribution(f"{NAMESPACE}.{stage}", SPANS[0]).update(int(seconds * 1e6))


def bucket(photos: int) -> None:
    """Report the size of a bucket of photos that are compared with each other."""
    Metrics.distribution(f"{NAMESPACE}.compare", BUCKET).update(photos)
