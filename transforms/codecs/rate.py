"""The quality at which a lossy encoder gives a picture about as many bytes as it had.

It is higher if the picture would lose too much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST, _LEAST, _MOST = 70, 30, 95
_GROWTH = 0.034  # of the logarithm of the bytes, a step of quality: about, before it is measured
_NEAR = 0.06  # as many more, of that logarithm, are as good as none
_TRIES = 4

_BEST = 99  # 100 is lossless in some encoders, in ten times the bytes
_FALL = 0.025  # of the logarithm of the error, a step of quality: likewise
_FALLS = (0.008, 0.08)  # between which it is believed
_CLOSE = 0.85  # an error from here up to 1 is worth no further try
_MORE_TRIES = 5


def matched(encode: Callable[[int], T], size: Callable[[T], int], bytes_before: int) -> T:
    """Find the smallest encoding, of a few tries, that has no fewer bytes than before.

    Args:
        encode: encodes at a quality, 0 to 100.
        size: counts the bytes of what it returns.
        bytes_before: of the original picture.

    Returns:
        The largest one tried if none has that many bytes.
    """
    return _matched(encode, size, bytes_before)[1]


def bounded(
    encode: Callable[[int], T],
    size: Callable[[T], int],
    bytes_before: int,
    error: Callable[[T], float],
) -> tuple[T, float]:
    """Do as `matched`, with as many more bytes as it takes to keep the error within 1.

    Args:
        encode: encodes at a quality, 0 to 100.
        size: counts the bytes of what it returns.
        bytes_before: of the original picture.
        error: measures what `encode` returns, 0 and more.

    Returns:
        The encoding and its error; the one of least error if none of those tried is within 1.
    """
    low, made = _matched(encode, size, bytes_before)
    over = error(made)
    best, fall = (made, over), _FALL
    high = _BEST + 1
    for _ in range(_MORE_TRIES):
        if over <= 1 or low + 1 >= high or _CLOSE <= best[1] <= 1:
            break
        step = math.ceil(math.log(over * 2 / (1 + _CLOSE)) / fall)
        quality = min(max(low + step, low + 1), high - 1)
        made = encode(quality)
        found = error(made)
        measured = math.log(over / max(found, 1e-6)) / (quality - low)
        fall = min(max(measured, _FALLS[0]), _FALLS[1])
        if found <= 1:
            high, best = quality, (made, found)
        else:
            low, over = quality, found
            best = min(best, (made, found), key=lambda one: one[1])
    return best


def _matched(
    encode: Callable[[int], T], size: Callable[[T], int], bytes_before: int
) -> tuple[int, T]:
    """Return the quality and the encoding; see `matched`."""
    tried: dict[int, T] = {}
    quality, growth = _FIRST, _GROWTH
    before = math.log(max(bytes_before, 1))
    last: tuple[int, float] | None = None
    while len(tried) < _TRIES and quality not in tried:
        tried[quality] = encode(quality)
        found = math.log(max(size(tried[quality]), 1))
        if 0 <= found - before <= _NEAR:
            return quality, tried[quality]
        if last is not None and (found - last[1]) * (quality - last[0]) > 0:
            growth = (found - last[1]) / (quality - last[0])
        last = quality, found
        step = (before + _NEAR / 2 - found) / growth
        # One step at least, and no further than qualities go.
        step = math.copysign(min(max(1, round(abs(step))), _MOST - _LEAST), step)
        quality = min(max(quality + int(step), _LEAST), _MOST)
    large = [item for item in tried.items() if size(item[1]) >= bytes_before]
    if large:
        return min(large, key=lambda item: size(item[1]))
    return max(tried.items(), key=lambda item: size(item[1]))
