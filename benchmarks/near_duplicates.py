"""Near duplicates: are they found, are bursts left alone, and what does averaging copies reveal?

    python -m benchmarks.near_duplicates PHOTOS [--photos 40] [--average 6] [--shots FOLDER ...]

Copies are made of the first photos of a folder: resized, recompressed, retagged. Bursts are made by
rotating or shifting the frame a little, and by moving the middle of the picture within it, as a
head moves between two shots. Real ones are in the folders of `--shots`, each the photos of one
burst or the frames of a video, named in the order of time; neighbours are compared. For averaging,
copies of some photos are cloaked by the real pipeline, with the policy `mirror` and with `off`. The
tracker resizes them to one size, takes the mean, and compares it with the clean photo by each
surrogate and each held-out recogniser (extra `evaluate`).
"""

from __future__ import annotations

import argparse
import io
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console

from photoveil.pipeline.library.library import open_library
from photoveil.pipeline.run import planning, waves
from photoveil.pipeline.run.context import RunContext
from photoveil.pipeline.settings import Settings, load_settings
from photoveil.transforms.duplicates.perceptual_hash import (
    NearDuplicateParameters,
    distance,
    pdq,
    show_the_same,
    thumbnail,
)
from photoveil.transforms.faces.detect import load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.recognisers import load_recogniser, names
from photoveil.transforms.recognisers.recogniser import SeenPhoto

_COPIES = ((1.0, 40), (1.0, 75), (0.7, 85), (0.5, 70), (0.35, 90))  # scale, JPEG quality
_BURSTS = ((0.3, 0.0), (1.0, 0.0), (0.0, 0.005), (0.0, 0.02))  # degrees, shift of the frame
_LEAST_SIDE = 160  # pixels of the smallest copy
_LEAST_AVERAGED = 480  # pixels of a photo that all these copies can be made of


def main() -> None:
    """Measure detection of copies and averaging of cloaks, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--shots", type=Path, nargs="*", default=[])
    parser.add_argument("--average", type=int, default=6, help="photos whose copies are averaged")
    parser.add_argument("--mode", default="mid")
    arguments = parser.parse_args()
    console = Console()
    images = list(itertools.islice(_images(arguments.folder), arguments.photos))
    _precision_and_recall(images, console)
    for folder in arguments.shots:
        shots = [np.asarray(image) for image in _images(folder)]
        taken = sum(_found(one, other) for one, other in itertools.pairwise(shots))
        console.print(f"{folder}: {taken} of {len(shots) - 1} neighbours taken for copies")
    large = [image for image in images if min(image.size) >= _LEAST_AVERAGED]
    _averages(large[: arguments.average], load_settings(mode=arguments.mode), console)


def _images(folder: Path) -> Iterator[Image.Image]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail((1400, 1400))
            yield upright


def _precision_and_recall(images: list[Image.Image], console: Console) -> None:
    copies = [
        _found(np.asarray(image), np.asarray(copy)) for image in images for copy in _copies(image)
    ]
    bursts = [_found(first, second) for image in images for first, second in _bursts(image)]
    others = [
        _found(np.asarray(one), np.asarray(two)) for one, two in itertools.combinations(images, 2)
    ]
    wrong = sum(bursts) + sum(others)
    console.print(
        f"recall {np.mean(copies):.3f} of {len(copies)} copies; "
        f"precision {sum(copies) / max(1, sum(copies) + wrong):.3f}: taken for copies are "
        f"{sum(bursts)} of {len(bursts)} burst shots, {sum(others)} of {len(others)} other pairs"
    )


def _found(one: np.ndarray, other: np.ndarray) -> bool:
    parameters = NearDuplicateParameters()
    hashes = pdq(one), pdq(other)
    if hashes[0] is None or hashes[1] is None:
        return False
    near = distance(hashes[0], hashes[1]) <= parameters.max_distance
    return near and show_the_same(thumbnail(one), thumbnail(other), parameters.max_difference)


def _copies(image: Image.Image) -> Iterator[Image.Image]:
    for scale, quality in _COPIES:
        size = (round(image.width * scale), round(image.height * scale))
        if min(size) >= _LEAST_SIDE:
            yield Image.open(io.BytesIO(_jpeg(image.resize(size), quality))).convert("RGB")


def _bursts(image: Image.Image) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    width, height = image.size
    margin = round(0.04 * max(width, height))
    frame = (margin, margin, width - margin, height - margin)
    first = np.asarray(image.crop(frame))
    for turn, shift in _BURSTS:
        moved = [side + round(shift * width) for side in frame]
        turned = image.rotate(turn, Image.Resampling.BICUBIC)
        yield first, np.asarray(turned.crop((moved[0], moved[1], moved[2], moved[3])))
    nod = first.copy()
    middle = (slice(height // 5, height // 2), slice(width // 3, 2 * width // 3))
    nod[middle] = np.roll(first, max(2, width // 60), axis=1)[middle]
    yield first, nod


def _averages(images: list[Image.Image], settings: Settings, console: Console) -> None:
    recognisers = [load_recogniser(name) for name in names()]
    for policy in ("mirror", "off"):
        near = NearDuplicateParameters(policy=policy)
        with tempfile.TemporaryDirectory() as folder:
            settings = settings.model_copy(update={"near_duplicates": near})
            cloaked = _cloaked(images, settings, folder)
        for recogniser in recognisers:
            single, mean = [], []
            for image, copies in zip(images, cloaked, strict=True):
                average = np.mean([np.asarray(copy, np.float32) for copy in copies], axis=0)
                pictures = [np.asarray(image), np.asarray(copies[0]), np.rint(average)]
                seen = [_seen(pixels.astype(np.uint8)) for pixels in pictures]
                crops = [crop for crop in map(recogniser.align, seen) if crop is not None]
                if len(crops) == len(pictures):
                    embeddings = recogniser.embed(np.stack(crops))
                    one, of_all = recogniser.distance(embeddings[:1], embeddings[1:])[0]
                    single.append(one)
                    mean.append(of_all)
            console.print(
                f"{policy}: {recogniser.name}, distance to the clean face: one copy "
                f"{np.mean(single):.3f}, average of the copies {np.mean(mean):.3f} "
                f"({len(single)} faces, {sum(map(len, cloaked))} copies)"
            )


def _cloaked(images: list[Image.Image], settings: Settings, folder: str) -> list[list[Image.Image]]:
    """Cloak copies of each image, and return them at the image's own size."""
    photos = Path(folder, "photos")
    photos.mkdir()
    for number, image in enumerate(images):
        for index, copy in enumerate([image, *_copies(image)]):
            (photos / f"{number:03}_{index}.jpg").write_bytes(_jpeg(copy, 92))
    library = open_library(str(photos), str(Path(folder, "out")), str(Path(folder, "state")))
    stamp = planning.new_stamp(settings)
    waves.run(RunContext(library, settings, stamp), planning.plan_run(library, settings, stamp))
    cloaked = []
    for number, image in enumerate(images):
        copies = []
        for path in sorted(Path(folder, "out").glob(f"{number:03}_*.jpg")):
            with Image.open(path) as copy:
                copies.append(copy.convert("RGB").resize(image.size, Image.Resampling.LANCZOS))
        cloaked.append(copies)
    return cloaked


def _seen(pixels: np.ndarray) -> SeenPhoto:
    detector = load_retinaface(str(assets.fetch("retinaface.pb")))
    return SeenPhoto(pixels, detector, DetectorParameters())


def _jpeg(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


if __name__ == "__main__":
    main()
