"""Generate a photo archive of any size from the pinned demo photos, the same from the same seed.

    python -m tests.support.make_archive FOLDER --photos 1000 [--seed 0] [--side 640]

The photos differ in crop, tilt, light, size and EXIF, so that no two are duplicates unless meant
to be. `FOLDER.csv`, beside the folder, says what each file is: file, kind, of.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import piexif
from PIL import Image, ImageEnhance

from photoveil.transforms.io import assets

_FACES = ("obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg", "astronaut.png")
_NO_FACE = ("rocket.jpg", "coffee.png", "chelsea.png")
_FIRST_DAY = dt.datetime(2009, 1, 1, 8, 0, tzinfo=dt.UTC)

# Share of each kind of file, of all photos.
SHARES = {
    "photo": 0.71,
    "no_face": 0.08,
    "exact": 0.07,
    "resized": 0.03,
    "recompressed": 0.03,
    "retagged": 0.02,
    "sidecar": 0.02,
    "video": 0.02,
    "corrupt": 0.02,
}


@dataclass(frozen=True)
class Made:
    """A file of the archive. kind: a key of `SHARES`. of: for a duplicate or sidecar, its photo."""

    file: str
    kind: str
    of: str = ""


@dataclass(frozen=True)
class _Original:
    made: Made
    pixels: Image.Image
    day: dt.datetime
    data: bytes


def make_archive(folder: Path, photos: int, seed: int = 0, side: int = 640) -> list[Made]:
    """Write an archive and say what is in it.

    Args:
        folder: new or empty. photos: how many files. side: long side in pixels of most photos.

    Raises:
        FileExistsError: the folder holds something.
        transforms.io.assets.AssetError: the demo photos cannot be had.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; choose another folder")
    made = []
    for item, data, day in _files(photos, np.random.default_rng(seed), side):
        path = folder / item.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (day.timestamp(),) * 2)
        made.append(item)
    return made


def _files(
    count: int, rng: np.random.Generator, side: int
) -> Iterator[tuple[Made, bytes, dt.datetime]]:
    originals: list[_Original] = []
    kinds = rng.choice(list(SHARES), size=count, p=list(SHARES.values()))
    for number, kind in enumerate(kinds):
        day = _FIRST_DAY + dt.timedelta(hours=7 * number, minutes=int(rng.integers(60)))
        name = f"{day:%Y/%m}/IMG_{day:%Y%m%d_%H%M}_{number:05}"
        if kind in ("photo", "no_face") or not originals:
            kind = "photo" if kind not in ("photo", "no_face") else kind
            pixels = _picture(_FACES if kind == "photo" else _NO_FACE, rng, side)
            data = _jpeg(pixels, int(rng.integers(80, 96)), _exif(day, rng))
            original = _Original(Made(f"{name}.jpg", str(kind)), pixels, day, data)
            originals = [*originals[-40:], original]  # a copy is made of a recent photo
            yield original.made, data, day
            continue
        of = originals[int(rng.integers(len(originals)))]
        yield _derived(str(kind), name, of, day, rng)


def _derived(
    kind: str, name: str, of: _Original, day: dt.datetime, rng: np.random.Generator
) -> tuple[Made, bytes, dt.datetime]:
    photo = of.made.file
    if kind == "exact":
        return Made(f"sorted/{name}_copy.jpg", kind, photo), of.data, of.day
    if kind == "resized":
        share = float(rng.uniform(0.5, 0.9))
        size = (max(1, round(of.pixels.width * share)), max(1, round(of.pixels.height * share)))
        data = _jpeg(of.pixels.resize(size, Image.Resampling.LANCZOS), 88, _exif(of.day, rng))
        return Made(f"shared/{name}_small.jpg", kind, photo), data, day
    if kind == "recompressed":
        data = _jpeg(of.pixels, int(rng.integers(50, 76)), _exif(of.day, rng))
        return Made(f"shared/{name}_web.jpg", kind, photo), data, day
    if kind == "retagged":
        out = io.BytesIO()
        piexif.insert(_exif(day, rng), of.data, out)
        return Made(f"edited/{name}_tagged.jpg", kind, photo), out.getvalue(), day
    if kind == "sidecar":
        text = json.dumps({"title": Path(photo).name, "people": [{"name": "Somebody"}]})
        return Made(f"{photo}.{name[-5:]}.json", kind, photo), text.encode(), day
    if kind == "video":
        return Made(f"{name}.mp4", kind), b"\0\0\0\x18ftypmp42" + rng.bytes(20_000), day
    wrecks = (of.data[: len(of.data) // 3] + rng.bytes(3), b"", b"no picture " + rng.bytes(30))
    return Made(f"{name}_bad.jpg", kind), wrecks[int(rng.integers(len(wrecks)))], day


def _picture(names: tuple[str, ...], rng: np.random.Generator, side: int) -> Image.Image:
    """A view of one of the base photos that no other call will give again."""
    image = _base(names[int(rng.integers(len(names)))], 2 * side)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(float(rng.uniform(-12, 12)), Image.Resampling.BICUBIC, fillcolor="grey")
    # The heads of all portraits lie in the upper half: cut more from below than from above.
    width, height = image.size
    left, right = rng.uniform(0, 0.2, 2) * width
    top, bottom = rng.uniform(0, 0.08) * height, rng.uniform(0, 0.4) * height
    image = image.crop((int(left), int(top), int(width - right), int(height - bottom)))
    image = ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.8, 1.2)))
    image = ImageEnhance.Color(image).enhance(float(rng.uniform(0.6, 1.3)))
    scale = side * float(rng.uniform(0.8, 1.2)) / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


@cache
def _base(name: str, side: int) -> Image.Image:
    with Image.open(assets.fetch(name)) as file:
        image = file.convert("RGB")
    image.thumbnail((side, side))  # as large as any copy needs
    return image


def _jpeg(image: Image.Image, quality: int, exif: bytes) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, exif=exif)
    return out.getvalue()


def _exif(day: dt.datetime, rng: np.random.Generator) -> bytes:
    degrees, minutes = int(rng.integers(35, 60)), int(rng.integers(60))
    return piexif.dump(
        {
            "0th": {
                piexif.ImageIFD.Make: b"Generated",
                piexif.ImageIFD.Model: f"Camera {int(rng.integers(5))}".encode(),
                piexif.ImageIFD.Orientation: 1,
            },
            "Exif": {
                piexif.ExifIFD.DateTimeOriginal: f"{day:%Y:%m:%d %H:%M:%S}".encode(),
                piexif.ExifIFD.ImageUniqueID: rng.bytes(16).hex().encode(),
            },
            "GPS": {
                piexif.GPSIFD.GPSLatitudeRef: b"N",
                piexif.GPSIFD.GPSLatitude: ((degrees, 1), (minutes, 1), (0, 1)),
            },
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=640, help="long side in pixels")
    arguments = parser.parse_args()
    made = make_archive(arguments.folder, arguments.photos, arguments.seed, arguments.side)
    with open(f"{arguments.folder}.csv", "w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("file", "kind", "of"))
        table.writerows((item.file, item.kind, item.of) for item in made)
    print(f"{len(made):,} files in {arguments.folder}")


if __name__ == "__main__":
    main()
