"""The leak scanner: decide whether pictures embedded in a photo's file show a clean face.

`embedded_images` finds the pictures. For a file with cloaked faces, `leaks` compares each face in
them with the original's face and with the cloaked one, both reduced to its size. For a file that is
copied unchanged, `inside` looks for faces that the photo itself does not show.
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

_SAME_FRAMING = 0.9  # smallest correlation of two pictures that show the same
_SAME_FACE = 0.4  # smallest cosine of two embeddings of one face, at the size of a thumbnail
_NOISE = 0.02  # cosines of one face that differ by less count as equal
_EXPLAINED = 0.25  # smallest share of a picture's variance that the original must explain
_KNOWABLE_SIDE = 40  # pixels; a smaller face cannot be said to be another person's
_SAME_PLACE = 0.3  # smallest overlap with a face of the photo, as a share of the smaller box
_SAME_PATCH = 0.7  # smallest correlation of a face with the same place of the photo
_SMALL = 320  # pixels of the long side; smaller pictures are searched in all four rotations
_LONG_SIDE = 640  # pixels of the long side to which a copy of the photo is reduced for detection

Detect = Callable[[np.ndarray], Sequence[Face]]
"""A function from uint8 (H, W, 3) RGB to faces."""


def leaks(
    pictures: Sequence[EmbeddedPicture],
    original: DecodedPhoto,
    written: np.ndarray,
    faces: Sequence[Face],
    detect: Detect,
    embed: Callable[[np.ndarray], np.ndarray],
) -> list[Leak]:
    """Find clean faces in the pictures embedded in an output file, and what cannot be searched.

    Args:
        pictures: what `embedded_images.hidden` finds in the output.
        original: the source file's pixels.
        written: uint8 (H, W, 3) RGB, the output's own pixels, of the size of the original's.
        faces: those of the original.
        detect: finds the faces of an embedded picture.
        embed: a function from uint8 (n, 112, 112, 3) aligned crops to (n, D) embeddings of unit
            length.

    Returns:
        At most one for each picture.
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
    """Find embedded faces that a file's own picture does not show, and what cannot be searched.

    This is for files that are copied unchanged. A picture that shows the same as the photo, such as
    its thumbnail, needs no detection. One that differs from the photo in some place, such as a face
    that was blurred in the photo alone, is searched at a reduced size. Any other is searched as a
    photo is.

    Args:
        pictures: what `embedded_images.hidden` finds in the file.
        photo: the file's own picture; None for a file that is not a picture.
        faces: those of the photo.
        detect: finds the faces of an embedded picture.
        min_face: smallest size of a recognisable face, in pixels.

    Returns:
        At most one for each picture.
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
    """Return True if a picture shows a recognisable face in one of the EXIF orientations `ways`."""
    if max(picture.shape) <= _SMALL:
        ways = {*ways, 1, 3, 6, 8}
    views = (np.ascontiguousarray(upright(picture, way)) for way in sorted(ways))
    return any(face.size >= min_face for seen in views for face in detect(seen))


def _shows_more(
    framed: Framed, view: View, known: Sequence[Face], detect: Detect, min_face: float
) -> bool:
    """Return True if an embedded picture of the photo shows a face that the photo does not.

    Args:
        framed: the picture.
        view: the photo.
        known: the photo's faces.
        detect: finds the faces of the picture.
        min_face: smallest size of a recognisable face, in pixels of the picture.
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
    """The original and the written photo, to compare an embedded picture with."""

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
        """Find the faces of a picture that are not cloaked; what and similarity as of `Leak`."""
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
        """Bring the embedded picture, the original and the written photo to one size.

        Returns:
            The three as float32 (h, w, 3), without the black bars of the picture; None unless the
            picture shows the whole photo.
        """
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
        """Do as `uncloaked` for a picture of the whole photo, at the places of the photo's faces.

        Whether a face is cloaked is measured on the pixels (`_share`), because embeddings are
        useless for a face of 20 pixels.

        Args:
            picture, original, written: what `_framed` returns.
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
        """Compute the cosines of a crop with the original's and with the cloaked face.

        Args:
            crop: uint8 (112, 112, 3).
            index: of the face.
            scale: by which the picture is smaller than the photo; both faces are reduced by it.
        """
        size = face_size_in_crop(self._faces[index], scale)
        references = [_coarse(crops[index], size) for crops in self._crops]
        one, original, cloaked = self._embed(np.stack([crop, *references]))
        return float(one @ original), float(one @ cloaked)


def _share(picture: np.ndarray, original: np.ndarray, change: np.ndarray) -> float | None:
    """Estimate how much of the cloak's change an embedded picture of a face shows.

    The picture may be lighter, darker or inverted, because a gain map has a contrast of its own. So
    it is fitted by a multiple of the original and one of the change.

    Args:
        picture, original, change: float32 (h, w), grey.

    Returns:
        1 for all of the change, 0 for none; None if the picture does not show the face at all.
    """
    terms = [np.ones(original.size), original.ravel(), change.ravel()]
    matrix = np.stack([one - one.mean() if n else one for n, one in enumerate(terms)], axis=1)
    levels = picture.ravel()
    factors = np.linalg.lstsq(matrix, levels, rcond=None)[0]
    explained = (matrix[:, 1] * factors[1]).var() / max(float(levels.var()), 1.0)
    return float(factors[2] / factors[1]) if explained >= _EXPLAINED else None


def _overlaps(box: Box, face: Face) -> bool:
    (left, top, right, bottom), own = box, face.box
    width, height = min(right, own[2]) - max(left, own[0]), min(bottom, own[3]) - max(top, own[1])
    if min(width, height) <= 0:
        return False
    smaller = min((right - left) * (bottom - top), (own[2] - own[0]) * (own[3] - own[1]))
    return width * height >= _SAME_PLACE * smaller


def face_size_in_crop(face: Face, scale: float) -> int:
    """Compute how many pixels of a photo reduced by `scale` make a side of a face's aligned crop.

    Returns:
        8 or more.
    """
    matrix = face_to_crop(face.landmarks)
    pixels = CROP_SIZE / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return max(8, round(pixels * scale))


def _coarse(crop: np.ndarray, size: int) -> np.ndarray:
    if size >= CROP_SIZE:
        return crop
    small = Image.fromarray(crop).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(small.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BICUBIC))
