"""The search for a quality that keeps a file's size, or at least the picture."""

from __future__ import annotations

import math

import pytest

from photoveil.transforms.codecs.rate import bounded, matched


@pytest.mark.parametrize("growth", [0.02, 0.034, 0.06])
@pytest.mark.parametrize("before", [40_000, 100_000, 170_000, 220_000])
def test_size_is_kept_from_above(growth: float, before: int) -> None:
    tried = []

    def encode(quality: int) -> bytes:
        tried.append(quality)
        return bytes(round(100_000 * math.exp(growth * (quality - 70))))

    found = len(matched(encode, len, before))
    assert len(tried) == len(set(tried)) <= 4
    assert found == max(len(encode(30)), found)
    if len(encode(30)) < before < len(encode(95)):
        assert before <= found < 1.13 * before


def test_most_is_made_of_what_cannot_be_reached() -> None:
    assert matched(lambda quality: quality, lambda made: made, 1000) == 95
    assert matched(lambda quality: quality + 50, lambda made: made, 10) == 80


@pytest.mark.parametrize("fall", [0.01, 0.025, 0.06])
@pytest.mark.parametrize("worst", [1.1, 3.0, 6.0])
def test_error_is_bounded_in_few_more_bytes(fall: float, worst: float) -> None:
    tried = []

    def encode(quality: int) -> int:
        tried.append(quality)
        return quality

    def error(quality: int) -> float:
        return worst * math.exp(-fall * (quality - 40))

    quality, found = bounded(encode, lambda q: q, 40, error)
    assert len(tried) <= 9
    if error(99) > 1:
        assert (quality, found) == (99, error(99))  # the best that there is, and it says so
    else:
        assert found <= 1
        assert found > 0.8 or error(quality - 1) > 1


def test_what_loses_little_keeps_its_size() -> None:
    size = matched(lambda q: q, lambda q: q, 60)
    assert bounded(lambda q: q, lambda q: q, 60, lambda q: 0.5) == (size, 0.5)


def test_error_that_does_not_fall_ends_the_search() -> None:
    quality, found = bounded(lambda q: q, lambda q: q, 60, lambda q: 3.0)
    assert found == 3.0
    assert 60 <= quality <= 99
