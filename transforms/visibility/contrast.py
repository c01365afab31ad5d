"""The contrast that a change adds where a face is smooth, at its worst spot.

People see a thin line on smooth skin first, and means over a face miss it. So the change of
luminance, without what is finer than a line or as broad as a shadow, is compared with the local
contrast of the clean face. Lengths grow with the face, which is measured at its own resolution.

On a large face the filters span hundreds of pixels. There, a cosine transform gives a bound of the
contrast at each pixel, and it is computed only where the bound is highest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft, ndimage

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_SMOOTH = 3.0  # levels; contrast that hides half of a change
_TRUNCATE = 3  # standard deviations that a filter spans to each side

# Standard deviations of the filters, in pixels of an aligned crop.
_FINE, _BROAD, _SPOT, _AROUND = 0.7, 4.0, 1.5, 3.0
_CROP = 112

_LARGE = 3.0  # pixels of the face for one of a crop, from which on a bound costs less
_NEAR = 2.0  # pixels of a crop around a spot, that are looked at together
_MOST_SPOTS = 8  # then the whole face costs no more
_EXACT = 1e-5  # of single precision's filters, a hundred times what they err by
_ROUNDING = 0.05  # of a variance, in levels squared, computed in single precision: likewise


@dataclass(frozen=True, eq=False)
class Ground:
    """The luminance of a clean face, float32 (H, W) in levels."""

    grey: np.ndarray

    @property
    def unit(self) -> float:
        """Pixels of the face for one of an aligned crop."""
        return sum(self.grey.shape) / 2 / _CROP

    @cached_property
    def masking(self) -> np.ndarray:
        """How much less a change is seen than on skin without contrast, float32 (H, W), >= 1."""
        return _masking(self.grey, self.unit)

    @cached_property
    def least_masking(self) -> np.ndarray:
        """A lower bound of `masking`."""
        levels = self.grey.astype(np.float64) - 128
        mean, square = (
            _Cosines(self.grey.shape, self.unit).blurred(one, _AROUND)
            for one in (levels, levels**2)
        )
        variance = (square - mean**2).astype(np.float32) - _ROUNDING
        return (1 - _EXACT) + np.sqrt(np.maximum(variance, 0)) / _SMOOTH


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Compute the luminance of uint8 (H, W, 3) RGB in levels, float32 (H, W)."""
    return pixels.astype(np.float32) @ _LUMA


def drawn_contrast(clean: Ground, changed: np.ndarray) -> float:
    """Compute the contrast that a change of a face adds at its worst spot.

    Args:
        clean: of the face.
        changed: float32 (H, W), the luminance of the changed face.

    Returns:
        Levels, 0 or more: root mean square of the change at the spot, as if it lay on skin without
        any contrast. About 1 shows no line; from 1.6 up lines were seen
        (docs/lab-notebook.md).
    """
    change = changed - clean.grey
    if clean.unit >= _LARGE:
        found = _at_highest_bounds(clean, change)
        if found is not None:
            return found
    return float((_size(change, clean.unit) / clean.masking).max())


def _at_highest_bounds(clean: Ground, change: np.ndarray) -> float | None:
    """Compute the contrast only where it may be highest; None where that is in many places."""
    unit, bound = clean.unit, _bound(clean, change)
    near = round(_NEAR * unit)
    margin = sum(_radius(sigma * unit) for sigma in (_BROAD, _SPOT))
    most = -1.0
    for _ in range(_MOST_SPOTS):
        row, column = divmod(int(bound.argmax()), bound.shape[1])
        if bound[row, column] <= most:
            return most
        inner = tuple(slice(max(0, at - near), at + near) for at in (row, column))
        starts = [max(0, one.start - margin) for one in inner]
        outer = tuple(
            slice(start, one.stop + margin) for start, one in zip(starts, inner, strict=True)
        )
        here = tuple(
            slice(one.start - start, one.stop - start)
            for start, one in zip(starts, inner, strict=True)
        )
        size = _size(change[outer], unit)[here]
        most = max(most, float((size / _masking(clean.grey[outer], unit)[here]).max()))
        bound[inner] = 0
    return None


def _bound(clean: Ground, change: np.ndarray) -> np.ndarray:
    """Compute an upper bound of the contrast at each pixel, float32 (H, W)."""
    cosines = _Cosines(change.shape, clean.unit)
    lines = cosines.blurred(change, _FINE, _BROAD)
    error = _EXACT * float(np.abs(change).max())
    highest = float(np.abs(lines).max()) + error
    square = cosines.blurred(lines**2, _SPOT)
    square += 2 * error * highest + error**2 + _EXACT * highest**2
    return np.sqrt(np.maximum(square, 0)) * (1 + _EXACT) / clean.least_masking


def _size(change: np.ndarray, unit: float) -> np.ndarray:
    lines = _blurred(change, _FINE * unit) - _blurred(change, _BROAD * unit)
    return np.sqrt(_blurred(lines**2, _SPOT * unit))


def _masking(grey: np.ndarray, unit: float) -> np.ndarray:
    mean = _blurred(grey, _AROUND * unit)
    variance = _blurred(grey**2, _AROUND * unit) - mean**2
    return 1 + np.sqrt(np.maximum(variance, 0)) / _SMOOTH


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(image, sigma, truncate=_TRUNCATE)


def _radius(sigma: float) -> int:
    return int(_TRUNCATE * sigma + 0.5)


class _Cosines:
    """Gaussian filters by the cosine transform, for pictures of one size.

    A picture that is mirrored at its border, as `ndimage.gaussian_filter` takes it, is a sum of
    cosines, and a symmetric filter multiplies each by a factor.
    """

    def __init__(self, shape: tuple[int, ...], unit: float) -> None:
        self._shape, self._unit = shape, unit
        # Lengths with small factors. What is added mirrors the picture as far as a filter looks.
        most = _radius(_BROAD * unit)
        self._lengths = [fft.next_fast_len(length + most, real=True) for length in shape]

    def blurred(self, image: np.ndarray, sigma: float, less: float = 0.0) -> np.ndarray:
        """Filter a picture.

        Args:
            image: float32 or float64 (H, W).
            sigma: in pixels of a crop. less: the sigma of a filter to take away from it.
        """
        added = [
            (0, long - length) for long, length in zip(self._lengths, self._shape, strict=True)
        ]
        waves = fft.dctn(np.pad(image, added, "symmetric"), overwrite_x=True)
        down, across = self._responses(sigma)
        if less:
            waves *= np.outer(down, across) - np.outer(*self._responses(less))
        else:
            waves *= down[:, np.newaxis]
            waves *= across
        filtered = fft.idctn(waves, overwrite_x=True)
        return filtered[: self._shape[0], : self._shape[1]]

    def _responses(self, sigma: float) -> list[np.ndarray]:
        return [_response(sigma * self._unit, length) for length in self._lengths]


def _response(sigma: float, length: int) -> np.ndarray:
    """By what a filter multiplies each cosine of a line, float64 (length,)."""
    radius = _radius(sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    around = np.zeros(2 * length)
    around[np.arange(-radius, radius + 1)] = weights / weights.sum()
    return np.fft.rfft(around).real[:length]
