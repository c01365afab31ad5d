"""The anchors of RetinaFace: where its outputs lie in the picture.

Each cell of a feature map has two square anchors, around its centre. The network gives, for each
anchor, the box and the landmarks of a face in sides of the anchor.
"""

from __future__ import annotations

import numpy as np

# Cell and sides of the two anchors in pixels, of each feature map.
_MAPS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
_CENTRE, _SIZE = 0.1, 0.2  # by which the network's outputs are scaled ("variances")


def rows_of(
    chosen: np.ndarray,
    size: tuple[int, int],
    boxes: np.ndarray,
    landmarks: np.ndarray,
    scores: np.ndarray,
) -> np.ndarray:
    """Decode the network's outputs for some anchors.

    Args:
        chosen: int (n,), indices of anchors: by map, by row, by column, the smaller one first.
        size: height and width of the picture in pixels, multiples of 32.
        boxes: float32 (m, 4) of all anchors: centre x and y, logarithms of width and height.
        landmarks: float32 (m, 10) of all anchors: five times x and y.
        scores: float32 (m,) of all anchors.

    Returns:
        float32 (n, 15) rows in pixels of the picture.
    """
    centres, sides = _anchors(chosen, *size)
    middle = centres + _CENTRE * sides * boxes[chosen, :2]
    half = sides * np.exp(_SIZE * boxes[chosen, 2:]) / 2
    marks = np.tile(centres, 5) + _CENTRE * sides * landmarks[chosen]
    parts = [middle - half, middle + half, marks, scores[chosen, np.newaxis]]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _anchors(chosen: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 2) as x, y and sides (n, 1) of anchors in pixels."""
    centres, sides = np.zeros((len(chosen), 2)), np.zeros((len(chosen), 1))
    first = 0
    for cell, both in _MAPS:
        columns = width // cell
        count = columns * (height // cell) * len(both)
        here = (chosen >= first) & (chosen < first + count)
        place, which = np.divmod(chosen[here] - first, len(both))
        centres[here] = (np.stack([place % columns, place // columns], axis=1) + 0.5) * cell
        sides[here, 0] = np.array(both)[which]
        first += count
    return centres, sides
