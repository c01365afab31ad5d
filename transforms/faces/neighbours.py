"""Find the nearest of many embeddings to each of them, exactly, in bounded memory.

The cosines of all pairs are computed in square blocks of float32 matrix products, each block once
for its rows and its columns. Most pairs are of strangers: a cosine is only looked at if it is at
least what was asked for, and more than those of as many neighbours as are kept.
"""

from __future__ import annotations

import itertools

import numpy as np

_NEIGHBOURS = 19  # of an item, beside itself
_BLOCK = 2_048  # items a side: a block of cosines takes 17 MB
_PENDING = 4 * _NEIGHBOURS  # neighbours an item of a block that wait to be compared, on average


def nearest_pairs(unit: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the 19 nearest neighbours of each item, as far as they are near enough.

    Args:
        unit: float32 (n, d), rows of unit length.
        least: cosine that neighbours have more than.

    Returns:
        int64 (m,) items and (m,) a neighbour of each.
    """
    starts = range(0, len(unit), _BLOCK)
    blocks = [unit[start : start + _BLOCK] for start in starts]
    nearest = [_Nearest(len(block), least) for block in blocks]
    for one, other in itertools.combinations_with_replacement(range(len(blocks)), 2):
        cosines = blocks[one] @ blocks[other].T
        if one == other:
            np.fill_diagonal(cosines, -1.0)
            nearest[one].add(cosines, 0, starts[one])
        else:
            nearest[one].add(cosines, 0, starts[other])
            nearest[other].add(cosines, 1, starts[one])
    found = [block.found() for block in nearest]
    items = [np.zeros(0, np.int64)]
    items += [rows + start for (rows, _), start in zip(found, starts, strict=True)]
    return np.concatenate(items), np.concatenate([items[0], *(numbers for _, numbers in found)])


class _Nearest:
    """The nearest neighbours of the items of one block.

    Args:
        count: of items.
        least: cosine that neighbours have more than.
    """

    def __init__(self, count: int, least: float) -> None:
        self._least = np.full(count, least, np.float32)
        self._rows, self._numbers = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._cosines = np.zeros(0, np.float32)
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, cosines: np.ndarray, axis: int, start: int) -> None:
        """Look for neighbours in a block of cosines.

        Args:
            cosines: float32 (a, b).
            axis: along which these items lie; the others have numbers from `start` on.
            start: see there.
        """
        width = cosines.shape[1]
        is_near = cosines > np.expand_dims(self._least, 1 - axis)
        many = _PENDING * len(self._least)
        if is_dense := np.count_nonzero(is_near) > many:  # somebody who is everywhere
            last = max(0, cosines.shape[1 - axis] - _NEIGHBOURS)
            is_near &= cosines >= np.partition(cosines, last, 1 - axis).take([last], 1 - axis)
        places = np.flatnonzero(is_near)
        pair = np.divmod(places, width)
        self._waiting.append((pair[axis], pair[1 - axis] + start, cosines.ravel()[places]))
        if is_dense or sum(len(rows) for rows, _, _ in self._waiting) > many:
            self._compare()

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """Return int64 (m,) rows of the block and (m,) the number of a neighbour of each."""
        self._compare()
        return self._rows, self._numbers

    def _compare(self) -> None:
        """Keep the nearest of those that wait, and from now on look only for nearer ones."""
        kept = (self._rows, self._numbers, self._cosines)
        rows, numbers, cosines = map(np.concatenate, zip(kept, *self._waiting, strict=True))
        order = np.lexsort((numbers, -cosines, rows))
        first = np.searchsorted(rows[order], np.arange(len(self._least)))
        rank = np.arange(len(order)) - first[rows[order]]
        order = order[rank < _NEIGHBOURS]
        self._rows, self._numbers, self._cosines = rows[order], numbers[order], cosines[order]
        full = rank == _NEIGHBOURS - 1
        last = order[full[rank < _NEIGHBOURS]]
        self._least[rows[last]] = cosines[last]
        self._waiting = []
