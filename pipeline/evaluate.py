"""Evaluate a library: how well a recogniser finds the people in it, and how visible cloaks are."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline import manifest
from pipeline.library import FOLDER, LibraryError
from transforms import assets, codecs, storage
from transforms.discover import printable
from transforms.evaluate.conditions import AS_WRITTEN, CONDITIONS
from transforms.evaluate.contact_sheet import Shown, contact_sheet
from transforms.evaluate.embedding import Embedder
from transforms.evaluate.tracker import Finding, Published, Study, track
from transforms.evaluate.visibility import (
    Box,
    Visibility,
    at_viewing_size,
    face_region,
    visibility,
)
from transforms.faces.detect import load_retinaface
from transforms.faces.parameters import DetectorParameters
from transforms.recognisers import load_recogniser

LABELS = "people.csv"
_HOW_LABELLED = (
    f"whose photo is which is told by a table ({LABELS}, columns file and person) or by the first "
    "folder that it lies in"
)
_MAX_PIXELS = 250_000_000
_SHEET_FACES = 16
WORST_SHARE = 0.05


@dataclass(frozen=True)
class SeenFace:
    """A cloaked face and its visibility at the file's own resolution and at viewing size.

    number: of the face in the photo, 1 for the first in the manifest. original, written: paths.
    """

    source: str
    number: int
    box: Box
    original: str
    written: str
    own_size: Visibility
    viewing_size: Visibility


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate_library` found.

    study: who was looked for where. published: photos by manifest status.
    unreadable: reason by path of files that could not be decoded.
    """

    study: Study
    published: Counter[str]
    findings: list[Finding]
    faces: list[SeenFace]
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def worst(self) -> list[SeenFace]:
        """The 5 % of faces with the most visible change (FLIP at viewing size), worst first."""
        ordered = sorted(self.faces, key=lambda face: -face.viewing_size.flip)
        return ordered[: int(np.ceil(WORST_SHARE * len(ordered)))]


def read_labels(root: str, table: str | None = None) -> dict[str, str]:
    """Whose photo each file below `root` is, by its relative path.

    Args:
        table: CSV file with the columns file (below `root`) and person; an empty person is nobody
            in particular. Without one, `people.csv` in `root`; without that, the first folder
            below `root` is the person.

    Raises:
        LibraryError: the table cannot be read or lacks a column.
        OSError: `root` cannot be listed.
    """
    beside = storage.join(root, LABELS)
    if table is None and not storage.exists(beside):
        found = (entry.relative for entry in storage.walk(root) if not entry.problem)
        return {
            name: name.split("/")[0]
            for name in found
            if "/" in name and not name.startswith(f"{FOLDER}/")
        }
    try:
        text = storage.read_bytes(table or beside).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        return {row["file"]: row["person"] for row in rows if row["person"]}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise LibraryError(
            f"{table or beside} cannot be used ({error!r}); it must be a CSV file in UTF-8 with "
            "the columns file and person"
        ) from error


def study_library(
    root: str,
    originals: str,
    labels: Mapping[str, str],
    probes: Sequence[tuple[str, str]] = (),
    padding: Sequence[tuple[str, str]] = (),
    per_person: int | None = None,
) -> Study:
    """The photos of labelled people in a library, each with its original.

    Args:
        root: of the library. originals: the folder it was made from.
        labels: person by path below `originals`.
        probes, padding: see `Study`.
        per_person: at most so many published photos of each, spread evenly in order of name.

    Raises:
        LibraryError: nothing to evaluate; the message says what is missing.
    """
    rows = _manifest(root)
    if not rows:
        raise LibraryError(f"{root} is no library of cloaked photos: it has no manifest")
    sources, outputs = _real_names(originals), _real_names(root)
    by_person: dict[str, list[Published]] = defaultdict(list)
    person_of = {printable(name): person for name, person in labels.items()}
    for row in rows:
        source, output = row["source"], row["output"]
        if source in person_of and source in sources and output in outputs:
            person = person_of[source]
            photo = Published(
                person,
                storage.join(originals, sources[source]),
                storage.join(root, outputs[output]),
            )
            by_person[person].append(photo)
    wanted = {person for person, _ in probes}
    if probes and not wanted & set(by_person):
        raise LibraryError(f"no person of the probes has a photo in {root}; {_HOW_LABELLED}")
    if not probes and not any(len(photos) > 1 for photos in by_person.values()):
        raise LibraryError(f"no person has two photos in {root} to search in; {_HOW_LABELLED}")
    published = [photo for photos in by_person.values() for photo in _spread(photos, per_person)]
    return Study(tuple(published), tuple(probes), tuple(padding))


