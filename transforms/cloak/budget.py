"""Scale what is drawn on a face to the visibility budget.

The optimiser works on a crop of 112 pixels. A viewer sees the face in the photo, so the luminance
change is scaled there, at viewing size. The change is then about as visible on each face, whatever
its size, light and skin. The displacement needs no scaling: the optimiser limits it in percent of
the interocular distance, which holds at any size.
"""

from __future__ import annotations

import math

import numpy as np

from photoveil.transforms.codecs.change import draw
from photoveil.transforms.faces.align import (
    INTEROCULAR,
    crop_extent,
    crop_face,
    face_to_crop,
    invert,
    lay_back,
)
from photoveil.transforms.records import Face, Perturbation, Visibility
from photoveil.transforms.visibility.budget import Budget
from photoveil.transforms.visibility.metrics import face_region
from photoveil.transforms.visibility.view import FaceView, contrast, delta_e, dssim, flip

TOLERANCE = 0.05  # share of a budget that compression may add
_USUAL = 0.95  # typical scale; measurements are expensive, so start near it
_FAR = 1.25  # if a measurement moves the scale by more, `rescale` misses the budget by percents
_MEASUREMENTS = 2  # at most, before encoding
_UNMOVED = (0.0, 0.0, 0.0)  # the displacement where it does not count
_HALF = 0.49  # a little less, for rounding


def face_extent(face: Face) -> tuple[int, int, int, int]:
    """Return the rectangle (left, top, right, bottom) that holds the box and the crop of a face."""
    crop = crop_extent(invert(face_to_crop(face.landmarks)))
    left, top = (math.floor(min(face.box[side], crop[side])) for side in (0, 1))
    right, bottom = (math.ceil(max(face.box[side], crop[side])) for side in (2, 3))
    return left, top, right, bottom


def face_view(pixels: np.ndarray, face: Face) -> FaceView:
    """Copy a face out of a photo for the measures.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        face: in pixels of the photo.
    """
    matrix = face_to_crop(face.landmarks)
    return FaceView(face_region(pixels, face.box).copy(), crop_face(pixels, matrix))


def visibility_of(
    bent: FaceView, changed: FaceView, displacement: tuple[float, float, float]
) -> Visibility:
    """Measure how visible a perturbation is on a face.

    Args:
        bent, changed: the face in the original photo with its faces bent, and in the same photo
            with the luminance change drawn on them.
        displacement: of the perturbation, from `displacement_of`.

    Returns:
        What is drawn is all 0 for a face whose box is outside of the photo.
    """
    if bent.region.size == 0:  # the box is outside of the photo
        return Visibility(0.0, 0.0, 0.0, 0.0, *displacement)
    return Visibility(
        flip(bent, changed),
        delta_e(bent, changed),
        dssim(bent, changed),
        contrast(bent, changed),
        *displacement,
    )


def is_of_coding(spent: float, intended: FaceView, written: FaceView, budget: Budget) -> bool:
    """Tell whether what a written face shows above its budget is no more than what coding adds.

    Args:
        spent: of the budget, by the written face.
        intended, written: the face as it was to be, and as it is in the written file.
    """
    if written.region.size == 0:
        return spent <= 1 + TOLERANCE
    # Any one that suffices: the costly ones are seldom needed.
    measures = (
        (dssim, budget.dssim),
        (delta_e, budget.delta_e),
        (flip, budget.flip),
        (contrast, budget.contrast),
    )
    return any(
        spent <= 1 + TOLERANCE + measure(intended, written) / most for measure, most in measures
    )


def displacement_of(cloak: Perturbation) -> tuple[float, float, float]:
    """Measure the displacement of a perturbation.

    Returns:
        The peak and the root mean square of its length over the crop, in percent of the interocular
        distance, and its stretch, the largest singular value of its Jacobian matrix.
    """
    shift = cloak.shift.astype(np.float64)
    percent = 100 / (INTEROCULAR * len(shift) / 112)
    square = (shift**2).sum(axis=-1)
    across, down = np.diff(shift, axis=1)[:-1], np.diff(shift, axis=0)[:, :-1]
    jacobians = np.stack([across, down], axis=-1)
    # The square of a singular value is no more than that of all elements together, and of the
    # larger one no less than half of it: most places need no decomposition.
    size = (jacobians**2).sum(axis=(-2, -1))
    stretch = np.linalg.norm(jacobians[size >= _HALF * size.max()], ord=2, axis=(-2, -1)).max()
    peak, rms = percent * np.sqrt(square.max()), percent * np.sqrt(square.mean())
    return float(peak), float(rms), float(stretch)


def scale_to_budget(
    photo: np.ndarray, bent: FaceView, cloak: Perturbation, face: Face, budget: Budget
) -> float:
    """Find the scale at which the luminance change of a face just keeps to the budget in a photo.

    Args:
        photo: uint8 (H, W, 3) RGB, the original with its faces bent.
        bent: the face in it.
        cloak: the perturbation at scale 1.
        face: in pixels of the photo.
        budget: at viewing size.

    Returns:
        The factor for `cloak.change`, 0.02..1.3.
    """
    pixels, face = _surroundings(photo, face)
    height, width = pixels.shape[:2]
    top, left, patch = lay_back(cloak.change, face_to_crop(face.landmarks), height, width)
    inside = (slice(top, top + patch.shape[0]), slice(left, left + patch.shape[1]))
    # Its crop is cut out of these pixels, as that of what is drawn: a matrix rounds differently.
    if not np.array_equal(crop := crop_face(pixels, face_to_crop(face.landmarks)), bent.crop):
        bent = FaceView(bent.region, crop)
    scale = _USUAL
    for _ in range(_MEASUREMENTS):
        changed = pixels.copy()
        for channel in range(3):
            draw(changed[*inside, channel], pixels[*inside, channel], scale * patch)
        seen = visibility_of(bent, face_view(changed, face), _UNMOVED)
        before, scale = scale, budget.rescale(scale, seen)
        if 1 / _FAR < scale / before < _FAR:
            break
    return scale


def _surroundings(pixels: np.ndarray, face: Face) -> tuple[np.ndarray, Face]:
    """Cut out the part of a photo that holds the box and the crop of a face.

    Returns:
        A view of the pixels, and the face in its coordinates.
    """
    left, top, right, bottom = face_extent(face)
    left, top = max(0, left), max(0, top)
    return pixels[top : max(top, bottom), left : max(left, right)], face.moved(-left, -top)
