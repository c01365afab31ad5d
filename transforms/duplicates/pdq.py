"""PDQ, the perceptual hash of Facebook (2019), of a picture of 256 x 256 pixels.

Hashes are kept in manifests and compared by the bit for years. So each sum is taken in the order of
the authors' C++ code (ThreatExchange, `pdq/cpp`), in float32 and without BLAS: a picture has the
same hash on every machine, and the one that their code gives.

"The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" describes it.
"""

from __future__ import annotations

import numpy as np

SIDE = 256
"""Pixels a side of the picture."""
_GRID = 64
_LUMA = (0.299, 0.587, 0.114)
_FREQUENCIES = np.arange(1, 17)[:, None]  # of the DCT, without its mean
_DCT = (
    np.float32(np.sqrt(2 / _GRID))
    * np.cos(np.pi / (2 * _GRID) * _FREQUENCIES * (2 * np.arange(_GRID) + 1))
).astype(np.float32)


def pdq_of(picture: np.ndarray) -> tuple[bytes, int]:
    """Hash a picture, uint8 (256, 256, 3) RGB.

    Returns:
        The hash, 32 bytes, and how much detail the picture has, 0..100.
    """
    red, green, blue = (picture[..., channel] * weight for channel, weight in enumerate(_LUMA))
    blurred = (red + green + blue).astype(np.float32)
    for _ in range(2):
        blurred = _mean_of_two(_mean_of_two(blurred).T).T
    centres = slice(SIDE // _GRID // 2, None, SIDE // _GRID)
    grid = blurred[centres, centres]
    columns = _sum_in_order(_DCT[:, :, None] * grid[None], axis=1)
    coefficients = _sum_in_order(columns[:, None] * _DCT[None], axis=2).ravel()
    lower_median = np.partition(coefficients, 127)[127]
    return np.packbits(coefficients[::-1] > lower_median).tobytes(), _detail(grid)


def _mean_of_two(rows: np.ndarray) -> np.ndarray:
    """Average each pixel with the one after it in its row, float32 (n, 256); the last is alone."""
    # A running sum, to which each pixel is added and from which it is then taken away.
    steps = np.zeros((len(rows), 2 * SIDE), np.float32)
    steps[:, 0:-2:2] = rows[:, 1:]
    steps[:, 1] = rows[:, 0]
    steps[:, 3::2] = -rows[:, :-1]
    means = np.cumsum(steps, axis=1)[:, 1::2]
    means[:, :-1] /= 2
    return means


def _sum_in_order(products: np.ndarray, axis: int) -> np.ndarray:
    sums: np.ndarray = np.cumsum(products, axis=axis, dtype=np.float32)
    return np.moveaxis(sums, axis, 0)[-1]


def _detail(grid: np.ndarray) -> int:
    steps = [np.diff(grid, axis=axis) * np.float32(100) / np.float32(255) for axis in (0, 1)]
    total = sum(int(np.abs(np.trunc(step)).sum()) for step in steps)
    return min(100, total // 90)
