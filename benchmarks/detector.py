"""Recall, false alarms and time of the detector, also for small faces and for rotated ones.

    python -m benchmarks.detector --people FOLDER --without FOLDER_OR_PHOTO_OR_LIST ...

`--people` is a folder with `people.csv` (columns file, person); a photo counts if it names a
person. `--without` is a folder, a photo, or a .txt list of photos (one a line) without people, in
addition to the pinned ones. `--large` puts faces of known size into photos of up to 60 megapixels;
`--turned` rotates the people photos, and puts heads on their side beside upright ones. Both need
`--people`.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.faces.detect import Detector, detect_faces
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.photo.find_faces import FaceDetectorHandler
from photoveil.transforms.records import Face
from tests.support.face_scenes import (
    TURNS,
    Place,
    Portrait,
    cut_portrait,
    found_in,
    landmark_errors,
    scene,
)
from tests.support.face_scenes import turned as turn

_NOBODY = ("rocket.jpg", "coffee.png", "chelsea.png")
_MAX_PIXELS = 250_000_000
_MEGAPIXELS = (0.3, 1, 2, 3, 12, 24, 48)
_LARGE = ((1600, 1200), (4000, 3000), (6000, 4000), (8000, 6000), (20000, 3000))
_NO_FINER_LEVELS = 1_000_000
_FACES = (40, 60, 100, 200, 400, 800)
_SMALL, _MOST_BESIDE = (30, 40, 60), 8


@dataclass(frozen=True)
class Looked:
    """One photo: its size, what was found, and the CPU seconds that detection took."""

    path: Path
    megapixels: float
    faces: list[Face]
    seconds: float


def labelled(people: Path) -> list[Path]:
    """Return the photos of `people` whose row in people.csv names a person."""
    with open(people / "people.csv", encoding="utf-8", newline="") as stream:
        return [people / row["file"] for row in csv.DictReader(stream) if row["person"]]


def expand(given: Iterable[Path]) -> Iterator[Path]:
    """Yield the photos named by folders, .txt lists (paths relative to the list) and photos."""
    for path in given:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in _EXTENSIONS)
        elif path.suffix == ".txt":
            lines = path.read_text("utf-8").splitlines()
            yield from (path.parent / line for line in lines if line.strip())
        else:
            yield path


_EXTENSIONS = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".heic"}


def look(paths: Iterable[Path], detector: Detector, parameters: DetectorParameters) -> list[Looked]:
    """Detect faces in photos; one that cannot be decoded is printed and left out."""
    looked = []
    for path in paths:
        try:
            pixels = codecs.decode(path.read_bytes(), _MAX_PIXELS).pixels
        except (OSError, codecs.CodecError) as error:
            print(f"  left out: {path.name}: {error}")
            continue
        start = time.process_time()
        faces = detect_faces(pixels, detector, parameters)
        seconds = time.process_time() - start
        looked.append(Looked(path, pixels.shape[0] * pixels.shape[1] / 1e6, faces, seconds))
    return looked


def report_people(looked: Sequence[Looked]) -> None:
    """Print the recall over photos that hold at least one person."""
    found = [photo for photo in looked if photo.faces]
    print(f"photos of people: {len(found)} of {len(looked)} give a face", end="")
    print(f" ({len(found) / len(looked):.1%})" if looked else "")
    for photo in looked:
        if not photo.faces:
            print(f"  missed: {photo.path.name}")
    counts = Counter(len(photo.faces) for photo in looked)
    print("faces in a photo: " + ", ".join(f"{n}: {counts[n]} photos" for n in sorted(counts)))


def report_nobody(looked: Sequence[Looked]) -> None:
    """Print the false alarms over photos without people."""
    alarms = [photo for photo in looked if photo.faces]
    boxes = sum(len(photo.faces) for photo in alarms)
    print(f"photos without people: {len(alarms)} of {len(looked)} give {boxes} false alarms")
    for photo in alarms:
        for face in photo.faces:
            box = ", ".join(f"{edge:.0f}" for edge in face.box)
            print(f"  {photo.path.name}: score {face.score:.2f}, box {box}")


def report_seconds(looked: Sequence[Looked]) -> None:
    """Print the median CPU seconds by size of the photos as they are."""
    by_size = defaultdict(list)
    for photo in looked:
        by_size[min(m for m in (*_MEGAPIXELS, 1e9) if photo.megapixels <= m)].append(photo.seconds)
    for size, seconds in sorted(by_size.items()):
        print(f"  up to {size:g} megapixels: {np.median(seconds):.2f} s ({len(seconds)} photos)")


def report_cost(detector: Detector, parameters: DetectorParameters) -> None:
    """Print the CPU seconds of one photo at several sizes, the best of two.

    They are those of the fixed levels alone, with a face, and without one.
    """
    with Image.open(assets.fetch("obama.jpg")) as opened:
        portrait = opened.convert("RGB").resize((480, 600))
    fixed = replace(parameters, smallest_face=_NO_FINER_LEVELS)
    for width, height in _LARGE:
        nobody = Image.new("RGB", (width, height), "grey")
        one = nobody.copy()
        one.paste(portrait, (width // 3, height // 4))
        told = []
        for name, image, options in (
            ("fixed levels alone", one, fixed),
            ("with a face", one, parameters),
            ("with nobody", nobody, parameters),
        ):
            pixels, seconds = np.asarray(image), []
            for _ in range(2):
                start = time.process_time()
                detect_faces(pixels, detector, options)
                seconds.append(time.process_time() - start)
            told.append(f"{name} {min(seconds):.1f} s")
        print(f"  {width} x {height}: " + ", ".join(told), flush=True)


def portraits(looked: Iterable[Looked]) -> Iterator[Portrait]:
    """Cut out the heads in photos of one person, of 120 pixels and more."""
    for photo in looked:
        if len(photo.faces) == 1 and photo.faces[0].size >= 120:
            pixels = codecs.decode(photo.path.read_bytes(), _MAX_PIXELS).pixels
            if (portrait := cut_portrait(pixels, photo.faces[0])) is not None:
                yield portrait


def report_large(
    heads: Sequence[Portrait], detector: Detector, parameters: DetectorParameters
) -> None:
    """Print the recall by face size and photo size, and the CPU seconds of a photo."""
    print(f"recall in large photos, {len(heads)} heads, and CPU seconds a photo:")
    for width, height in _LARGE:
        told = []
        for face in _FACES:
            if face * 4 > height:
                continue
            pixels, places = scene(heads, width, height, face)
            start = time.process_time()
            faces = detect_faces(pixels, detector, parameters)
            seconds = time.process_time() - start
            hits = sum(found_in(place, faces) for place in places)
            beside = len(faces) - hits
            told.append(f"{face} px {hits}/{len(places)} (+{beside}) {seconds:.1f} s")
        print(f"  {width} x {height}: " + ", ".join(told), flush=True)


def report_turned(
    paths: Sequence[Path], detector: Detector, parameters: DetectorParameters
) -> None:
    """Print the recall and landmark error of photos that are rotated without a tag.

    The error is in interocular distances.
    """
    print("photos turned, against the same upright:")
    uprights = []
    for path in paths:
        pixels = codecs.decode(path.read_bytes(), _MAX_PIXELS).pixels
        uprights.append((pixels, detect_faces(pixels, detector, parameters)))
    for degrees in TURNS:
        errors = []
        for pixels, faces in uprights:
            image, matrix = turn(pixels, degrees)
            errors += landmark_errors(faces, detect_faces(image, detector, parameters), matrix)
        known = np.array([error for error in errors if error is not None])
        print(
            f"  {degrees} degrees: {len(known)} of {len(errors)} found, landmarks off by "
            f"{np.median(known):.3f} (median), {np.quantile(known, 0.9):.3f} (90 %), "
            f"{known.max():.3f} (most); {(known > 0.15).mean():.0%} by more than 0.15",
            flush=True,
        )


def report_beside(
    heads: Sequence[Portrait], detector: Detector, parameters: DetectorParameters
) -> None:
    """Print the recall of a small head on its side beside a large upright one, and CPU seconds."""
    print("a head on its side beside an upright one of 300 pixels, 1600 x 1200:")
    for face in _SMALL:
        hits, photos, start = 0, 0, time.process_time()
        for index, small in enumerate(heads[:_MOST_BESIDE]):
            large = heads[index - 1]
            for degrees in (90, 180, 270):
                image = Image.new("RGB", (1600, 1200), (110, 120, 125))
                image.paste(large.image.resize((round(300 / large.share),) * 2), (50, 100))
                place = Place(1200, 500, round(face / small.share))
                image.paste(small.image.rotate(degrees).resize((place.side,) * 2), (1200, 500))
                photos += 1
                hits += found_in(place, detect_faces(np.asarray(image), detector, parameters))
        seconds = (time.process_time() - start) / photos
        print(f"  {face} px {hits}/{photos} {seconds:.2f} s", flush=True)


def main() -> None:
    """Measure the detector on the given photos, and print a report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--people", type=Path, help="folder with people.csv")
    parser.add_argument("--without", type=Path, nargs="+", default=[], metavar="FOLDER")
    parser.add_argument("--min-score", type=float)
    parser.add_argument("--long-sides", type=int, nargs="+")
    parser.add_argument("--smallest-face", type=int)
    parser.add_argument("--large", action="store_true", help="faces in large photos, too")
    parser.add_argument("--turned", action="store_true", help="the people photos turned, too")
    parser.add_argument("--model", choices=["retinaface", "retinaface-resnet50"])
    given = parser.parse_args()
    chosen = {
        "min_score": given.min_score,
        "long_sides": tuple(given.long_sides) if given.long_sides else None,
        "smallest_face": given.smallest_face,
        "model": given.model,
    }
    chosen = {name: value for name, value in chosen.items() if value is not None}
    parameters = replace(DetectorParameters(), **chosen)
    print(parameters)
    detector = FaceDetectorHandler(parameters).load_model()
    detect_faces(np.zeros((64, 64, 3), np.uint8), detector, parameters)  # not timed: first call

    people = look(labelled(given.people), detector, parameters) if given.people else []
    if people:
        report_people(people)
    nobody = [*(assets.fetch(name) for name in _NOBODY), *expand(given.without)]
    report_nobody(look(nobody, detector, parameters))
    if people:
        print("CPU seconds a photo, as they come:")
        report_seconds(people)
    print("CPU seconds a photo:")
    report_cost(detector, parameters)
    if people and given.large:
        report_large(list(portraits(people)), detector, parameters)
    if people and given.turned:
        report_turned([photo.path for photo in people], detector, parameters)
        report_beside(list(portraits(people)), detector, parameters)


if __name__ == "__main__":
    main()
