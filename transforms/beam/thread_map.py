"""Photos are read and written side by side: each alone would keep one core, and leave the others.

What decodes, encodes and looks at a photo is C code and processes of their own, so threads do.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from photoveil.transforms import spare_memory
from photoveil.transforms.beam.stage_metrics import spent


class ThreadMap(beam.DoFn):
    """Does a function on several elements at once, and gives the results in their order.

    Args:
        stage: of `transforms.beam.stage_metrics`, that the time is counted for.
        work: from an element to its result.
        weigh: how much of `room` an element takes until its result is handed on.
        room: so much is in hand at once at most, unless one element alone is heavier: it bounds
            the memory.
    """

    def __init__(
        self,
        stage: str,
        work: Callable[[Any], Any],
        weigh: Callable[[Any], float],
        room: float,
    ) -> None:
        self._stage, self._work, self._weigh, self._room = stage, work, weigh, room

    def setup(self) -> None:
        spare_memory.give_back()  # what stages before this one took
        threads = cores()
        self._pool = ThreadPoolExecutor(threads)
        self._most = 2 * threads  # a slow one keeps no thread from the next
        self._in_hand: deque[tuple[float, Future[tuple[Any, float]]]] = deque()

    def process(self, element: Any) -> Iterator[Any]:
        weight = self._weigh(element)
        while self._in_hand and (self._is_full(weight) or self._in_hand[0][1].done()):
            yield self._oldest()
        self._in_hand.append((weight, self._pool.submit(self._timed, element)))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self._in_hand:
            yield GlobalWindows.windowed_value(self._oldest())

    def teardown(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _is_full(self, weight: float) -> bool:
        held = sum(own for own, _ in self._in_hand)
        return len(self._in_hand) == self._most or weight + held > self._room

    def _timed(self, element: Any) -> tuple[Any, float]:
        started = time.perf_counter()
        return self._work(element), time.perf_counter() - started

    def _oldest(self) -> Any:
        _, done = self._in_hand.popleft()
        result, seconds = done.result()
        spent(self._stage, seconds)  # Beam counts what the thread of the bundle reports, no other
        return result


def cores() -> int:
    """That the process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # no Linux
        return os.cpu_count() or 1
