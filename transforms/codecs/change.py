"""What a cloak does to the pixels of a photo: displacement fields and luminance changes.

Both are in patches, one for each face. Outside of them nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from photoveil.transforms.codecs import orientation

_ORDER = 3  # of the splines between pixels: grain and sharpness stay to within a few percent
_MARGIN = 12  # pixels; one further away adds less than a millionth of itself to a spline
_BAND = 64  # rows fetched at once: their places take little memory
_RAMP = 4  # times the largest shift: the distance from transparent pixels at which it is not faded


@dataclass(frozen=True, eq=False)
class Patch:
    """The change in a rectangle of a photo: new(p) = old(p + shift(p)) + levels(p).

    top, left: of the rectangle, in pixels of the photo.
    levels: float32 (h, w), of 8 bits.
    shift: float32 (h, w, 2) as (x, y) in pixels; None where nothing moves.
    """

    top: int
    left: int
    levels: np.ndarray
    shift: np.ndarray | None = None

    @property
    def height(self) -> int:
        """Rows of the rectangle."""
        return self.levels.shape[0]

    @property
    def width(self) -> int:
        """Columns of the rectangle."""
        return self.levels.shape[1]

    @property
    def rows(self) -> slice:
        """Rows of the photo."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Columns of the photo."""
        return slice(self.left, self.left + self.width)

    @property
    def moving(self) -> np.ndarray:
        """The pixels that are fetched from elsewhere, bool (h, w)."""
        if self.shift is None:
            return np.zeros(self.levels.shape, bool)
        return (self.shift != 0).any(axis=2)

    @property
    def touched(self) -> np.ndarray:
        """The pixels that change, bool (h, w)."""
        return (self.levels != 0) | self.moving

    @property
    def furthest(self) -> float:
        """The most that a pixel moves in x or y, in pixels."""
        return 0.0 if self.shift is None else float(np.abs(self.shift).max(initial=0))

    def around(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of a photo of this size that the new pixels depend on."""
        margin = math.ceil(self.furthest) + _MARGIN if self.shift is not None else 0
        return (
            slice(max(0, self.top - margin), min(height, self.rows.stop + margin)),
            slice(max(0, self.left - margin), min(width, self.columns.stop + margin)),
        )

    def placed(self, down: int, across: int) -> Patch:
        """Return the same change, moved down and to the right by so many pixels."""
        return replace(self, top=self.top + down, left=self.left + across)

    def part(self, top: int, left: int, height: int, width: int) -> Patch | None:
        """Cut the patch to a rectangle of the photo.

        Returns:
            The part, with its place within the rectangle; None if they have no pixel in common.
        """
        rows = slice(max(0, top - self.top), max(0, top + height - self.top))
        columns = slice(max(0, left - self.left), max(0, left + width - self.left))
        levels = self.levels[rows, columns]
        if not levels.size:
            return None
        shift = None if self.shift is None else self.shift[rows, columns]
        return Patch(max(0, self.top - top), max(0, self.left - left), levels, shift)

    def turned(self, turn: int, height: int, width: int) -> Patch:
        """Turn the change along with a photo.

        Args:
            turn: orientation, 1..8, by which `orientation.upright` turns the photo.
            height, width: of the photo before.
        """
        top, left = self.top, self.left
        levels = orientation.upright(self.levels, turn)
        shift = None if self.shift is None else orientation.upright_vectors(self.shift, turn)
        if orientation.is_transposed(turn):
            top, left, height, width = left, top, width, height
        if orientation.is_mirrored_across(turn):
            left = width - left - levels.shape[1]
        if orientation.is_mirrored_down(turn):
            top = height - top - levels.shape[0]
        return Patch(top, left, levels, shift)

    def resized(self, size: tuple[int, int], down: float, across: float) -> Patch:
        """Resample the change for a smaller picture of the photo.

        Args:
            size: height and width of that picture.
            down, across: pixels of the photo that one of its pixels stands for and is centred on,
                as the chroma samples of JPEG are.
        """
        first = (math.floor(self.top / down), math.floor(self.left / across))
        last = (
            min(size[0], math.ceil(self.rows.stop / down)),
            min(size[1], math.ceil(self.columns.stop / across)),
        )
        y = (np.arange(first[0], last[0]) + 0.5) * down - 0.5 - self.top
        x = (np.arange(first[1], last[1]) + 0.5) * across - 0.5 - self.left
        at = np.stack(np.meshgrid(y, x, indexing="ij"))

        def sampled(values: np.ndarray) -> np.ndarray:
            return ndimage.map_coordinates(values, at, order=1, mode="nearest")

        shift = None
        if self.shift is not None:
            shift = np.stack(
                [sampled(self.shift[..., 0]) / across, sampled(self.shift[..., 1]) / down], axis=2
            )
        return Patch(first[0], first[1], sampled(self.levels), shift)


@dataclass(frozen=True, eq=False)
class PhotoChange:
    """The change of a whole photo.

    height, width: of the photo, upright or as stored, in pixels.
    patches: rectangles inside of the photo of which no two share a pixel.
    """

    height: int
    width: int
    patches: tuple[Patch, ...] = ()

    def __post_init__(self) -> None:
        for one in self.patches:
            first, last = min(one.top, one.left), (one.rows.stop, one.columns.stop)
            if first < 0 or last[0] > self.height or last[1] > self.width:
                raise ValueError(f"a patch at {one.rows}, {one.columns} of {self.shape}")

    @classmethod
    def of_levels(cls, levels: np.ndarray) -> PhotoChange:
        """Make the change that adds levels, float32 (H, W), and moves nothing."""
        height, width = levels.shape
        rows, columns = (np.flatnonzero(levels.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return cls(height, width)
        top, left = int(rows[0]), int(columns[0])
        box = levels[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.float32)
        return cls(height, width, (Patch(top, left, box),))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the photo."""
        return self.height, self.width

    @property
    def touched(self) -> np.ndarray:
        """The pixels that change, bool (H, W)."""
        found = np.zeros(self.shape, bool)
        for one in self.patches:
            found[one.rows, one.columns] |= one.touched
        return found

    @property
    def is_empty(self) -> bool:
        """True where no pixel changes."""
        return not any(one.touched.any() for one in self.patches)

    def stored(self, shown: int) -> PhotoChange:
        """Turn the change of an upright photo to its stored pixels; see `orientation.as_stored`.

        Args:
            shown: the photo's orientation, 1..8.
        """
        turn = orientation.inverse(shown)
        size = self.shape[::-1] if orientation.is_transposed(turn) else self.shape
        return PhotoChange(*size, tuple(one.turned(turn, *self.shape) for one in self.patches))

    def part(self, top: int, left: int, height: int, width: int) -> PhotoChange:
        """Cut the change to a rectangle of the photo, as if that were a photo of its own."""
        found = (one.part(top, left, height, width) for one in self.patches)
        return PhotoChange(height, width, tuple(one for one in found if one is not None))

    def with_levels(self, levels: Callable[[Patch], np.ndarray]) -> PhotoChange:
        """Replace the levels of each patch by what a function returns for it, float32 (h, w)."""
        patches = (replace(one, levels=levels(one)) for one in self.patches)
        return replace(self, patches=tuple(patches))

    def without_levels(self) -> PhotoChange:
        """Return the displacement alone."""
        return self.with_levels(lambda patch: np.zeros_like(patch.levels))

    def resized(self, down: float, across: float) -> PhotoChange:
        """Resample the change for a component of a photo that has fewer samples than pixels.

        Args:
            down, across: pixels of the photo that a sample stands for.
        """
        if down == across == 1:
            return self
        size = (math.ceil(self.height / down), math.ceil(self.width / across))
        patches = (one.resized(size, down, across) for one in self.patches)
        return PhotoChange(*size, tuple(patches))


def moved(plane: np.ndarray, patch: Patch, nearest: np.ndarray | None = None) -> np.ndarray:
    """Fetch the values under a patch from where its shift says; its levels are not added.

    Args:
        plane: (H, W) of a photo's pixels in one channel. Beyond its border it is mirrored.
        patch: in pixels of the plane.
        nearest: int (2, rows, columns), for each pixel of `patch.around`: the row and column in
            there of the one whose value it takes; see `kept_off`.

    Returns:
        float32 (h, w). Where nothing moves the values are exactly those of the plane.
    """
    return moved_planes([plane], patch, nearest)[0]


def moved_planes(
    planes: Sequence[np.ndarray], patch: Patch, nearest: np.ndarray | None = None
) -> list[np.ndarray]:
    """Do as `moved` for several channels of one size; the places are computed once."""
    found = [plane[patch.rows, patch.columns].astype(np.float32) for plane in planes]
    moving = patch.moving
    if patch.shift is None or not planes or not moving.any():
        return found
    rows, columns = patch.around(*planes[0].shape)
    splines = [_spline(plane[rows, columns], nearest) for plane in planes]
    for first in range(0, patch.height, _BAND):
        band = slice(first, first + _BAND)
        y, x = np.nonzero(moving[band])
        y_shift, x_shift = patch.shift[band][y, x, ::-1].T
        at = np.empty((2, len(y)))
        np.add(y + (first + patch.top - rows.start), y_shift, out=at[0])
        np.add(x + (patch.left - columns.start), x_shift, out=at[1])
        for values, spline in zip(found, splines, strict=True):
            values[band][y, x] = ndimage.map_coordinates(
                spline, at, np.float32, _ORDER, mode="mirror", prefilter=False
            )
    return found


def _spline(part: np.ndarray, nearest: np.ndarray | None) -> np.ndarray:
    values = part.astype(np.float32)
    if nearest is not None:
        values = values[tuple(nearest)]
    return ndimage.spline_filter(values, _ORDER, output=np.float32, mode="mirror")


def draw(pixels: np.ndarray, values: np.ndarray, levels: np.ndarray) -> None:
    """Write values and the levels to add to them into pixels, uint8 (h, w), rounded and clipped.

    Args:
        values: float32 or uint8 (h, w).
        levels: float32 (h, w).
    """
    for first in range(0, len(pixels), _BAND):
        band = slice(first, first + _BAND)
        sums = values[band] + levels[band]
        pixels[band] = np.clip(np.rint(sums, out=sums), 0, 255, out=sums)


def kept_off(patch: Patch, hidden: np.ndarray) -> tuple[Patch, np.ndarray | None]:
    """Keep a patch from fetching the colours of fully transparent pixels, which may be arbitrary.

    Towards these pixels the shift fades to 0, and they do not move themselves. If all pixels around
    are transparent, the patch stays as it is, because some programs then show their colours.

    Args:
        patch: in pixels of the photo.
        hidden: bool (H, W), the transparent pixels of the photo.

    Returns:
        The patch, and for `moved` the index of the visible pixel nearest to each; None if each
        pixel is its own.
    """
    rows, columns = patch.around(*hidden.shape)
    part = hidden[rows, columns]
    if patch.shift is None or not part.any() or part.all():
        return patch, None
    distance = ndimage.distance_transform_edt(~part)
    inner = distance[
        patch.top - rows.start : patch.rows.stop - rows.start,
        patch.left - columns.start : patch.columns.stop - columns.start,
    ]
    way = np.clip((inner - 1) / max(_RAMP * patch.furthest, 1), 0, 1)
    weight = (way * way * (3 - 2 * way)).astype(np.float32)
    faded = replace(patch, shift=patch.shift * weight[..., np.newaxis])
    if not faded.moving.any():
        return faded, None
    part = hidden[faded.around(*hidden.shape)]
    return faded, ndimage.distance_transform_edt(part, return_distances=False, return_indices=True)
