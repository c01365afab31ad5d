"""What each part of a run costs alone, in CPU seconds a photo: the least that a run can cost.

    python -m benchmarks.floor [--archives phone groups landscapes] [--photos 3]

The archives are those of `benchmarks.run`. A part is done in this process, or as in a run by the
codec process, whose time counts. One pass is of the photo's faces, forward, through the surrogate
MobileFaceNet.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.run import ARCHIVES
from photoveil.transforms import codecs
from photoveil.transforms.duplicates.perceptual_hash import pdq
from photoveil.transforms.embedding.handler import load_embedder
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.faces.detect import detect_faces
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.leaks.embedded_images import hidden
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.find_faces import FaceDetectorHandler
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.records import Face
from tests.support.processes import descendants, processor_seconds

_MAX_PIXELS = 250_000_000
_LIMITS = ReadLimits()
T = TypeVar("T")
R = TypeVar("R")


def main() -> None:
    """Measure the parts on each archive, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--archives", nargs="+", choices=list(ARCHIVES), default=list(ARCHIVES))
    parser.add_argument("--photos", type=int, default=3)
    given = parser.parse_args()
    measured = {}
    for archive in given.archives:
        with tempfile.TemporaryDirectory() as folder:
            ARCHIVES[archive](Path(folder), given.photos)
            files = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
        measured[archive] = measure(files)
    table = Table("CPU seconds a photo", *measured)
    for part in next(iter(measured.values())):
        table.add_row(part, *(f"{figures[part]:.3f}" for figures in measured.values()))
    Console().print(table)


def measure(files: Sequence[bytes]) -> dict[str, float]:
    """Measure the CPU seconds a photo of each part, by its name."""
    parameters = DetectorParameters()
    detector, embed = FaceDetectorHandler(parameters).load_model(), load_embedder()

    def detect(pixels: np.ndarray) -> list[Face]:
        return detect_faces(pixels, detector, parameters)

    def one_pass(crops: np.ndarray) -> np.ndarray | None:
        return embed(crops) if len(crops) else None

    def encode(item: tuple[bytes, codecs.PhotoChange]) -> codecs.EncodedPhoto:
        return codecs.encode(*item, True)

    def encode_apart(item: tuple[bytes, codecs.PhotoChange]) -> codecs.EncodedPhoto:
        return codec_process.encode(*item, True, _LIMITS)

    # Not counted: what the first call of each loads and compiles.
    codec_process.decode(files[0], _MAX_PIXELS, _LIMITS)
    detect(np.zeros((64, 64, 3), np.uint8))
    embed(np.zeros((1, 112, 112, 3), np.uint8))
    found: dict[str, float] = {}
    _timed(found, "decode, by Pillow", _by_pillow, files)
    _timed(found, "decode", lambda data: codecs.decode(data, _MAX_PIXELS), files)
    photos = _timed(
        found,
        "decode, in the codec process",
        lambda data: codec_process.decode(data, _MAX_PIXELS, _LIMITS).pixels,
        files,
    )
    _timed(found, "look for embedded pictures", hidden, files)
    _timed(found, "perceptual hash", pdq, photos)
    faces = _timed(found, "find faces", detect, photos)
    crops = [
        np.stack([crop_face(pixels, face_to_crop(one.landmarks)) for one in theirs])
        if theirs
        else _NO_CROPS
        for pixels, theirs in zip(photos, faces, strict=True)
    ]
    _timed(found, "one pass", one_pass, crops)
    changes = list(zip(files, map(_change, photos, faces), strict=True))
    _timed(found, "encode", encode, changes)
    _timed(found, "encode, in the codec process", encode_apart, changes)
    return found


_NO_CROPS = np.zeros((0, 112, 112, 3), np.uint8)


def _timed(
    found: dict[str, float], name: str, work: Callable[[T], R], items: Sequence[T]
) -> list[R]:
    before = _processor_seconds()
    done = [work(item) for item in items]
    found[name] = (_processor_seconds() - before) / len(items)
    return done


def _processor_seconds() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = sum(processor_seconds(one) for one in descendants(os.getpid()))
    return own.ru_utime + own.ru_stime + children


def _by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _change(pixels: np.ndarray, faces: Sequence[Face]) -> codecs.PhotoChange:
    """Make a change of three levels within the box of each face."""
    change = np.zeros(pixels.shape[:2], np.float32)
    for face in faces:
        left, top, right, bottom = (max(0, round(edge)) for edge in face.box)
        change[top:bottom, left:right] = 3
    return codecs.PhotoChange.of_levels(change)


if __name__ == "__main__":
    main()
