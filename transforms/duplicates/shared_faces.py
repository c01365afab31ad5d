"""Share the canonical photo's faces and perturbations with its near duplicates.

So the average of all copies reveals no more than one of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from photoveil.transforms.records import CanonicalPhoto, Face, ScannedPhoto

# Landmarks of one face in two copies lie this near, as a share of the face's size.
_SAME_FACE = 0.2


def canonical(photo: ScannedPhoto) -> CanonicalPhoto:
    """Return a scanned photo as a canonical photo."""
    return CanonicalPhoto(photo.ref.source, photo.width, photo.height, photo.faces, photo.crops)


def with_faces_of(
    photo: ScannedPhoto, like: CanonicalPhoto, distance: int, min_face: float
) -> ScannedPhoto:
    """Return the photo with the canonical photo's faces in place of its own.

    The perturbation is then optimised on the same crop from the same seed, and applied with the
    same landmarks, scaled. The detector's own landmarks differ by a pixel or so from copy to copy,
    enough to shift the fine pattern against itself. Faces that only one of the two shows are
    cloaked too.

    Args:
        distance: of their hashes.
        min_face: least size in pixels of a face worth cloaking.
    """
    scale = np.array([photo.width / like.width, photo.height / like.height])
    faces, crops = [], []
    for face, crop in zip(like.faces, like.crops, strict=True):
        scaled = _scaled(face, scale)
        if scaled.size >= min_face:
            faces.append(scaled)
            crops.append(crop)
    taken = len(faces)
    for face, crop in zip(photo.faces, photo.crops, strict=True):
        if not any(_same(face, other) for other in faces[:taken]):
            faces.append(face)
            crops.append(crop)
    return replace(
        photo,
        faces=tuple(faces),
        crops=np.stack(crops) if crops else photo.crops[:0],
        duplicate_of=like.source,
        distance=distance,
    )


def _scaled(face: Face, scale: np.ndarray) -> Face:
    left, top, right, bottom = (float(v) for v in np.asarray(face.box) * np.tile(scale, 2))
    points = tuple((float(x), float(y)) for x, y in np.asarray(face.landmarks) * scale)
    return Face((left, top, right, bottom), points, face.score)


def _same(one: Face, other: Face) -> bool:
    apart = np.asarray(one.landmarks) - np.asarray(other.landmarks)
    return float(np.linalg.norm(apart, axis=1).mean()) < _SAME_FACE * other.size
