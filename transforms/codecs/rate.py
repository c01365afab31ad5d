"""The quality at which a lossy encoder gives a picture about as many bytes as it had."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST, _LEAST, _MOST = 70, 30, 95
_GROWTH = 0.034  # of the logarithm of the bytes, a step of quality; of x265, aom and libwebp about
_ROOM = 1.03  # aim a little above: no picture shall lose for want of bytes
_TRIES = 3


def matched(encode: Callable[[int], T], size: Callable[[T], int], bytes_before: int) -> T:
    """The smallest encoding of a few tries that has no fewer bytes than before.

    Args:
        encode: from a quality, 0 to 100. size: bytes of what it returns.

    Returns:
        The largest one tried where none has that many bytes.
    """
    best, quality = encode(_FIRST), _FIRST
    made = best
    for _ in range(_TRIES - 1):
        step = round(math.log(_ROOM * max(bytes_before, 1) / max(size(made), 1)) / _GROWTH)
        following = min(max(quality + step, _LEAST), _MOST)
        if abs(following - quality) <= 1:
            break
        quality = following
        made = encode(quality)
        large = [one for one in (best, made) if size(one) >= bytes_before]
        best = min(large, key=size) if large else max((best, made), key=size)
    return best
