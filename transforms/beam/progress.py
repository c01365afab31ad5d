"""Progress from workers to the command line, through a file both can reach.

Beam reports metrics when a pipeline has ended; a person wants to see faces being done. Workers,
in whatever process, append one short line an event (`tick`); appends that short are atomic.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from pathlib import Path
from typing import TypeVar

from photoveil.transforms.beam.stage_metrics import NAMESPACE

T = TypeVar("T")


def tick(element: T, event: str, file: str | None, count: int = 1) -> T:
    """Count an event, as a Beam metric and, given a file, for the screen; pass `element` on."""
    from apache_beam.metrics import Metrics  # slow to load, and a reader does without

    Metrics.counter(NAMESPACE, event).inc(count)
    if file is not None:
        with contextlib.suppress(FileNotFoundError):  # a worker on another machine
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(handle, f"{event} {count}\n".encode())
            finally:
                os.close(handle)
    return element


class ProgressReader:
    """Count the events of a progress file as it grows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position = 0
        self.counts: Counter[str] = Counter()

    def update(self) -> Counter[str]:
        """Read what is new, and return all counts so far."""
        if self._file.exists():
            with open(self._file, "rb") as stream:
                stream.seek(self._position)
                whole, newline, _ = stream.read().rpartition(b"\n")
            if newline:
                self._position += len(whole) + 1
                for line in whole.decode().splitlines():
                    event, count = line.split()
                    self.counts[event] += int(count)
        return self.counts
