"""Scale a face's perturbation to the visibility budget.

The optimiser works on a crop of 112 pixels. What counts is the face in the photo at viewing size,
so the perturbation is scaled there. Every face is then changed about as visibly as any other,
whatever its size, light and skin.
"""

from __future__ import annotations

import numpy as np

from photoveil.transforms.faces.align import crop_extent, crop_face, face_to_crop, invert, lay_back
from photoveil.transforms.records import Face, Perturbation, Visibility
from photoveil.transforms.visibility.budget import Budget
from photoveil.transforms.visibility.metrics import (
    at_viewing_size,
    delta_e,
    dssim,
    face_region,
    flip,
)

TOLERANCE = 0.05  # share of a budget that compression may add
_USUAL = 0.95  # typical scale; measurements are expensive, so start near it
_FAR = 1.25  # where a look moves the scale by more, the power laws of `rescale` miss by percents
_LOOKS = 2  # at most, before encoding


def visibility_of(clean: np.ndarray, changed: np.ndarray, face: Face) -> Visibility:
    """Measure the visible difference of a face between two uint8 (H, W, 3) RGB photos of equal
    size.
    """
    regions = [face_region(pixels, face.box) for pixels in (clean, changed)]
    if regions[0].size == 0:  # the box lies beyond the frame
        return Visibility(0.0, 0.0, 0.0)
    pair = [at_viewing_size(region) for region in regions]
    matrix = face_to_crop(face.landmarks)
    crops = (crop_face(pixels, matrix) for pixels in (clean, changed))
    return Visibility(flip(*pair), float(delta_e(*pair).mean()), dssim(*crops))


def scale_to_budget(pixels: np.ndarray, cloak: Perturbation, face: Face, budget: Budget) -> float:
    """Find the scale, 0.02..1.3, at which a perturbation just keeps to the budget in a photo.

    Args:
        pixels: uint8 (H, W, 3) RGB, the clean photo.
    """
    pixels, face = _surroundings(pixels, face)
    height, width = pixels.shape[:2]
    top, left, patch = lay_back(cloak.change, face_to_crop(face.landmarks), height, width)
    inside = (slice(top, top + patch.shape[0]), slice(left, left + patch.shape[1]))
    scale = _USUAL
    for _ in range(_LOOKS):
        changed = pixels.copy()
        levels = np.rint(pixels[inside] + scale * patch[..., np.newaxis])
        changed[inside] = np.clip(levels, 0, 255).astype(np.uint8)
        before, scale = scale, budget.rescale(scale, visibility_of(pixels, changed, face))
        if 1 / _FAR < scale / before < _FAR:
            break
    return scale


def _surroundings(pixels: np.ndarray, face: Face) -> tuple[np.ndarray, Face]:
    """Cut out the part of a photo that holds a face's box and crop, with the face moved
    accordingly.
    """
    extent = crop_extent(invert(face_to_crop(face.landmarks)))
    left, top = (max(0, int(min(face.box[side], extent[side]))) for side in (0, 1))
    right, bottom = (int(np.ceil(max(face.box[side], extent[side]))) for side in (2, 3))
    return pixels[top : max(top, bottom), left : max(left, right)], face.moved(-left, -top)
