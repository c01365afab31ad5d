"""Scale what is drawn on a face to the visibility budget.

The optimiser works on a crop of 112 pixels. A viewer sees the face in the photo, so the luminance
change is scaled there, at viewing size. The change is then about as visible on each face, whatever
its size, light and skin. The displacement needs no scaling: the optimiser limits it in percent of
the interocular distance, which holds at any size.
"""

from __future__ import annotations

import numpy as np

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
from photoveil.transforms.visibility.metrics import (
    at_viewing_size,
    delta_e,
    drawn_contrast,
    dssim,
    face_region,
    flip,
)

TOLERANCE = 0.05  # share of a budget that compression may add
_USUAL = 0.95  # typical scale; measurements are expensive, so start near it
_FAR = 1.25  # if a measurement moves the scale by more, `rescale` misses the budget by percents
_MEASUREMENTS = 2  # at most, before encoding


def visibility_of(
    bent: np.ndarray, changed: np.ndarray, face: Face, cloak: Perturbation
) -> Visibility:
    """Measure how visible a perturbation is on a face.

    Args:
        bent, changed: uint8 (H, W, 3) RGB of equal size: the original photo with its faces bent,
            and the same photo with the luminance change drawn on them.
        face: in pixels of these photos.
        cloak: the face's perturbation, of which only the displacement is measured directly.

    Returns:
        What is drawn is all 0 for a face whose box is outside of the photo.
    """
    regions = [face_region(pixels, face.box) for pixels in (bent, changed)]
    if regions[0].size == 0:  # the box is outside of the photo
        return Visibility(0.0, 0.0, 0.0, 0.0, *displacement_of(cloak))
    pair = [at_viewing_size(region) for region in regions]
    matrix = face_to_crop(face.landmarks)
    crops = (crop_face(pixels, matrix) for pixels in (bent, changed))
    return Visibility(
        flip(*pair),
        float(delta_e(*pair).mean()),
        dssim(*crops),
        drawn_contrast(*regions),
        *displacement_of(cloak),
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
    stretch = np.linalg.norm(jacobians, ord=2, axis=(-2, -1)).max()
    peak, rms = percent * np.sqrt(square.max()), percent * np.sqrt(square.mean())
    return float(peak), float(rms), float(stretch)


def scale_to_budget(bent: np.ndarray, cloak: Perturbation, face: Face, budget: Budget) -> float:
    """Find the scale at which the luminance change of a face just keeps to the budget in a photo.

    Args:
        bent: uint8 (H, W, 3) RGB, the original photo with its faces bent.
        cloak: the perturbation at scale 1.
        face: in pixels of the photo.
        budget: at viewing size.

    Returns:
        The factor for `cloak.change`, 0.02..1.3.
    """
    bent, face = _surroundings(bent, face)
    height, width = bent.shape[:2]
    top, left, patch = lay_back(cloak.change, face_to_crop(face.landmarks), height, width)
    inside = (slice(top, top + patch.shape[0]), slice(left, left + patch.shape[1]))
    scale = _USUAL
    for _ in range(_MEASUREMENTS):
        changed = bent.copy()
        levels = np.rint(bent[inside] + scale * patch[..., np.newaxis])
        changed[inside] = np.clip(levels, 0, 255).astype(np.uint8)
        before, scale = scale, budget.rescale(scale, visibility_of(bent, changed, face, cloak))
        if 1 / _FAR < scale / before < _FAR:
            break
    return scale


def _surroundings(pixels: np.ndarray, face: Face) -> tuple[np.ndarray, Face]:
    """Cut out the part of a photo that holds the box and the crop of a face.

    Returns:
        A view of the pixels, and the face in its coordinates.
    """
    extent = crop_extent(invert(face_to_crop(face.landmarks)))
    left, top = (max(0, int(min(face.box[side], extent[side]))) for side in (0, 1))
    right, bottom = (int(np.ceil(max(face.box[side], extent[side]))) for side in (2, 3))
    return pixels[top : max(top, bottom), left : max(left, right)], face.moved(-left, -top)
