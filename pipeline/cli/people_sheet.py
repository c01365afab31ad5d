"""The contact sheet of `photoveil people`: a row of faces for each person."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.state import scan_cache
from photoveil.pipeline.state.people import People, Person
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.photo.read import read_photo
from photoveil.transforms.records import PhotoRef

_SHOWN = 6  # faces of each person
_LABEL = 150  # pixels


def draw_sheet(
    library: Library, people: People, shown: list[Person], names: Mapping[str, str]
) -> Image.Image:
    """Draw a row of faces for each person, cut from those originals that are still there.

    Args:
        library: of the people.
        people: of the library.
        shown: those to draw, in this order.
        names: that the owner gave to people, by id.
    """
    landmarks = people.landmarks()
    table = manifest.read(library.manifest, ["source", "source_sha256"])
    sources = scan_cache.sources(library.state) | dict(
        zip(table["source_sha256"].to_pylist(), table["source"].to_pylist(), strict=True)
    )
    side = 112
    sheet = Image.new("RGB", (_LABEL + _SHOWN * side, len(shown) * side), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for row, person in enumerate(shown):
        text = "\n".join(filter(None, (names.get(person.name), person.name)))
        draw.multiline_text((8, row * side + side // 3), text, "black", font)
        for column, face in enumerate(_spread(person.faces)):
            source = sources.get(face.split()[0])
            crop = None if source is None else _crop(library, source, landmarks[face])
            if crop is not None:
                sheet.paste(Image.fromarray(crop), (_LABEL + column * side, row * side))
    return sheet


def _spread(faces: tuple[str, ...]) -> list[str]:
    chosen = np.linspace(0, len(faces) - 1, min(_SHOWN, len(faces)))
    return [faces[round(index)] for index in chosen]


def _crop(library: Library, source: str, landmarks: np.ndarray) -> np.ndarray | None:
    photo = read_photo(PhotoRef(library.source, source, 0, 0.0), ReadLimits())
    if photo.pixels is None:
        return None
    points = [(float(x), float(y)) for x, y in landmarks]
    return crop_face(photo.pixels, face_to_crop(points))
