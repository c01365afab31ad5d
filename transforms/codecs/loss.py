"""Measure how much a lossy encoder removed from a picture, and what is allowed."""

from __future__ import annotations

import numpy as np

from photoveil.transforms.codecs.errors import CodecError
from photoveil.transforms.reasons import Reason

WORTH_A_NOTE = 1.5
"""Times as many bytes as before, from which on a row of the manifest says that there are more."""

GREW = "encoded in more bytes than before, to lose less"
LOST = "encoded anew, with a loss that may be seen"

# Root mean square errors, in levels of 8 bits: 42 dB of the whole picture, of which nothing is
# seen; 36 dB of the worst hundredth of its blocks, so that even ground cannot make up for a face
# or a text that is lost. The cloak itself is held to what the whole picture is.
_WHOLE, _BLOCKS, _CHANGED = 2.0, 4.0, 2.0
_BLOCK = 16
_WORST = 99  # percentile
_ROWS = 32 * _BLOCK  # looked at in one go: the whole of a large photo would take gigabytes


def error(wanted: np.ndarray, found: np.ndarray, changed: np.ndarray, depth: int) -> float:
    """Compute by how much a picture differs from the wanted one, as a multiple of what is allowed.

    Args:
        wanted, found: unsigned (H, W) or (H, W, channels), 0 to 2**depth - 1. The last of two or
            four channels is alpha; pixels where it is 0 do not count.
        changed: bool (H, W), True under the cloak.
        depth: bits of a channel.

    Raises:
        CodecError: they differ in size.
    """
    if wanted.shape[:2] != found.shape[:2]:
        raise CodecError(Reason.OTHER_SIZE)
    level = 255 / ((1 << depth) - 1)
    means, total, cloak = [], np.zeros(2), np.zeros(2)
    for top in range(0, len(wanted), _ROWS):
        rows = slice(top, top + _ROWS)
        squares, seen = _squares(wanted[rows], found[rows])
        squares *= level**2
        total += squares.sum(), seen.sum()
        inside = changed[rows] & seen
        cloak += squares[inside].sum(), inside.sum()
        means.append(_by_block(squares) / np.maximum(_by_block(seen), 1))
    blocks = np.concatenate([part.ravel() for part in means])
    parts = (
        np.sqrt(total[0] / max(total[1], 1)) / _WHOLE,
        np.sqrt(np.percentile(blocks, _WORST)) / _BLOCKS,
        np.sqrt(cloak[0] / max(cloak[1], 1)) / _CHANGED,
    )
    return float(max(parts))


def _squares(wanted: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute squared differences.

    Returns:
        float32 (h, w), the mean over the colours; and bool (h, w), True where anything is visible.
    """
    wanted, found = np.atleast_3d(wanted), np.atleast_3d(found)
    colours = wanted.shape[2] - (wanted.shape[2] in (2, 4))
    shared = min(colours, found.shape[2])  # an encoder may leave out alpha that hides nothing
    seen = wanted[..., -1] > 0 if colours < wanted.shape[2] else np.ones(wanted.shape[:2], bool)
    difference = wanted[..., :shared].astype(np.float32) - found[..., :shared]
    return (difference**2).mean(axis=2) * seen, seen


def _by_block(values: np.ndarray) -> np.ndarray:
    """Sum over blocks; those at the edges may be smaller."""
    height, width = values.shape
    sums = np.add.reduceat(values.astype(np.float32), range(0, height, _BLOCK), axis=0)
    return np.add.reduceat(sums, range(0, width, _BLOCK), axis=1)
