"""Apply the perturbations of all faces to a photo, so that the written file keeps to the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from photoveil.transforms import spare_memory
from photoveil.transforms.cloak.budget import (
    TOLERANCE,
    displacement_of,
    face_view,
    is_of_coding,
    scale_to_budget,
    visibility_of,
)
from photoveil.transforms.codecs.change import Patch, PhotoChange, draw, moved_planes
from photoveil.transforms.codecs.errors import CodecError
from photoveil.transforms.faces.align import crop_extent, crop_face, face_to_crop, invert, lay_back
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.parameters import WriteParameters
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import CROP_SIZE, Face, Perturbation, ScannedPhoto, Visibility

_ENCODINGS = 3  # tries to keep the written file within the budget; one does nearly always
_FADE = 0.5  # half sides of a crop, over which one perturbation gives way to a neighbour's


@dataclass(frozen=True)
class Composite:
    """A photo encoded with the cloaks of its faces.

    data: the new file. notes: what else was rebuilt or removed.
    clean, written: uint8 (n, S, S, 3) RGB, the aligned faces of the original and of the new file.
    seen: what the new file shows of each face's cloak. over: how many show more than the budget and
        what their coding alone shows.
    """

    data: bytes
    notes: tuple[str, ...]
    clean: np.ndarray
    written: np.ndarray
    seen: tuple[Visibility, ...]
    over: int


def compose(
    data: bytes,
    photo: ScannedPhoto,
    cloaks: Sequence[Perturbation],
    parameters: WriteParameters,
) -> Composite:
    """Encode a photo with the cloaks of its faces, what is drawn scaled to the budget.

    Args:
        data: the original file.
        cloaks: one for each of the photo's faces, in their order; at least one.

    Raises:
        CodecError: the photo cannot be written in its own format.
    """
    budget, limits = parameters.budget, parameters.limits
    rebuild = parameters.metadata.thumbnails == "rebuild"
    faces, pixels = photo.faces, photo.width * photo.height
    original = codec_process.decode(data, pixels, limits).pixels
    patches = [
        face_patch(cloak, face, faces, photo.height, photo.width)
        for cloak, face in zip(cloaks, faces, strict=True)
    ]
    moves = photo_change(patches, [0.0] * len(faces), photo.height, photo.width)
    clean = np.stack([crop_face(original, face_to_crop(face.landmarks)) for face in faces])
    fetched = [_fetched(original, patch) for patch in moves.patches]
    bent = _pasted(original, moves, fetched)
    del original, moves  # a photo of 12 megapixels takes a hundred megabytes here as it is
    bent_faces = [face_view(bent, face) for face in faces]
    scales = [
        scale_to_budget(bent, bent_face, cloak, face, budget)
        for bent_face, cloak, face in zip(bent_faces, cloaks, faces, strict=True)
    ]
    displacements = [displacement_of(cloak) for cloak in cloaks]
    for _ in range(_ENCODINGS):
        change = photo_change(patches, scales, photo.height, photo.width)
        spare_memory.give_heap_back()  # the codec process takes as much meanwhile
        encoded = codec_process.encode(data, change, rebuild, limits)
        # What counts is the file: decode what was encoded, refuse it if it is not the same photo.
        written = codec_process.decode(encoded.data, pixels, limits).pixels
        if written.shape != bent.shape:
            raise CodecError(Reason.OTHER_SIZE)
        written_faces = [face_view(written, face) for face in faces]
        del written
        seen = [
            visibility_of(*views)
            for views in zip(bent_faces, written_faces, displacements, strict=True)
        ]
        spent = [budget.spent(figures) for figures in seen]
        over = [share > 1 + TOLERANCE for share in spent]
        if not any(over):
            break
        # A lossy format codes what was moved anew, and that is no fault of what was drawn.
        intended = _pasted(bent, change, fetched)
        for place in np.flatnonzero(over):
            to_be = face_view(intended, faces[place])
            over[place] = not is_of_coding(spent[place], to_be, written_faces[place], budget)
        if not any(over):
            break
        scales = [
            budget.rescale(scale, figures) if is_over else scale
            for scale, figures, is_over in zip(scales, seen, over, strict=True)
        ]
    crops = np.stack([view.crop for view in written_faces])
    return Composite(encoded.data, encoded.notes, clean, crops, tuple(seen), sum(over))


def face_patch(
    cloak: Perturbation, face: Face, faces: Sequence[Face], height: int, width: int
) -> Patch:
    """Warp the perturbation of a face back onto the photo.

    Where the crops of two faces overlap, a perturbation fades out towards the other face: each face
    keeps its own, and the displacement stays smooth.

    Args:
        faces: all of the photo's that have a perturbation.
        height, width: of the photo, in pixels.
    """
    matrix, extent = _crop_of(face.landmarks)
    top, left, levels = lay_back(cloak.change, matrix, height, width)
    if not cloak.shift.any():
        shift = None
    else:
        parts = [
            lay_back(np.ascontiguousarray(cloak.shift[..., axis]), matrix, height, width)[2]
            for axis in (0, 1)
        ]
        to_photo = np.linalg.inv(matrix[:, :2]).astype(np.float32)
        shift = np.stack(parts, axis=-1) @ to_photo.T
    crops = [_crop_of(other.landmarks) for other in faces if other is not face]
    others = [other for other, reach in crops if _reach(extent, reach)]
    if others:
        y, x = np.mgrid[: levels.shape[0], : levels.shape[1]]
        places = np.stack([x + left + 0.5, y + top + 0.5], axis=-1)
        own = _distance(places, matrix)
    for other in others:
        nearer = (_distance(places, other) - own) / _FADE + 0.5
        ramp = np.clip(nearer, 0, 1).astype(np.float32)
        weight = ramp * ramp * (3 - 2 * ramp)
        levels = levels * weight
        shift = None if shift is None else shift * weight[..., np.newaxis]
    return Patch(top, left, levels, shift)


def photo_change(
    patches: Sequence[Patch], scales: Sequence[float], height: int, width: int
) -> PhotoChange:
    """Merge the perturbations of all faces, patches that overlap into one.

    Args:
        patches: of the faces. scales: of the luminance change of each.
    """
    merged: list[Patch] = []
    for patch, scale in zip(patches, scales, strict=True):
        new = replace(patch, levels=patch.levels * np.float32(scale))
        while (other := next((one for one in merged if _overlap(one, new)), None)) is not None:
            merged.remove(other)
            new = _sum(other, new)
        merged.append(new)
    return PhotoChange(height, width, tuple(patch for patch in merged if patch.levels.size))


def _fetched(original: np.ndarray, patch: Patch) -> list[np.ndarray]:
    """The red, green and blue under a patch, moved and not yet rounded, each float32 (h, w)."""
    return moved_planes([original[..., channel] for channel in range(3)], patch)


def _pasted(
    pixels: np.ndarray, change: PhotoChange, fetched: Sequence[Sequence[np.ndarray]]
) -> np.ndarray:
    """Do as `with_change`, with the values that `_fetched` gave for each of the patches."""
    changed = pixels.copy()
    for patch, colours in zip(change.patches, fetched, strict=True):
        for channel, values in enumerate(colours):
            draw(changed[patch.rows, patch.columns, channel], values, patch.levels)
    return changed


@lru_cache(512)
def _crop_of(
    landmarks: tuple[tuple[float, float], ...],
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """The matrix from the photo to the crop of a face, and the rectangle that the crop reaches."""
    matrix = face_to_crop(landmarks)
    return matrix, crop_extent(invert(matrix))


def _distance(places: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """How far places (x, y) are from the middle of a crop, in half of its sides."""
    half = CROP_SIZE / 2
    found: np.ndarray = np.hypot(
        *np.moveaxis(places @ matrix[:, :2].T + matrix[:, 2] - half, -1, 0)
    )
    return found / half


def _reach(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    """True where two rectangles, (left, top, right, bottom), overlap."""
    return all(one[n] < other[n + 2] and other[n] < one[n + 2] for n in (0, 1))


def _overlap(one: Patch, other: Patch) -> bool:
    (height, width), (high, wide) = one.levels.shape, other.levels.shape
    return (
        one.top < other.top + high
        and other.top < one.top + height
        and one.left < other.left + wide
        and other.left < one.left + width
    )


def _sum(one: Patch, other: Patch) -> Patch:
    top, left = min(one.top, other.top), min(one.left, other.left)
    both = (one, other)
    bottom = max(patch.top + patch.levels.shape[0] for patch in both)
    right = max(patch.left + patch.levels.shape[1] for patch in both)
    levels = np.zeros((bottom - top, right - left), np.float32)
    shift = np.zeros((*levels.shape, 2), np.float32)
    for patch in both:
        height, width = patch.levels.shape
        y, x = patch.top - top, patch.left - left
        levels[y : y + height, x : x + width] += patch.levels
        if patch.shift is not None:
            shift[y : y + height, x : x + width] += patch.shift
    return Patch(top, left, levels, shift if shift.any() else None)
