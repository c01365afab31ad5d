"""The search for a quality that keeps a file's size."""

from __future__ import annotations

import math

import pytest

from transforms.codecs.rate import matched


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
