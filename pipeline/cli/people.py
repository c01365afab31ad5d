"""`photoveil people`: who is in a library, with a contact sheet to tell who is meant."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from photoveil.pipeline.cli import requested_files
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import Library, LibraryError
from photoveil.pipeline.library.state_folder import PEOPLE_SHEET
from photoveil.pipeline.state import scan_cache
from photoveil.pipeline.state.people import People, Person
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.io import storage
from photoveil.transforms.photo.codec_process import ReadLimits
from photoveil.transforms.photo.read import read_photo
from photoveil.transforms.records import PhotoRef

_SHOWN = 6  # faces of each person
_MOST_SHOWN = 100  # people on the sheet
_LABEL = 90  # pixels


def show_people(library: Library, console: Console, sheet: str | None = None) -> str | None:
    """Print the people of a library and draw their contact sheet.

    Args:
        sheet: where to write it; by default in the private state, for it shows clean faces.

    Returns:
        The sheet; None when nobody is known.

    Raises:
        LibraryError: there is no library, or `sheet` lies in it or is another file.
    """
    if not storage.exists(library.manifest):
        raise LibraryError(f"{library.root} is no library of cloaked photos")
    if sheet is not None:
        if storage.is_within(storage.absolute(sheet), library.root):
            raise LibraryError(f"{sheet} lies in the library, where no clean face may be")
        sheet = requested_files.check(sheet, [library.source], [requested_files.SHEET_MARK])
    people = People(library.state)
    everyone = people.everyone()
    if not everyone:
        console.print("Nobody is known yet: `photoveil scan` finds people, and so does a run.")
        return None
    table = Table("person", "photos", "faces", "first", "last")
    for person in everyone:
        first, last = (f"{day:%Y-%m-%d}" if day else "" for day in (person.first, person.last))
        counts = (f"{len(person.photos):,}", f"{len(person.faces):,}")
        table.add_row(person.name, *counts, first, last)
    console.print(table)
    sheet = sheet or storage.join(library.state, PEOPLE_SHEET)
    out = io.BytesIO()
    draw_sheet(library, people, everyone[:_MOST_SHOWN]).save(
        out, "JPEG", quality=90, comment=requested_files.SHEET_MARK
    )
    storage.write_private(sheet, out.getvalue())
    console.print(f"Faces: {sheet}", highlight=False, markup=False, soft_wrap=True)
    return sheet


def draw_sheet(library: Library, people: People, shown: list[Person]) -> Image.Image:
    """A row of faces for each person, cut from the originals; those that are gone are left out."""
    landmarks = people.landmarks()
    table = manifest.read(library.manifest, ["source", "source_sha256"])
    sources = scan_cache.sources(library.state) | dict(
        zip(table["source_sha256"].to_pylist(), table["source"].to_pylist(), strict=True)
    )
    side = 112
    sheet = Image.new("RGB", (_LABEL + _SHOWN * side, len(shown) * side), "white")
    draw = ImageDraw.Draw(sheet)
    for row, person in enumerate(shown):
        draw.text((8, row * side + side // 2), person.name, fill="black")
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
