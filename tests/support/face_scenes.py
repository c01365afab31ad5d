"""Pictures with known faces: heads pasted onto a large photo, and rotated photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from photoveil.transforms.records import Face

TURNS = (90, 180, 270, 45)
_GREY = (120, 130, 140)


@dataclass(frozen=True)
class Portrait:
    """A head with what is around it, cut square.

    share: mean side of the face's box over the side of the image.
    """

    image: Image.Image
    share: float


@dataclass(frozen=True)
class Place:
    """Where a head was pasted: a square, in pixels of the scene."""

    left: int
    top: int
    side: int


def cut_portrait(pixels: np.ndarray, face: Face) -> Portrait | None:
    """The head of a face; None where the frame leaves less than a quarter of it around.

    Args:
        pixels: uint8 (H, W, 3) RGB.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = face.box
    x, y = (left + right) / 2, (top + bottom) / 2
    half = min(1.3 * face.size, x, y, width - x, height - y)
    if half < 0.75 * face.size:
        return None
    box = (int(x - half), int(y - half), int(x + half), int(y + half))
    return Portrait(Image.fromarray(pixels).crop(box), face.size / (2 * half))


def scene(
    portraits: Sequence[Portrait], width: int, height: int, face: int, most: int = 120
) -> tuple[np.ndarray, list[Place]]:
    """A photo of a smooth ground with faces of one size spread over all of it.

    Args:
        width, height: size of the photo in pixels.
        face: mean side of each face's box in pixels.
        most: faces at most; each portrait comes again after all the others.

    Returns:
        uint8 (H, W, 3) RGB, the same for the same arguments, and where the faces are.
    """
    random = np.random.default_rng(face)
    grid = random.integers(60, 200, (max(2, height // 400), max(2, width // 400), 3), np.uint8)
    image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    widest = max(round(face / portrait.share) for portrait in portraits)
    columns, rows = width // widest, height // widest
    cells = random.permutation(columns * rows)[:most]
    places = []
    for index, cell in enumerate(cells):
        portrait = portraits[index % len(portraits)]
        side = round(face / portrait.share)
        row, column = divmod(int(cell), columns)
        room = widest - side
        left = column * width // columns + int(random.integers(room + 1))
        top = row * height // rows + int(random.integers(room + 1))
        head = portrait.image.resize((side, side), Image.Resampling.LANCZOS)
        image.paste(head, (left, top))
        places.append(Place(left, top, side))
    return np.asarray(image), places


def found_in(place: Place, faces: Sequence[Face]) -> bool:
    """Whether a face has its centre in the middle half of a pasted head."""
    centre = place.left + place.side / 2, place.top + place.side / 2
    return any(
        abs((face.box[0] + face.box[2]) / 2 - centre[0]) < place.side / 4
        and abs((face.box[1] + face.box[3]) / 2 - centre[1]) < place.side / 4
        for face in faces
    )


def turned(pixels: np.ndarray, degrees: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo turned anticlockwise; other than by quarter turns its corners lie on grey.

    Returns:
        uint8 (H', W', 3), and float64 (2, 3): from pixels of the photo to those of the result.
    """
    image = Image.fromarray(pixels)
    if degrees % 90:
        image = image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=_GREY)
        result = np.asarray(image)
    else:
        result = np.ascontiguousarray(np.rot90(pixels, degrees // 90))
    angle = np.deg2rad(degrees)
    linear = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    before, after = np.array(pixels.shape[1::-1]) / 2, np.array(result.shape[1::-1]) / 2
    return result, np.column_stack([linear, after - linear @ before])


def landmark_errors(
    upright: Sequence[Face], found: Sequence[Face], matrix: np.ndarray
) -> list[float | None]:
    """Mean distance of each upright face's landmarks, moved, to those of the nearest face found.

    Args:
        matrix: float (2, 3), as `turned` gives it.

    Returns:
        One number a face, in distances of its eyes; None where no face is within half of it.
    """
    errors: list[float | None] = []
    for face in upright:
        marks = np.array(face.landmarks) @ matrix[:, :2].T + matrix[:, 2]
        eyes_apart = max(float(np.linalg.norm(marks[1] - marks[0])), 1e-9)
        near = [
            float(np.linalg.norm(others - marks, axis=1).mean() / eyes_apart)
            for one in found
            for others in (np.array(one.landmarks),)
            if np.linalg.norm(others.mean(axis=0) - marks.mean(axis=0)) < face.size / 2
        ]
        errors.append(min(near, default=None))
    return errors