def evaluate_library(
    root: str,
    study: Study,
    recognisers: Sequence[str],
    conditions: Sequence[str] = tuple(CONDITIONS),
    *,
    cache: Path | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Evaluation:
    """All figures of a library.

    Args:
        study: from `study_library`. recognisers: names from `transforms.recognisers`.
        conditions: keys of `CONDITIONS`; `AS_WRITTEN` is always among them.
        cache: file to keep embeddings in between runs; private, for it holds biometric data.
        tick: called `looks(study, conditions)` times on the way.

    Raises:
        MissingPackage: a recogniser's package is not installed.
        transforms.assets.AssetError: a model cannot be had.
    """
    embedder = Embedder(
        [load_recogniser(name) for name in recognisers],
        load_retinaface(str(assets.fetch("retinaface.pb"))),
        DetectorParameters(),
        tick,
    )
    if cache is not None and cache.exists():
        embedder.load(cache)
    wanted = [AS_WRITTEN, *(name for name in conditions if name != AS_WRITTEN)]
    findings = track(study, embedder, wanted)
    if cache is not None:
        embedder.save(cache)
    written = {photo.written: photo for photo in study.published}
    outputs = _real_names(root)
    in_study = [
        (row, written[path])
        for row in _manifest(root)
        if row["output"] in outputs
        and (path := storage.join(root, outputs[row["output"]])) in written
    ]
    faces = []
    for row, photo in in_study:
        faces += list(_visible(row, photo))
        tick()
    return Evaluation(
        study,
        Counter(row["status"] for row, _ in in_study),
        findings,
        faces,
        embedder.unreadable,
    )


def looks(study: Study, conditions: Sequence[str]) -> int:
    """How often `evaluate_library` calls `tick`."""
    rounds = len({AS_WRITTEN, *conditions})
    photos = len(study.published)
    return photos + len(study.probes) + len(study.padding) + 2 * photos * rounds + photos


def draw_sheet(faces: Sequence[SeenFace]) -> Image.Image:
    """Contact sheet of the worst faces and, for fairness, of faces all along the scale."""
    ordered = sorted(faces, key=lambda face: -face.viewing_size.flip)
    worst = ordered[: _SHEET_FACES // 2]
    rest = ordered[len(worst) :]
    places = np.linspace(0, len(rest) - 1, min(len(rest), _SHEET_FACES // 2)).round().astype(int)
    return contact_sheet([_shown(face) for face in [*worst, *(rest[place] for place in places)]])


def _visible(row: Mapping[str, Any], photo: Published) -> Iterator[SeenFace]:
    if not row["faces"]:
        return
    clean, written = (_pixels(path) for path in (photo.original, photo.written))
    for number, face in enumerate(row["faces"], 1):
        sides = face["box"]
        box = (sides["left"], sides["top"], sides["right"], sides["bottom"])
        pair = face_region(clean, box), face_region(written, box)
        if pair[0].size:
            yield SeenFace(
                row["source"],
                number,
                box,
                photo.original,
                photo.written,
                visibility(*pair),
                visibility(*map(at_viewing_size, pair)),
            )


def _shown(face: SeenFace) -> Shown:
    seen = face.viewing_size
    caption = f"{face.source}, face {face.number}: FLIP {seen.flip:.3f}, dE {seen.delta_e:.2f}"
    clean, written = (
        face_region(_pixels(path), face.box) for path in (face.original, face.written)
    )
    return Shown(caption, clean, written)


def _pixels(path: str) -> np.ndarray:
    return codecs.decode(storage.read_bytes(path), _MAX_PIXELS).pixels


def _manifest(root: str) -> list[dict[str, Any]]:
    return manifest.read(storage.join(root, f"{FOLDER}/manifest")).to_pylist()


def _spread(photos: Sequence[Published], most: int | None) -> Sequence[Published]:
    """At most so many, evenly over the whole."""
    if most is None or len(photos) <= most:
        return photos
    return [photos[index * len(photos) // most] for index in range(most)]


def _real_names(root: str) -> dict[str, str]:
    """Paths below a root by the form that the manifest has of them."""
    found = (entry.relative for entry in storage.walk(root) if not entry.problem)
    return {printable(name): name for name in found}
