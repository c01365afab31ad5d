"""Protection on written files: can a recogniser that the optimiser never saw find the people?

    python -m benchmarks.protection PEOPLE [--mode mid]

PEOPLE holds photos and a `people.csv` with the columns file, person. Half of each person's photos
are cloaked by the real pipeline and enrolled as the gallery; the other half are clean probes. The
judge is dlib's ResNet, the network behind the package `face_recognition`, which aligns and embeds
every file anew. Needs the extra `evaluate`.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import dlib
import numpy as np
from PIL import Image, ImageOps
from rich.console import Console

from pipeline import manifest
from pipeline.job import run_job
from pipeline.library import open_library
from pipeline.settings import load_settings
from transforms import assets
from transforms.faces.detect import detect_faces, load_retinaface
from transforms.faces.parameters import DetectorParameters

_LONG_SIDE = 1400  # pixels: as a photo site shows them


class Judge:
    """dlib's ResNet-29 with its own alignment; faces are found by its own detector or, where that
    finds none, by ours."""

    def __init__(self) -> None:
        spec = find_spec("face_recognition_models")
        assert spec is not None and spec.origin is not None
        models = Path(spec.origin).parent / "models"
        self._detect = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(
            str(models / "shape_predictor_68_face_landmarks.dat")
        )
        self._embed = dlib.face_recognition_model_v1(
            str(models / "dlib_face_recognition_resnet_model_v1.dat")
        )
        self._retinaface = load_retinaface(str(assets.fetch("retinaface.pb")))

    def embedding(self, path: Path) -> np.ndarray | None:
        """float64 (128,) of the largest face in a photo; None where there is none."""
        with Image.open(path) as image:
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        boxes = list(self._detect(pixels, 0)) or [
            dlib.rectangle(*(round(value) for value in face.box))
            for face in detect_faces(pixels, self._retinaface, DetectorParameters())
        ]
        if not boxes:
            return None
        box = max(boxes, key=lambda box: box.area())
        return np.array(self._embed.compute_face_descriptor(pixels, self._landmarks(pixels, box)))


def labelled(people: Path) -> dict[str, list[Path]]:
    """Photos by person, of the people who have two or more."""
    photos = defaultdict(list)
    with open(people / "people.csv", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["person"]:
                photos[row["person"]].append(people / row["file"])
    return {person: sorted(files) for person, files in photos.items() if len(files) > 1}


def rank_1(gallery: list[tuple[str, np.ndarray]], probes: list[tuple[str, np.ndarray]]) -> float:
    """Share of the probes whose nearest gallery face is of the same person."""
    vectors = np.stack([vector for _, vector in gallery])
    hits = [
        gallery[int(np.linalg.norm(vectors - probe, axis=1).argmin())][0] == person
        for person, probe in probes
    ]
    return float(np.mean(hits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("people", type=Path)
    parser.add_argument("--mode", default="mid", choices=["low", "mid", "high"])
    arguments = parser.parse_args()
    judge = Judge()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        clean, probes = [], []
        for person, files in labelled(arguments.people).items():
            for index, path in enumerate(files):
                if index % 2:
                    probes.append((person, path))
                    continue
                target = base / "in" / person / f"{path.stem}{path.suffix.lower()}"
                target.parent.mkdir(parents=True, exist_ok=True)
                with Image.open(path) as image:
                    photo = ImageOps.exif_transpose(image).convert("RGB")
                photo.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)
                photo.save(target, quality=92)
                clean.append((person, target))
        library = open_library(str(base / "in"), str(base / "out"), base / "state")
        started = time.monotonic()
        run_job(library, load_settings(mode=arguments.mode), False, Console(quiet=True))
        seconds = time.monotonic() - started
        faces = [f for row in manifest.read(library.manifest).to_pylist() for f in row["faces"]]
        cloaked = [(person, base / "out" / p.relative_to(base / "in")) for person, p in clean]
        sets = [
            [(person, e) for person, p in photos if (e := judge.embedding(p)) is not None]
            for photos in (clean, cloaked, probes)
        ]
    before, after = (rank_1(gallery, sets[2]) for gallery in sets[:2])
    flip, dssim = (np.array([face[key] for face in faces]) for key in ("flip", "dssim"))
    print(f"mode {arguments.mode}: {len(clean)} photos cloaked, {len(faces)} faces, ", end="")
    print(f"{len(set(p for p, _ in clean))} people, {len(sets[2])} probes")
    print(f"rank-1 of dlib's ResNet: clean gallery {before:.2f}, cloaked gallery {after:.2f}")
    print(f"FLIP mean {flip.mean():.3f}, 95th percentile {np.quantile(flip, 0.95):.3f}")
    print(f"DSSIM mean {dssim.mean():.4f}, largest {dssim.max():.4f}")
    print(f"{seconds:.0f} s, {seconds / len(faces):.1f} s per face (compiling counted)")


if __name__ == "__main__":
    main()
