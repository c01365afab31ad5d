"""Lay the cloaks of all faces over a photo, so that the written file keeps to the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from photoveil.transforms.cloak.budget import TOLERANCE, scale_to_budget, visibility_of
from photoveil.transforms.codecs.change import PhotoChange
from photoveil.transforms.codecs.errors import CodecError
from photoveil.transforms.faces.align import face_to_crop, lay_back
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.parameters import WriteParameters
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import Face, Perturbation, ScannedPhoto, Visibility

_ENCODINGS = 3  # tries to keep the written file within the budget; one does nearly always


@dataclass(frozen=True)
class Composite:
    """A photo encoded with the cloaks of its faces.

    data: the new file. notes: what else was rebuilt or removed.
    original, written: uint8 (H, W, 3) RGB, upright, decoded from the original and the new file.
    seen: what the new file shows of each face's cloak. over: how many show more than the budget.
    """

    data: bytes
    notes: tuple[str, ...]
    original: np.ndarray
    written: np.ndarray
    seen: tuple[Visibility, ...]
    over: int


def compose(
    data: bytes,
    photo: ScannedPhoto,
    cloaks: Sequence[Perturbation],
    parameters: WriteParameters,
) -> Composite:
    """Encode a photo with the cloaks of its faces, each scaled to the budget.

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
    scales = [
        scale_to_budget(original, cloak, face, budget)
        for cloak, face in zip(cloaks, faces, strict=True)
    ]
    for _ in range(_ENCODINGS):
        change = change_map(cloaks, faces, scales, photo.height, photo.width)
        encoded = codec_process.encode(data, PhotoChange.of_levels(change), rebuild, limits)
        # What counts is the file: decode what was encoded, refuse it if it is not the same photo.
        written = codec_process.decode(encoded.data, pixels, limits).pixels
        if written.shape != original.shape:
            raise CodecError(Reason.OTHER_SIZE)
        seen = [visibility_of(original, written, face) for face in faces]
        over = sum(budget.spent(figures) > 1 + TOLERANCE for figures in seen)
        if not over:
            break
        scales = [
            budget.rescale(scale, figures) if budget.spent(figures) > 1 else scale
            for scale, figures in zip(scales, seen, strict=True)
        ]
    return Composite(encoded.data, encoded.notes, original, written, tuple(seen), over)


def change_map(
    cloaks: Sequence[Perturbation],
    faces: Sequence[Face],
    scales: Sequence[float],
    height: int,
    width: int,
) -> np.ndarray:
    """Merge the cloaks of all faces into one float32 (height, width) luminance change in levels."""
    change = np.zeros((height, width), np.float32)
    for cloak, face, scale in zip(cloaks, faces, scales, strict=True):
        matrix = face_to_crop(face.landmarks)
        top, left, patch = lay_back(cloak.change * np.float32(scale), matrix, height, width)
        region = change[top : top + patch.shape[0], left : left + patch.shape[1]]
        # Where crops of neighbours overlap the stronger change counts, not the sum: each face's
        # own limit holds.
        stronger = np.abs(patch) > np.abs(region)
        region[stronger] = patch[stronger]
    return change
