"""Alignment: cut a face out upright at a fixed size, and warp a change back onto the photo.

The template is the five-point layout that ArcFace (Deng et al., CVPR 2019, arXiv:1801.07698) and
most recognisers since are trained on: 112 x 112 pixels, found by the least-squares similarity of
Umeyama (1991, IEEE TPAMI 13(4)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from photoveil.transforms.records import CROP_SIZE

# Left eye, right eye, nose tip, left and right mouth corner, as (x, y) in a 112 px crop.
TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)

INTEROCULAR = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
"""Distance of the eyes in the crop, pixels."""


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Fit the least-squares similarity from source to target: rotation, scale, shift; no mirror.

    Args:
        source: float (n, 2) points, n >= 2.
        target: float (n, 2) points.

    Returns:
        float64 (2, 3) matrix M with target ~= M @ (x, y, 1).

    Raises:
        ValueError: all source points coincide, so no scale is defined.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    source_centred, target_centred = source - source_mean, target - target_mean
    variance = (source_centred**2).sum() / len(source)
    if variance < 1e-9:
        raise ValueError("landmarks fall on one point")
    u, spread, vt = np.linalg.svd(target_centred.T @ source_centred / len(source))
    mirror = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(mirror) @ vt
    scale = (spread * mirror).sum() / variance
    linear = scale * rotation
    return np.column_stack([linear, target_mean - linear @ source_mean])


def face_to_crop(landmarks: Sequence[tuple[float, float]]) -> np.ndarray:
    """Return the float64 (2, 3) matrix from photo pixels to crop pixels for five landmarks."""
    return similarity(np.asarray(landmarks, dtype=np.float64), TEMPLATE)


def invert(matrix: np.ndarray) -> np.ndarray:
    """Invert a (2, 3) affine matrix."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def crop_face(pixels: np.ndarray, matrix: np.ndarray, size: int = CROP_SIZE) -> np.ndarray:
    """Cut the aligned face, uint8 (size, size, 3), out of uint8 (H, W, 3) RGB.

    Outside the frame the crop is black. A large face is first reduced over its area, as the
    recognisers' own pipelines do, so that fine texture does not alias.
    """
    to_photo = invert(matrix)
    left, top, right, bottom = crop_extent(to_photo, size)
    height, width = pixels.shape[:2]
    left, top = max(0, left), max(0, top)
    right, bottom = min(width, right), min(height, bottom)
    if right <= left or bottom <= top:
        return np.zeros((size, size, 3), np.uint8)
    region = Image.fromarray(pixels[top:bottom, left:right])
    step = np.sqrt(abs(np.linalg.det(to_photo[:, :2])))  # photo pixels per crop pixel
    factor = max(1, int(step))
    reduced = region.reduce(factor) if factor > 1 else region
    # Pillow maps output pixel centres to input coordinates: exactly `to_photo`, moved into the
    # region and scaled down with it.
    shifted = to_photo - np.array([[0, 0, left], [0, 0, top]])
    cropped = reduced.transform(
        (size, size),
        Image.Transform.AFFINE,
        tuple((shifted / factor).ravel()),
        Image.Resampling.BICUBIC,
    )
    return np.asarray(cropped)


def feather(size: int = CROP_SIZE, border: float = 0.12) -> np.ndarray:
    """Return a float32 (size, size) mask: 1 inside, a raised cosine down to 0 at the crop's edge.

    Args:
        size: crop side in pixels.
        border: share of the side over which it falls, 0..0.5.
    """
    centres = (np.arange(size) + 0.5) / size
    depth = np.minimum(centres, 1 - centres) / border
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.clip(depth, 0, 1))
    return np.outer(ramp, ramp).astype(np.float32)


def lay_back(
    change: np.ndarray, matrix: np.ndarray, height: int, width: int
) -> tuple[int, int, np.ndarray]:
    """Warp a change made in the crop back to the photo's own resolution.

    Args:
        change: float32 (S, S), 0 at the edge (see `feather`).
        matrix: the (2, 3) photo-to-crop matrix that the crop was cut with.
        height: of the photo in pixels.
        width: likewise.

    Returns:
        top, left, and float32 (h, w): the patch to add to photo[top:top + h, left:left + w].
    """
    size = change.shape[0]
    left, top, right, bottom = crop_extent(invert(matrix), size)
    left, top = max(0, left), max(0, top)
    right, bottom = min(width, right), min(height, bottom)
    if right <= left or bottom <= top:
        return 0, 0, np.zeros((0, 0), np.float32)
    shrink = np.sqrt(abs(np.linalg.det(matrix[:, :2])))  # crop pixels per photo pixel
    image = Image.fromarray(change)
    if shrink > 1:  # a face smaller than the crop: average, or the change would alias
        reduced = max(2, round(size / shrink))
        image = image.resize((reduced, reduced), Image.Resampling.BOX)
        matrix = matrix * (reduced / size)
    shifted = np.column_stack([matrix[:, :2], matrix @ np.array([left, top, 1.0])])
    patch = image.transform(
        (right - left, bottom - top),
        Image.Transform.AFFINE,
        tuple(shifted.ravel()),
        Image.Resampling.BICUBIC,
    )
    # Bicubic interpolation overshoots; the change's own limit holds in the photo too.
    return top, left, np.clip(np.asarray(patch), change.min(), change.max())


def crop_extent(to_photo: np.ndarray, size: int = CROP_SIZE) -> tuple[int, int, int, int]:
    """Return the rectangle (left, top, right, bottom) of the photo for a crop, with a margin."""
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]], dtype=np.float64)
    points = corners @ to_photo.T
    room = 2
    left, top = np.floor(points.min(axis=0)).astype(int) - room
    right, bottom = np.ceil(points.max(axis=0)).astype(int) + room
    return int(left), int(top), int(right), int(bottom)
