"""The quality at which a lossy encoder gives a picture about as many bytes as it had."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST, _LEAST, _MOST = 70, 30, 95
_GROWTH = 0.034  # of the logarithm of the bytes, a step of quality: about, before it is measured
_NEAR = 0.06  # as many more, of that logarithm, are as good as none
_TRIES = 4


def matched(encode: Callable[[int], T], size: Callable[[T], int], bytes_before: int) -> T:
    """The smallest encoding of a few tries that has no fewer bytes than before.

    Args:
        encode: from a quality, 0 to 100. size: bytes of what it returns.

    Returns:
        The largest one tried where none has that many bytes.
    """
    tried: dict[int, T] = {}
    quality, growth = _FIRST, _GROWTH
    before = math.log(max(bytes_before, 1))
    last: tuple[int, float] | None = None
    while len(tried) < _TRIES and quality not in tried:
        tried[quality] = encode(quality)
        found = math.log(max(size(tried[quality]), 1))
        if 0 <= found - before <= _NEAR:
            return tried[quality]
        if last is not None and (found - last[1]) * (quality - last[0]) > 0:
            growth = (found - last[1]) / (quality - last[0])
        last = quality, found
        step = (before + _NEAR / 2 - found) / growth
        # One step at least, and no further than qualities go.
        step = math.copysign(min(max(1, round(abs(step))), _MOST - _LEAST), step)
        quality = min(max(quality + int(step), _LEAST), _MOST)
    large = [one for one in tried.values() if size(one) >= bytes_before]
    return min(large, key=size) if large else max(tried.values(), key=size)
