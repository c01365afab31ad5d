"""Evaluate a library: how well recognisers find the people in it, and how visible cloaks are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from photoveil.pipeline.evaluation.labels import manifest_folder, output_paths
from photoveil.pipeline.library import manifest
from photoveil.transforms import codecs
from photoveil.transforms.evaluate.conditions import AS_WRITTEN, CONDITIONS
from photoveil.transforms.evaluate.contact_sheet import Shown, contact_sheet
from photoveil.transforms.evaluate.embedding import Embedder
from photoveil.transforms.evaluate.tracker import Finding, Published, Study, track
from photoveil.transforms.faces.detect import load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.failures import failure
from photoveil.transforms.io import assets, storage
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.recognisers import load_recogniser
from photoveil.transforms.records import Visibility
from photoveil.transforms.visibility.metrics import Box, at_viewing_size, face_region
from photoveil.transforms.visibility.report import FaceVisibility, visibility

_MAX_PIXELS = 250_000_000
_SHEET_FACES = 16
_OF_A_DISPLACEMENT = ("drawn_contrast", "shift_peak", "shift_rms", "stretch")
WORST_SHARE = 0.05


@dataclass(frozen=True)
class SeenFace:
    """A cloaked face and its visibility at the file's own resolution and at viewing size.

    number: of the face in the photo, 1 for the first in the manifest. original, written: paths.
    own_size, viewing_size: of the whole difference between the two. parts: what the manifest says
        of the displacement and of what is drawn; None in rows of output versions 1 and 2.
    """

    source: str
    number: int
    box: Box
    original: str
    written: str
    own_size: FaceVisibility
    viewing_size: FaceVisibility
    parts: Visibility | None


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate_library`.

    study: who was searched for, and where. published: photos by manifest status.
    unreadable: reason by path of files that could not be decoded.
    """

    study: Study
    published: Counter[str]
    findings: list[Finding]
    faces: list[SeenFace]
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def worst(self) -> list[SeenFace]:
        """Return the 5 % of faces with the largest FLIP at viewing size, worst first."""
        ordered = sorted(self.faces, key=lambda face: -face.viewing_size.flip)
        return ordered[: int(np.ceil(WORST_SHARE * len(ordered)))]


def evaluate_library(
    root: str,
    study: Study,
    recognisers: Sequence[str],
    conditions: Sequence[str] = tuple(CONDITIONS),
    *,
    cache: Path | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Compute all figures of a library.

    Args:
        root: of the library.
        study: from `pipeline.evaluation.labels`.
        recognisers: names from `transforms.recognisers`.
        conditions: keys of `CONDITIONS`; `AS_WRITTEN` is always among them.
        cache: file to keep embeddings in between runs; private, because it holds biometric data.
        tick: called `looks(study, conditions)` times on the way.

    Raises:
        MissingPackage: a recogniser's package is not installed.
        transforms.io.assets.AssetError: a model cannot be fetched.
    """
    rows = _rows(root, study)
    # The manifest measures by the surrogates that each face was cloaked against.
    used = {
        of["surrogate"] for row, _ in rows for face in row["faces"] for of in face["cosine_shift"]
    }
    loaded = map(load_recogniser, recognisers)
    embedder = Embedder(
        [replace(each, white_box=each.name in used) for each in loaded],
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
    faces, problems = [], dict(embedder.unreadable)
    for row, photo in rows:
        try:
            faces += list(_visible(row, photo))
        except (OSError, codecs.CodecError) as error:
            problems[photo.written] = str(error)
        except Exception as error:
            problems[photo.written] = failure("reading", error).reason
        tick()
    return Evaluation(
        study,
        Counter(row["status"] for row, _ in rows),
        findings,
        faces,
        problems,
    )


def looks(study: Study, conditions: Sequence[str]) -> int:
    """Return how often `evaluate_library` calls `tick`."""
    rounds = len({AS_WRITTEN, *conditions})
    photos = len(study.published)
    return photos + len(study.probes) + len(study.padding) + 2 * photos * rounds + photos


def draw_sheet(faces: Sequence[SeenFace]) -> Image.Image:
    """Draw a contact sheet of the worst faces and, for fairness, of faces across the range."""
    ordered = sorted(faces, key=lambda face: -face.viewing_size.flip)
    worst = ordered[: _SHEET_FACES // 2]
    rest = ordered[len(worst) :]
    places = np.linspace(0, len(rest) - 1, min(len(rest), _SHEET_FACES // 2)).round().astype(int)
    return contact_sheet([_shown(face) for face in [*worst, *(rest[place] for place in places)]])


def _rows(root: str, study: Study) -> list[tuple[Mapping[str, Any], Published]]:
    """Pair each published photo with its row of the manifest."""
    photos = {photo.written: photo for photo in study.published}
    rows = manifest.read(manifest_folder(root)).to_pylist()
    outputs = output_paths(root, rows)
    return [
        (row, photos[path])
        for row in rows
        if row["output"] in outputs
        and (path := storage.join(root, outputs[row["output"]])) in photos
    ]


def _visible(row: Mapping[str, Any], photo: Published) -> Iterator[SeenFace]:
    """Measure the faces of a photo in the original and in the written file.

    Raises:
        OSError, codecs.CodecError: one of the two files cannot be read.
    """
    if not row["faces"]:
        return
    clean, written = (_pixels(path) for path in (photo.original, photo.written))
    if clean.shape != written.shape:
        raise codecs.CodecError("the original is of another size by now, so it shows no cloak")
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
                _parts(face),
            )


def _parts(face: Mapping[str, Any]) -> Visibility | None:
    figures = [face[name] for name in ("flip", "delta_e", "dssim", *_OF_A_DISPLACEMENT)]
    return None if None in figures else Visibility(*figures)


def _shown(face: SeenFace) -> Shown:
    seen = face.viewing_size
    caption = f"{face.source}, face {face.number}: FLIP {seen.flip:.3f}, dE {seen.delta_e:.2f}"
    clean, written = (
        face_region(_pixels(path), face.box) for path in (face.original, face.written)
    )
    return Shown(caption, clean, written)


def _pixels(path: str) -> np.ndarray:
    return codec_process.decode(storage.read_bytes(path), _MAX_PIXELS, ReadLimits()).pixels
