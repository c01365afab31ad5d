"""The folder of `photoveil demo`: an archive of public photos, and a picture of what changed."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import piexif
from PIL import Image, ImageDraw

from photoveil.pipeline.library import manifest, state_folder
from photoveil.pipeline.library.identity import FOLDER, LibraryError
from photoveil.pipeline.library.library import Library
from photoveil.transforms.io import assets, storage
from photoveil.transforms.io.system_files import is_junk

_MARK = ".photoveil-demo"  # tells a folder that the demo made, and may empty, from any other
_COMPARE = "2012/portrait.jpg"
_ASSETS = {
    "2009/inauguration.jpg": "obama3.jpg",
    _COMPARE: "obama.jpg",
    "2012/speech.jpg": "obama2.jpg",
    "2014/best of/portrait.jpg": "obama.jpg",
    "2013/joe.jpg": "biden.jpg",
    "2013/astronaut.png": "astronaut.png",
    "2013/coffee.png": "coffee.png",
    "2013/cat.png": "chelsea.png",
}
_ROME, _DAMAGED, _NOTES = "2013/rome.jpg", "2013/damaged.jpg", "2013/notes.txt"
_PLACES = {*_ASSETS, _ROME, _DAMAGED, _NOTES}
_LIBRARY_FILES = re.compile(
    rf"{FOLDER}/(lock|library\.json|manifest/[^/]+\.parquet|runs/[^/]+\.json|(unfinished|moving)/.+)"
)
PHOTOS, CLOAKED, STATE, PICTURE = "photos", "cloaked", "state", "before-after.png"
_COMPARE_SIDE = 480  # pixels of a face in the before/after picture


def build_archive(folder: Path) -> None:
    """Put real photos into dated folders, with what is in a real archive besides.

    That is a duplicate, a GPS position and a thumbnail, photos without people, a damaged file and a
    file that is not a photo.

    Raises:
        transforms.io.assets.AssetError: a photo cannot be fetched.
    """
    for place, asset in _ASSETS.items():
        _put(folder / place, assets.fetch(asset).read_bytes())
    _put(folder / _ROME, _with_gps_and_thumbnail(assets.fetch("obama3.jpg")))
    _put(folder / _DAMAGED, assets.fetch("biden.jpg").read_bytes()[:40_000])
    _put(folder / _NOTES, b"Not a photo.\n")


def empty(folder: Path) -> None:
    """Make the folder, or empty it if an earlier demo made it.

    Raises:
        LibraryError: something in it was not made by a demo; nothing is deleted then.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).is_file():
            raise LibraryError(f"{folder} is not empty and no demo made it; choose another folder")
        foreign = [name for name in _names(folder) if not _is_ours(name)]
        if foreign:
            raise LibraryError(
                f"{folder} holds what no demo made: {foreign[0]}. Nothing was deleted; move that "
                "away or choose another folder"
            )
        for part in (PHOTOS, CLOAKED, STATE):
            storage.remove_folder(str(folder / part))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()


def _names(folder: Path) -> list[str]:
    return [entry.relative for entry in storage.walk(str(folder))]


def _is_ours(name: str) -> bool:
    if is_junk(name):
        return True
    part, _, rest = name.partition("/")
    if part in (PHOTOS, CLOAKED):
        return rest in _PLACES or (part == CLOAKED and _LIBRARY_FILES.fullmatch(rest) is not None)
    return name in (_MARK, PICTURE) or (part == STATE and state_folder.is_own(rest))


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _with_gps_and_thumbnail(path: Path) -> bytes:
    thumbnail = io.BytesIO()
    with Image.open(path) as image:
        image.thumbnail((160, 160))
        image.save(thumbnail, "JPEG")
    tags = {
        "0th": {piexif.ImageIFD.Make: b"Demo", piexif.ImageIFD.Orientation: 1},
        "Exif": {piexif.ExifIFD.DateTimeOriginal: b"2013:05:01 12:00:00"},
        "GPS": {
            piexif.GPSIFD.GPSLatitudeRef: b"N",
            piexif.GPSIFD.GPSLatitude: ((41, 1), (53, 1), (24, 1)),
            piexif.GPSIFD.GPSLongitudeRef: b"E",
            piexif.GPSIFD.GPSLongitude: ((12, 1), (29, 1), (32, 1)),
        },
        "1st": {piexif.ImageIFD.Compression: 6},
        "thumbnail": thumbnail.getvalue(),
    }
    out = io.BytesIO()
    piexif.insert(piexif.dump(tags), path.read_bytes(), out)
    return out.getvalue()


def before_after(library: Library) -> Image.Image:
    """Draw the face of one photo: original, cloaked, and their difference enlarged ten times."""
    row = next(r for r in manifest.read(library.manifest).to_pylist() if r["source"] == _COMPARE)
    box = row["faces"][0]["box"]
    square = _square(box["left"], box["top"], box["right"], box["bottom"])
    before, after = (
        Image.open(Path(root, _COMPARE)).convert("RGB").crop(square).resize((_COMPARE_SIDE,) * 2)
        for root in (library.source, library.root)
    )
    change = np.asarray(after, np.float32) - np.asarray(before, np.float32)
    difference = Image.fromarray(np.clip(128 + 10 * change, 0, 255).astype(np.uint8))
    sheet = Image.new("RGB", (3 * _COMPARE_SIDE, _COMPARE_SIDE + 24), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (name, face) in enumerate(
        (("original", before), ("cloaked", after), ("difference x 10", difference))
    ):
        sheet.paste(face, (index * _COMPARE_SIDE, 24))
        draw.text((index * _COMPARE_SIDE + 8, 6), name, fill="black")
    return sheet


def _square(left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
    side = 1.3 * max(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return round(x - side), round(y - side), round(x + side), round(y + side)
