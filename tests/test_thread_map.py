"""Elements done side by side, on the local runner."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from photoveil.transforms.beam.stage_metrics import StageMetrics
from photoveil.transforms.beam.thread_map import ThreadMap, cores

_lock = threading.Lock()
_in_hand: list[float] = []
_seen: list[tuple[float, ...]] = []  # what was in hand whenever something was taken up


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    _in_hand.clear()
    _seen.clear()


def work(weight: float) -> float:
    with _lock:
        _in_hand.append(weight)
        _seen.append(tuple(_in_hand))
    time.sleep(0.05)
    with _lock:
        _in_hand.remove(weight)
    if weight == 13:
        raise ValueError("thirteen")
    return -weight


def weigh(weight: float) -> float:
    return weight


def run(weights: list[float], room: float, expected: list[float] | None = None) -> StageMetrics:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    done = (
        pipeline
        | beam.Create(weights, reshuffle=False)
        | beam.ParDo(ThreadMap("publish", work, weigh, room))
        | beam.combiners.ToList()
    )
    if expected is not None:
        assert_that(done, equal_to([expected]))
    total = StageMetrics()
    total.add(pipeline.run())
    return total


def test_all_results_come_in_their_order_and_their_time_is_counted() -> None:
    weights = [float(number) for number in range(1, 10)]
    total = run(weights, 100, [-weight for weight in weights])
    assert (max(map(len, _seen)) > 1) == (cores() > 1)
    assert total.seconds["publish"] >= 9 * 0.05


def test_no_more_is_in_hand_than_there_is_room_for() -> None:
    run([4.0, 5.0, 3.0, 6.0, 2.0, 7.0], 9, [-4.0, -5.0, -3.0, -6.0, -2.0, -7.0])
    assert max(map(sum, _seen)) <= 9
    assert (max(map(len, _seen)) > 1) == (cores() > 1)


def test_one_that_is_too_heavy_is_done_alone() -> None:
    run([1.0, 50.0, 1.0], 9, [-1.0, -50.0, -1.0])
    assert (50.0,) in _seen
    assert not any(50.0 in together for together in _seen if len(together) > 1)


def test_an_error_is_the_pipelines() -> None:
    with pytest.raises(Exception, match="thirteen"):
        run([1.0, 13.0, 2.0], 100)
