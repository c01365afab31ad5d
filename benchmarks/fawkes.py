"""Side by side with Fawkes: same aligned faces, same surrogates, same machine, one run.

    python -m benchmarks.fawkes PEOPLE [--faces 40] [--faces-high 8] [--mode low]

PEOPLE is as for `benchmarks.protection`. The peer is `fawkes` 1.0.4 (Shan et al., USENIX Security
2020), unchanged; `make bench-fawkes` installs it. Both cloak the aligned 112 px crops of some
people's gallery photos, Fawkes one by one as it does, ours in batches; the other photos of these
people are clean probes, everybody else fills the gallery. Our budgets hold for a face in its photo
at viewing size; here the crop is the photo, so that all figures are those of the crop.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table

from photoveil.pipeline import quiet_logs

quiet_logs.hide()
quiet_logs.import_tensorflow()

from photoveil.pipeline.evaluation.labels import read_labels
from photoveil.pipeline.settings import load_settings
from photoveil.transforms.cloak.budget import face_view, scale_to_budget
from photoveil.transforms.cloak.optimizer import Optimizer
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.codecs.photo import with_change
from photoveil.transforms.embedding.surrogates import Surrogate, load_surrogate
from photoveil.transforms.evaluate.metrics import ranks
from photoveil.transforms.faces.align import TEMPLATE, crop_face, face_to_crop
from photoveil.transforms.faces.detect import load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.photo.composite import face_patch, photo_change
from photoveil.transforms.recognisers import Recogniser, SeenPhoto, load_recogniser
from photoveil.transforms.records import CROP_SIZE, Face
from photoveil.transforms.visibility.report import visibility
from tests.support.labelled_people import by_person, people_of_half

_HELD_OUT = ("dlib", "facenet")  # Fawkes gets none of them as a surrogate
_LONG_SIDE = 1400  # pixels of a photo, as in benchmarks.protection
_PER_PERSON = 5  # gallery photos at most; about as many or more stay clean as probes
_FACES = 40  # enough gallery photos to choose from, also where fewer are cloaked

_TABLE_WIDTH = 140  # characters, also where the output goes to a file

_LANDMARKS = tuple((float(x), float(y)) for x, y in TEMPLATE)
_WHOLE_CROP = Face((0.0, 0.0, float(CROP_SIZE), float(CROP_SIZE)), _LANDMARKS, 1.0)


@dataclass(frozen=True)
class FawkesMode:
    """A mode of Fawkes, from `Fawkes.mode2param` of its package, and the surrogates it gets."""

    dssim: float
    steps: int
    learning_rate: float
    surrogates: tuple[str, ...]


FAWKES_MODES = {
    "low": FawkesMode(0.004, 40, 25, ("mobilefacenet",)),
    "mid": FawkesMode(0.012, 75, 20, ("mobilefacenet", "faceres", "sface")),
    "high": FawkesMode(0.017, 150, 15, ("mobilefacenet", "faceres", "sface")),
}


class AlignedCrop(SeenPhoto):
    """An aligned crop as a photo with a known face."""

    def __init__(self, person: str, pixels: np.ndarray, face: Face) -> None:
        self.person = person
        self.pixels = pixels
        self.faces = [face]

    def with_pixels(self, pixels: np.ndarray) -> AlignedCrop:
        """Return the same face with other pixels, uint8 (112, 112, 3)."""
        return AlignedCrop(self.person, pixels, self.faces[0])


@dataclass(frozen=True)
class Seconds:
    """Seconds of this process: on its CPUs, and on the clock."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Cloaked:
    """The result of one way to cloak: its crops, uint8 (112, 112, 3), and what all of them took."""

    name: str
    crops: list[np.ndarray]
    seconds: Seconds


@dataclass(frozen=True)
class Extractor:
    """A surrogate with the interface of Fawkes' feature extractors.

    It has no variables, because its weights are constants.
    """

    embed: Callable[[Any], Any]
    variables: tuple[()] = ()

    def __call__(self, crops: Any) -> Any:
        """Embed crops, float32 (N, 112, 112, 3)."""
        return self.embed(crops)


def with_fawkes(mode: FawkesMode, crops: np.ndarray, surrogates: Sequence[Surrogate]) -> Cloaked:
    """Cloak uint8 (n, 112, 112, 3) crops as the package's own command does.

    Raises:
        ModuleNotFoundError: the peer is not installed.
    """
    import tensorflow as tf
    import tf_keras
    from fawkes.differentiator import FawkesMaskGeneration

    # What TensorFlow 2.4, which Fawkes was written for, had under this name.
    tf.keras.optimizers.Adadelta = tf_keras.optimizers.legacy.Adadelta
    np.random.seed(0)

    def cloak(steps: int, crops: np.ndarray) -> np.ndarray:
        generator = FawkesMaskGeneration(
            [Extractor(surrogate.embed) for surrogate in surrogates],
            batch_size=1,
            mimic_img=True,
            intensity_range="raw",
            initial_const=1e7,
            learning_rate=mode.learning_rate,
            max_iterations=steps,
            l_threshold=mode.dssim,
            verbose=2,
            maximize=True,
            keep_final=False,
            image_shape=(CROP_SIZE, CROP_SIZE, 3),
        )
        with contextlib.redirect_stdout(io.StringIO()):
            return generator.compute(crops.astype(np.float32))

    cloak(2, crops[:1])  # warm-up
    changed, seconds = _timed(lambda: cloak(mode.steps, crops))
    return Cloaked("Fawkes", list(np.rint(changed).astype(np.uint8)), seconds)


