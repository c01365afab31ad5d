"""The leak scanner: does a picture embedded in a photo's file show a clean face?

`embedded_images` finds the pictures. For a file with cloaked faces, `leaks` asks of each face in
them whether it is closer to the original's face or to the cloaked one, both reduced to its size.
For a file whose own picture stays as it is, `inside` asks whether they show a face that the picture
does not show.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from PIL import Image

from photoveil.transforms.codecs import DecodedPhoto
from photoveil.transforms.codecs.orientation import upright
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.leaks.embedded_images import SMALLEST_SIDE
from photoveil.transforms.leaks.framing import Box, Framed, View
from photoveil.transforms.records import CROP_SIZE, EmbeddedKind, EmbeddedPicture, Face, Leak

_SAME_FRAMING = 0.9  # least correlation of two pictures that show the same
_SAME_FACE = 0.4  # least cosine of two embeddings of one face, at the size of a thumbnail
_NOISE = 0.02  # cosines of one face that differ by less are equal
_LEAST_TOLD = 0.25  # of a picture's variance by the original's, where it shows the same face
_KNOWABLE_SIDE = 40  # pixels of a face, below which it cannot be said that it is somebody else's
_SAME_PLACE = 0.3  # least overlap of a face with the photo's own, by the smaller box
_SAME_PATCH = 0.7  # least correlation of a face with the same place of the photo
_SMALL = 320  # pixels of the long side of a picture in which faces are looked for at all four turns
_LONG_SIDE = 640  # pixels of the long side in which a reduced copy of the photo is looked at

Detect = Callable[[np.ndarray], Sequence[Face]]
"""From uint8 (H, W, 3) RGB to faces."""


def leaks(
    pictures: Sequence[EmbeddedPicture],
    original: DecodedPhoto,
    written: np.ndarray,
    faces: Sequence[Face],
    detect: Detect,
    embed: Callable[[np.ndarray], np.ndarray],
) -> list[Leak]:
    """Find clean faces in the pictures embedded in an output file, and what may hold some.

    Args:
        pictures: what `hidden` finds in the output.
        written: its own pixels, of the same size as the original's.
        original: the source file's pixels.
        faces: found in the original.
        embed: from uint8 (n, 112, 112, 3) aligned crops to (n, d) embeddings of unit length.
    """
    found = [Leak(one.where, one.what) for one in pictures if one.pixels is None]
    reference = _Reference(original.pixels, written, faces, embed)
    for one in pictures:
        if one.pixels is None:
            continue
        turned = {1, original.orientation, one.orientation}
        views = [np.ascontiguousarray(upright(one.pixels, way)) for way in sorted(turned)]
        faces_in = [face for view in views for face in reference.uncloaked(view, detect)]
        if faces_in:
            what, similarity = min(faces_in, key=lambda one: (one[0], -(one[1] or 0)))
            found.append(Leak(one.where, what, similarity))
    return found


def inside(
    pictures: Sequence[EmbeddedPicture],
    photo: DecodedPhoto | None,
    faces: Sequence[Face],
    detect: Detect,
    min_face: float,
) -> list[Leak]:
    """Find what a file that is copied unchanged should not hold: a face that its own picture does
    not show, and what cannot be searched.

    A picture that shows the same as the photo, such as its thumbnail, needs no detection. One that
    differs from it in some place (a face may have been blurred in the photo alone) is searched in a
    reduced form, and any other as a photo is.

    Args:
        pictures: what `hidden` finds in the file.
        photo: the file's own picture; None for a file that is not a picture.
        faces: found in it.
        min_face: least size in pixels of a recognisable face.
    """
    known = [face for face in faces if face.size >= min_face]
    view = View(photo.pixels) if photo is not None and pictures else None
    found = []
    for one in pictures:
        if one.pixels is None:
            found.append(Leak(one.where, one.what))
            continue
        framed = None if view is None else view.framed(one.pixels)
        if view is not None and framed is not None:
            is_leak = _shows_more(framed, view, known, detect, min_face)
        else:
            ways = {1, one.orientation} | (set() if photo is None else {photo.orientation})
            is_leak = _shows_somebody(one.pixels, ways, detect, min_face)
        if is_leak:
            found.append(Leak(one.where, EmbeddedKind.OTHER_FACE))
    return found


def _shows_somebody(
    picture: np.ndarray, ways: Collection[int], detect: Detect, min_face: float
) -> bool:
    """Args: ways: orientations in which it may be meant to be seen."""
    if max(picture.shape) <= _SMALL:
        ways = {*ways, 1, 3, 6, 8}
    views = (np.ascontiguousarray(upright(picture, way)) for way in sorted(ways))
    return any(face.size >= min_face for seen in views for face in detect(seen))


def _shows_more(
    framed: Framed, view: View, known: Sequence[Face], detect: Detect, min_face: float
) -> bool:
    """True if a picture of the photo shows a face that the photo does not. known: the photo's
    faces.
    """
    if framed.equal:
        return False
    picture = framed.pixels
    if not framed.larger:
        image = Image.fromarray(picture)
        image.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)
        picture = np.asarray(image)
    scale = framed.pixels.shape[1] / picture.shape[1]
    for face in detect(picture):
        left, top, right, bottom = face.box
        box = (left * scale, top * scale, right * scale, bottom * scale)
        place = view.place(framed, box)
        if face.size * scale < min_face or any(_overlaps(place, own) for own in known):
            continue
        if framed.larger or view.patch(framed, box) < _SAME_PATCH:
            return True
    return False


class _Reference:
    """The original and the written photo, to compare a hidden picture with."""

    def __init__(
        self,
        original: np.ndarray,
        written: np.ndarray,
        faces: Sequence[Face],
        embed: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self._photos, self._faces, self._embed = (original, written), faces, embed
        matrices = [face_to_crop(face.landmarks) for face in faces]
        self._crops = [[crop_face(p, m) for m in matrices] for p in self._photos]

    def uncloaked(
        self, picture: np.ndarray, detect: Detect
    ) -> list[tuple[EmbeddedKind, float | None]]:
        """(what, similarity) of each face in `picture` that is no cloaked one; see `Leak`."""
        framed = self._framed(picture)
        if framed is not None:
            return self._clean_in_frame(*framed)
        found: list[tuple[EmbeddedKind, float | None]] = []
        for face in detect(picture):
            if face.size < SMALLEST_SIDE:
                continue
            crop = crop_face(picture, face_to_crop(face.landmarks))
            pairs = [
                self._cosines(crop, index, face.size / known.size)
                for index, known in enumerate(self._faces)
            ]
            nearest = max(pairs, key=max, default=(0.0, 0.0))
            if max(nearest) < _SAME_FACE:
                if face.size >= _KNOWABLE_SIDE:
                    found.append((EmbeddedKind.OTHER_FACE, None))
            elif nearest[0] > nearest[1] + _NOISE:
                found.append((EmbeddedKind.CLEAN_FACE, nearest[0]))
        return found

    def _framed(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """The hidden picture, the original and the written photo at one size, as float32; None
        unless it shows the whole photo, be it between black bars."""
        height, width = self._photos[0].shape[:2]
        scale = min(picture.shape[1] / width, picture.shape[0] / height)
        size = (round(width * scale), round(height * scale))
        if abs(width * picture.shape[0] / (height * picture.shape[1]) - 1) <= 0.05:
            size = (picture.shape[1], picture.shape[0])
        left, top = (picture.shape[1] - size[0]) // 2, (picture.shape[0] - size[1]) // 2
        inner = picture[top : top + size[1], left : left + size[0]]
        small = [
            Image.fromarray(p).resize(size, Image.Resampling.LANCZOS, None, 3.0)
            for p in self._photos
        ]
        three = [np.asarray(p, np.float32) for p in (Image.fromarray(inner), *small)]
        grey = [p.mean(axis=2).ravel() for p in three]
        if min(float(p.std()) for p in grey) < 1:
            return None
        correlation = max(float(np.corrcoef(grey[0], other)[0, 1]) for other in grey[1:])
        return (three[0], three[1], three[2]) if correlation >= _SAME_FRAMING else None

    def _clean_in_frame(
        self, picture: np.ndarray, original: np.ndarray, written: np.ndarray
    ) -> list[tuple[EmbeddedKind, float | None]]:
        """As `uncloaked`, with the faces where they are in the photo.

        Whether the change is there is measured on the pixels, see `_share`. At 20 pixels no
        embedding could tell.
        """
        height, width = self._photos[0].shape[:2]
        scale = np.array([picture.shape[1] / width, picture.shape[0] / height])
        found: list[tuple[EmbeddedKind, float | None]] = []
        for index, face in enumerate(self._faces):
            corners = np.asarray(face.box).reshape(2, 2) * scale
            (left, top), (right, bottom) = corners.clip(0).round().astype(int)
            size = face.size * float(scale.mean())
            place = (slice(top, bottom), slice(left, right))
            change = written[place] - original[place]
            if size < SMALLEST_SIDE or not change.any():
                continue
            shows = _share(*(one.mean(axis=2) for one in (picture[place], original[place], change)))
            if shows is not None and shows >= 0.5:
                continue
            matrix = face_to_crop([(x, y) for x, y in face.landmarks * scale])
            crop = crop_face(picture.clip(0, 255).round().astype(np.uint8), matrix)
            near, cloaked = self._cosines(crop, index, float(scale.mean()))
            if shows is not None or (
                size >= _KNOWABLE_SIDE and near >= _SAME_FACE and near > cloaked + _NOISE
            ):
                found.append((EmbeddedKind.CLEAN_FACE, near))
        return found

    def _cosines(self, crop: np.ndarray, index: int, scale: float) -> tuple[float, float]:
        """With the original's and the cloaked face, both as coarse as a picture of `scale`."""
        size = face_size_in_crop(self._faces[index], scale)
        references = [_coarse(crops[index], size) for crops in self._crops]
        one, original, cloaked = self._embed(np.stack([crop, *references]))
        return float(one @ original), float(one @ cloaked)


