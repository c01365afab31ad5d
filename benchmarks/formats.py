"""The promises of the codecs, checked on every photo of some folders.

    python -m benchmarks.formats [--embedded] FOLDER ...

Each photo gets a change of 20 levels in a box of 96 pixels, where a face would be, whose middle is
fetched from 4 pixels aside. The table has a row for each folder and format:

written      could be changed and opened again, in its mode and size
in box       the change is there
outside      outside of the box, rounded to blocks of a JPEG's colours and the one pixel further to
             which decoders interpolate them, no pixel of the picture differs
tags         EXIF (except where pictures are) and colour profile are the same
hidden       pictures embedded in the original, in how many files; none of them is in the output
size         bytes after to bytes before, mean and most
PSNR         dB outside of the box, the least; where there is a difference

With --embedded instead the CPU time of decoding, of finding and checking embedded pictures and of
the detector, over the photos of more than a megapixel without a face.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from rich.console import Console
from rich.table import Table

from photoveil.transforms import codecs
from photoveil.transforms.codecs.orientation import as_stored
from photoveil.transforms.faces.detect import detect_faces, load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.leaks.clean_faces import inside
from photoveil.transforms.leaks.embedded_images import hidden

_MAX_PIXELS = 250_000_000
_LEAST_PIXELS = 1_000_000
_SIDE, _LEVELS, _SHIFT, _BLOCK = 96, 20, 4, 32
# Where a thumbnail or preview lies and how long it is, strips, and the MakerNote, which ExifTool's
# test looks into.
_PICTURE_TAGS = {273, 279, 513, 514, 37500}
_PARTS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)


@dataclass
class Tally:
    """Counts over the files of one folder and format.

    kept: how many files kept a promise, by its name.
    """

    files: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    pictured: int = 0
    ratios: list[float] = field(default_factory=list)
    before: int = 0
    after: int = 0
    psnr: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def try_photo(data: bytes, tally: Tally) -> list[str]:
    """Change one photo and count what holds.

    Returns:
        The promises that do not.

    Raises:
        CodecError: it cannot be opened, or not be written.
    """
    before = codecs.decode(data, _MAX_PIXELS)
    height, width = before.pixels.shape[:2]
    box = (slice(height // 3, height // 3 + _SIDE), slice(width // 3, width // 3 + _SIDE))
    dark = before.pixels[box].mean(axis=2) < 128
    levels = np.where(dark, _LEVELS, -_LEVELS).astype(np.float32)
    ramps = [np.sin(np.pi * np.arange(side) / max(1, side - 1)) ** 2 for side in dark.shape]
    shift = np.outer(*ramps)[..., np.newaxis] * np.array([_SHIFT, _SHIFT])
    patch = codecs.Patch(box[0].start, box[1].start, levels, shift.astype(np.float32))
    change = codecs.PhotoChange(height, width, (patch,))
    coded = codecs.encode(data, change).data
    after = codecs.decode(coded, _MAX_PIXELS)
    difference = as_stored(after.pixels.astype(np.int16) - before.pixels, before.orientation)
    in_box = change.stored(before.orientation).touched
    kept = {
        "written": _form(data) == _form(coded) and after.pixels.shape == before.pixels.shape,
        "in box": bool(np.abs(difference[in_box]).mean() > _LEVELS / 4),
    }
    touched = np.argwhere(in_box)
    low, high = touched.min(axis=0) // _BLOCK * _BLOCK, -(-(touched.max(axis=0) + 1) // _BLOCK)
    first, last = np.maximum(low - 1, 0), high * _BLOCK + 1
    difference[first[0] : last[0], first[1] : last[1]] = 0
    kept["outside"] = not difference.any()
    kept["tags"] = _tags(data) == _tags(coded)
    old, new = _pictures(data), _pictures(coded)
    kept["hidden"] = not old & new
    tally.pictured += bool(old)
    tally.kept.update(name for name, holds in kept.items() if holds)
    tally.before += len(data)
    tally.after += len(coded)
    tally.ratios.append(len(coded) / len(data))
    if not kept["outside"]:
        error = np.mean(np.square(difference.astype(np.float64)))
        tally.psnr.append(float(10 * np.log10(255**2 / error)))
    return [name for name, holds in kept.items() if not holds]


def _form(data: bytes) -> Any:
    if codecs.sniff(data) in ("HEIC", "AVIF"):
        return codecs.sniff(data)  # Pillow cannot open the one, and widens the other
    with Image.open(io.BytesIO(data)) as image:
        return image.format.replace("MPO", "JPEG") if image.format else None, image.size


def _tags(data: bytes) -> Any:
    try:
        with Image.open(io.BytesIO(data)) as image:
            found = image.getexif()
            parts = [dict(found), *(dict(found.get_ifd(part)) for part in _PARTS)]
            icc = image.info.get("icc_profile")
    except Exception as error:  # of broken EXIF: then it is to stay as broken
        return repr(type(error))
    return [repr({t: v for t, v in part.items() if t not in _PICTURE_TAGS}) for part in parts], icc


def _pictures(data: bytes) -> set[bytes]:
    return {
        one.where.encode() if one.pixels is None else one.pixels.tobytes() for one in hidden(data)
    }


def try_folder(folder: Path, console: Console) -> dict[str, Tally]:
    """Check the photos of a folder, and print each failure when it is found.

    Returns:
        The counts by format.
    """
    tallies: dict[str, Tally] = defaultdict(Tally)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        name = codecs.sniff(data)
        if name is None:
            continue
        tally = tallies[name]
        tally.files += 1
        try:
            broken = try_photo(data, tally)
        except codecs.CodecError as error:
            tally.refused[str(error)] += 1
            console.print(f"{path}: {error}", markup=False, soft_wrap=True)
            continue
        if (broken and broken != ["outside"]) or (broken and name not in ("HEIC", "AVIF", "WebP")):
            console.print(f"{path}: {', '.join(broken)}", markup=False, soft_wrap=True)
    return tallies


def report_embedded(folders: Sequence[Path]) -> None:
    """Print the CPU seconds of each part of a scan."""
    parameters = DetectorParameters()
    detect = partial(
        detect_faces,
        detector=load_retinaface(str(assets.fetch("retinaface.pb"))),
        parameters=parameters,
    )
    detect(np.zeros((64, 64, 3), np.uint8))  # not timed: the first call
    spent: Counter[str] = Counter()
    files = 0
    for path in (p for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()):
        data = path.read_bytes()
        marks = [time.process_time()]
        try:
            photo = codecs.decode(data, _MAX_PIXELS)
        except codecs.CodecError:
            continue
        marks.append(time.process_time())
        pictures = hidden(data)
        marks.append(time.process_time())
        faces = detect(photo.pixels)
        marks.append(time.process_time())
        if faces or photo.pixels.shape[0] * photo.pixels.shape[1] <= _LEAST_PIXELS:
            continue
        inside(pictures, photo, faces, detect, parameters.min_face)
        marks.append(time.process_time())
        files += 1
        parts = ("decoding", "finding", "detector", "checking")
        spent.update(dict(zip(parts, np.diff(marks), strict=True)))
    print(f"{files} files without a face, CPU seconds:")
    for part, seconds in spent.items():
        print(f"  {part}: {seconds:.1f} ({seconds / sum(spent.values()):.0%})")


def main() -> None:
    """Check the photos of the given folders, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedded", action="store_true")
    parser.add_argument("folders", nargs="+", type=Path)
    given = parser.parse_args()
    folders = given.folders
    try:
        import pillow_heif
    except ImportError:
        pass  # HEIC is refused, and says so
    else:
        pillow_heif.register_heif_opener()
    if given.embedded:
        report_embedded(folders)
        return
    console = Console()
    promises = ("written", "in box", "outside", "tags", "hidden")
    table = Table("folder", "format", "files", *promises, "size", "MB", "PSNR")
    for folder in folders:
        for name, tally in sorted(try_folder(folder, console).items()):
            size = f"{np.mean(tally.ratios):.3f}, {max(tally.ratios):.3f}" if tally.ratios else "-"
            counts = [str(tally.kept[promise]) for promise in promises]
            counts[-1] += f" ({tally.pictured} had some)"
            table.add_row(
                *(folder.name, name, str(tally.files), *counts, size),
                f"{tally.before / 1e6:.1f} to {tally.after / 1e6:.1f}",
                f"{min(tally.psnr):.1f}" if tally.psnr else "",
            )
    console.print(table)


if __name__ == "__main__":
    main()