def with_ours(
    name: str, parameters: CloakParameters, surrogates: Mapping[str, Surrogate], crops: np.ndarray
) -> Cloaked:
    """Cloak uint8 (n, 112, 112, 3) crops, each cloak scaled until its crop keeps to the budget."""
    turns = [surrogates[name] for name in parameters.surrogates]
    optimizer = Optimizer(turns, turns, parameters)

    def cloak() -> list[np.ndarray]:
        results = []
        for start in range(0, len(crops), parameters.batch_size):
            batch = crops[start : start + parameters.batch_size]
            seeds = range(start, start + len(batch))
            for crop, made in zip(batch, optimizer.cloak(batch, seeds), strict=True):
                size = crop.shape[:2]
                patch = face_patch(made, _WHOLE_CROP, [_WHOLE_CROP], *size)
                bent = with_change(crop, photo_change([patch], [0.0], *size))
                scale = scale_to_budget(
                    bent, face_view(bent, _WHOLE_CROP), made, _WHOLE_CROP, parameters.budget
                )
                results.append(with_change(crop, photo_change([patch], [scale], *size)))
        return results

    optimizer.cloak(crops[:1], [0])  # warm-up: compiles
    changed, seconds = _timed(cloak)
    return Cloaked(name, changed, seconds)


class Tracker:
    """Recognisers that search for clean probes in a gallery of crops.

    Args:
        probes: clean crops of the people to find.
        padding: crops of other people, which fill the gallery.
    """

    def __init__(self, probes: Sequence[AlignedCrop], padding: Sequence[AlignedCrop]) -> None:
        self._recognisers = [load_recogniser(name) for name in (*_HELD_OUT, "mobilefacenet")]
        self._probes, self._padding = probes, padding
        self._clean = {
            recogniser.name: (_embed(recogniser, probes), _embed(recogniser, padding))
            for recogniser in self._recognisers
        }

    @property
    def names(self) -> list[str]:
        """Names of the recognisers."""
        return [recogniser.name for recogniser in self._recognisers]

    def rank_1(self, enrolled: Sequence[AlignedCrop]) -> list[float]:
        """Compute for each recogniser the share of the enrolled people's probes that it finds."""
        people = [crop.person for crop in (*enrolled, *self._padding)]
        sought = np.array([crop.person for crop in self._probes])
        wanted = np.isin(sought, people)
        found = []
        for recogniser in self._recognisers:
            probes, padding = self._clean[recogniser.name]
            gallery = np.concatenate([_embed(recogniser, enrolled), padding])
            distances = recogniser.distance(probes[wanted], gallery)
            places = ranks(distances, sought[wanted], np.array(people))
            found.append(float((places == 1).mean()))
        return found


def compare(mode: str, gallery: Sequence[AlignedCrop], tracker: Tracker) -> Table:
    """Cloak the gallery in both ways in one mode, and let the tracker search."""
    peer = FAWKES_MODES[mode]
    crops = np.stack([face.pixels for face in gallery])
    parameters = load_settings(None, mode=mode).cloak
    used = tuple(name for name in parameters.surrogates if name in peer.surrogates)
    batch = min(parameters.batch_size, len(crops))  # no filling up of a small batch
    parameters = replace(parameters, surrogates=used, batch_size=batch)
    surrogates = {name: load_surrogate(name) for name in peer.surrogates}

    fawkes = with_fawkes(peer, crops, list(surrogates.values()))
    pairs = list(zip(crops, fawkes.crops, strict=True))
    shown = float(np.mean([visibility(*pair).dssim for pair in pairs]))
    # A little below, as scaling comes to within two percent of a budget.
    tighter = replace(parameters, dssim_budget=min(parameters.dssim_budget, 0.98 * shown))
    rows = [
        Cloaked("clean", list(crops), Seconds(0, 0)),
        fawkes,
        with_ours("ours, our budget", parameters, surrogates, crops),
        with_ours("ours, Fawkes' DSSIM", tighter, surrogates, crops),
    ]
    columns = ("cloak", "DSSIM", "ΔE00", "p95", "FLIP", "max", "CPU s", "s", "CPU")
    table = Table(
        *columns,
        *(f"rank-1 {name}" for name in tracker.names),
        title=f"mode {mode}, {len(crops)} faces, surrogates {' and '.join(peer.surrogates)}",
    )
    for row in rows:
        seconds = row.seconds
        seen = [visibility(*pair) for pair in zip(crops, row.crops, strict=True)]
        enrolled = [face.with_pixels(crop) for face, crop in zip(gallery, row.crops, strict=True)]
        table.add_row(
            row.name,
            f"{np.mean([face.dssim for face in seen]):.4f}",
            f"{np.mean([face.delta_e for face in seen]):.2f}",
            f"{np.mean([face.delta_e_p95 for face in seen]):.1f}",
            f"{np.mean([face.flip for face in seen]):.3f}",
            str(max(face.max_change for face in seen)),
            f"{seconds.cpu / len(crops):.2f}",
            f"{seconds.wall / len(crops):.2f}",
            f"1/{fawkes.seconds.cpu / seconds.cpu:.1f}" if row.name.startswith("ours") else "",
            *(f"{rate:.2f}" for rate in tracker.rank_1(enrolled)),
        )
    return table