def _share(picture: np.ndarray, original: np.ndarray, change: np.ndarray) -> float | None:
    """How much of a change a face shows, all in grey: 1 for all of it, 0 for none; None where the
    picture does not show the face at all.

    The picture may be lighter or darker, or an inverse: a gain map has a contrast of its own. So it
    is told as a multiple of the original and one of the change.
    """
    terms = [np.ones(original.size), original.ravel(), change.ravel()]
    matrix = np.stack([one - one.mean() if n else one for n, one in enumerate(terms)], axis=1)
    levels = picture.ravel()
    factors = np.linalg.lstsq(matrix, levels, rcond=None)[0]
    told = (matrix[:, 1] * factors[1]).var() / max(float(levels.var()), 1.0)
    return float(factors[2] / factors[1]) if told >= _LEAST_TOLD else None


def _overlaps(box: Box, face: Face) -> bool:
    (left, top, right, bottom), own = box, face.box
    width, height = min(right, own[2]) - max(left, own[0]), min(bottom, own[3]) - max(top, own[1])
    if min(width, height) <= 0:
        return False
    smaller = min((right - left) * (bottom - top), (own[2] - own[0]) * (own[3] - own[1]))
    return width * height >= _SAME_PLACE * smaller


def face_size_in_crop(face: Face, scale: float) -> int:
    """Return the number of pixels that a photo reduced by `scale` has for the aligned crop of a
    face.
    """
    matrix = face_to_crop(face.landmarks)
    pixels = CROP_SIZE / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return max(8, round(pixels * scale))


def _coarse(crop: np.ndarray, size: int) -> np.ndarray:
    if size >= CROP_SIZE:
        return crop
    small = Image.fromarray(crop).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(small.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BICUBIC))
