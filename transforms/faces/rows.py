"""Rows of detections: layout, overlap, and how much their landmarks resemble a face.

A row is 15 numbers: box left, top, right, bottom; five landmarks x, y (eyes, nose, mouth corners,
left to right as seen with the face upright); score 0..1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from photoveil.transforms.faces.align import TEMPLATE, similarity

COLUMNS = 15
SCORE = 14

# A detector maps a uint8 (H, W, 3) RGB image to float32 (n, 15) rows in pixels of that image.
Detector = Callable[[np.ndarray], np.ndarray]


def sides(rows: np.ndarray) -> np.ndarray:
    """Return the mean side of each row's box, (n,)."""
    return (rows[:, 2] - rows[:, 0] + rows[:, 3] - rows[:, 1]) / 2


def mapped(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Transform rows by a similarity.

    A box stays upright: its centre moves, and its sides are those of the nearest quarter turn, so
    that a box does not grow by being rotated.

    Args:
        rows: float (n, 15).
        matrix: float (2, 3) with point' = matrix @ (x, y, 1).
    """
    linear, shift = matrix[:, :2], matrix[:, 2]
    scale = np.sqrt(abs(np.linalg.det(linear)))
    is_across = abs(linear[1, 0]) > abs(linear[0, 0])
    centre = (rows[:, 0:2] + rows[:, 2:4]) / 2 @ linear.T + shift
    half = (rows[:, 2:4] - rows[:, 0:2]) / 2 * scale
    half = half[:, ::-1] if is_across else half
    marks = rows[:, 4:SCORE].reshape(-1, 5, 2) @ linear.T + shift
    parts = [centre - half, centre + half, marks.reshape(-1, 10), rows[:, SCORE:]]
    return np.concatenate(parts, axis=1).astype(np.float32)


def turned_back(rows: np.ndarray, quarter: int, height: int, width: int) -> np.ndarray:
    """Transform rows of a rotated picture to pixels of the picture before the rotation.

    Args:
        rows: float (n, 15).
        quarter: quarter turns anticlockwise.
        height: of the picture before the rotation, in pixels.
        width: likewise.
    """
    back = [
        [[1, 0, 0], [0, 1, 0]],
        [[0, -1, width], [1, 0, 0]],
        [[-1, 0, width], [0, -1, height]],
        [[0, 1, 0], [-1, 0, height]],
    ]
    return mapped(rows, np.array(back[quarter], np.float64))


def non_maximum_suppression(
    rows: np.ndarray, max_overlap: float, rank: np.ndarray | None = None
) -> list[int]:
    """Return the indices of the rows to keep, best first.

    Args:
        rows: float (n, 15).
        max_overlap: a row that overlaps a better one by more than this is dropped. Overlap is
            intersection over union, or over the smaller box: two pyramid levels may see one face as
            a tight and a loose box.
        rank: float (n,), higher is better; by default the score.
    """
    kept: list[int] = []
    for index in np.argsort(-(rows[:, SCORE] if rank is None else rank), kind="stable"):
        if not kept or _overlap(rows[index], rows[kept]).max() <= max_overlap:
            kept.append(int(index))
    return kept


def roll(row: np.ndarray) -> float:
    """Return the angle of the line from the left eye to the right, in radians, clockwise."""
    return float(np.arctan2(row[7] - row[5], row[6] - row[4]))


def distortion(row: np.ndarray) -> float:
    """Measure how far the landmarks are from those of a frontal face at its best fit.

    Returns:
        Root mean square distance in interocular distances of that face: about 0.1 from the front,
        0.2 to 0.4 in profile, 0.5 where eyes and mouth are mistaken for one another.
    """
    landmarks = row[4:SCORE].reshape(5, 2).astype(np.float64)
    if np.ptp(landmarks, axis=0).max() < 1e-3:
        return 1.0  # one point: as far from a face as landmarks can be
    matrix = similarity(landmarks, TEMPLATE)
    apart = landmarks @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE
    eyes_apart = np.linalg.norm(TEMPLATE[1] - TEMPLATE[0])
    return float(np.sqrt((apart**2).sum(axis=1).mean()) / eyes_apart)


def _overlap(row: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the overlap of one row with each of (n, 15) others, (n,)."""
    corner = np.minimum(row[2:4], others[:, 2:4]) - np.maximum(row[0:2], others[:, 0:2])
    inner = np.maximum(corner, 0).prod(axis=1)
    area, areas = np.prod(row[2:4] - row[0:2]), np.prod(others[:, 2:4] - others[:, 0:2], axis=1)
    smaller, larger = np.minimum(area, areas), np.maximum(area, areas)
    # A face held up in a locket lies wholly inside another box yet is a face of its own; only
    # boxes of like size count by the smaller area.
    shared = np.where(smaller > 0.4 * larger, smaller, area + areas - inner)
    return inner / np.maximum(shared, 1e-9)