def split(
    photos: Mapping[str, Sequence[str]], chosen: Sequence[str], faces: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[tuple[str, str]]]:
    """Split photos into the gallery to cloak, the probes and the padding.

    People with the most photos come first, and a photo of each before the second of any. So the
    first few photos of the gallery belong to as many people.

    Returns:
        (person, file) of each.
    """
    galleries: list[list[tuple[str, str]]] = []
    probes, padding = [], []
    for person in sorted(photos, key=lambda person: (-len(photos[person]), person)):
        named = [(person, name) for name in photos[person]]
        if person in chosen and sum(map(len, galleries)) < faces:
            galleries.append(named[::2][:_PER_PERSON])
            probes += [photo for photo in named if photo not in galleries[-1]]
        else:
            padding += named
    gallery = [photo for turn in zip_longest(*galleries) for photo in turn if photo]
    return gallery[:faces], probes, padding


def aligned(folder: Path, photos: Sequence[tuple[str, str]]) -> list[AlignedCrop]:
    """Align the largest face of each photo; photos without a face are left out."""
    detector = load_retinaface(str(assets.fetch("retinaface.pb")))
    crops = []
    for person, name in photos:
        with Image.open(folder / name) as image:
            photo = ImageOps.exif_transpose(image).convert("RGB")
        photo.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)
        pixels = np.asarray(photo)
        face = SeenPhoto(pixels, detector, DetectorParameters()).largest
        if face is None:
            continue
        matrix = face_to_crop(face.landmarks)
        scale = np.sqrt(np.linalg.det(matrix[:, :2]))
        left, top, right, bottom = face.box
        centre = matrix @ [(left + right) / 2, (top + bottom) / 2, 1]
        reach = scale * np.array([right - left, bottom - top]) / 2
        (x0, y0), (x1, y1) = centre - reach, centre + reach
        known = Face((float(x0), float(y0), float(x1), float(y1)), _LANDMARKS, face.score)
        crops.append(AlignedCrop(person, crop_face(pixels, matrix), known))
    return crops


def _embed(recogniser: Recogniser, faces: Sequence[AlignedCrop]) -> np.ndarray:
    cuts = [recogniser.align(face) for face in faces]
    embeddings = np.full((len(faces), recogniser.dimension), np.nan)
    found = [index for index, cut in enumerate(cuts) if cut is not None]
    if found:
        embeddings[found] = recogniser.embed(np.stack([cut for cut in cuts if cut is not None]))
    return embeddings


def _timed(work: Callable[[], Any]) -> tuple[Any, Seconds]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return result, Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def main() -> None:
    """Compare both ways to cloak in each mode, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("people", type=Path)
    parser.add_argument("--faces", type=int, default=_FACES, help="to cloak in low and mid")
    parser.add_argument("--faces-high", type=int, default=8, help="Fawkes takes a minute for one")
    parser.add_argument("--mode", choices=list(FAWKES_MODES), action="append", help="default: all")
    parser.add_argument("--half", default="all", choices=["a", "b", "all"], help="of the people")
    given = parser.parse_args()
    photos = by_person(read_labels(str(given.people)))
    chosen = people_of_half(photos, given.half)
    parts = split(photos, chosen, max(_FACES, given.faces, given.faces_high))
    gallery, probes, padding = (aligned(given.people, part) for part in parts)
    tracker = Tracker(probes, padding)
    console = Console(width=_TABLE_WIDTH)
    for mode in given.mode or FAWKES_MODES:
        count = given.faces_high if mode == "high" else given.faces
        console.print(compare(mode, gallery[:count], tracker))
    people = len({face.person for face in gallery})
    print(
        f"""{people} people with {len(gallery)} photos to cloak and {len(probes)} clean probes,
{len(padding)} photos of others in the gallery, {os.cpu_count()} CPUs.
Visibility: means over faces, on the crop; max: the largest change of any pixel, in levels.
CPU s, s: seconds a face after a warm-up, on the CPU and on the clock; CPU: ours of Fawkes'.
rank-1: over the probes of people with a cloaked photo; mobilefacenet is a surrogate.
high has at most {given.faces_high} faces (--faces-high), as Fawkes takes so long. Rank-1 compares
within a mode only: the fewer the faces, the fewer of each person are in the gallery."""
    )


if __name__ == "__main__":
    main()
