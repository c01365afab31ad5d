"""Protection on written files: do recognisers find the people?

    python -m benchmarks.protection PEOPLE [--mode mid] [--half a] [--held-out each]

PEOPLE holds photos of known people: a `people.csv` with the columns file and person, or one folder
per person. Half of each person's photos are cloaked by the real pipeline and published; the other
half are clean probes. With `--half a` or `b` only that half of the people is cloaked and searched
for, and the others fill the gallery: choose on one half, report the other. With `--everyone` the
others are cloaked too. With `--known` an earlier run has met the people: it cloaks the first photo
of each and its mirror image, and the rest is cloaked later and searched. `--later` does the same
without the earlier run, to compare with.

`--held-out NAME` leaves a recogniser out of the surrogates and lets it alone judge; `each` does so
with each in turn, and prints one table (`leave_one_out`). Needs the extra `evaluate`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import Progress

from photoveil.pipeline import quiet_logs
from tests.support.labelled_people import by_person, people_of_half

if TYPE_CHECKING:
    from photoveil.pipeline.settings import Settings
    from photoveil.transforms.evaluate.tracker import Study

_LONG_SIDE = 1400  # pixels: as a photo site shows them
_QUALITY = 92
_ONE_WAVE = 100_000  # photos: nobody is known from an earlier wave
_TABLE_WIDTH = 140  # characters, also where the output goes to a file


@dataclass(frozen=True)
class Photos:
    """Photos of known people, by their use; paths are below `folder`.

    cloaked: person by path.
    earlier: paths of photos of the same people, that an earlier run may meet.
    probes, padding: (person, path) of clean photos of the same people and of others.
    """

    folder: Path
    cloaked: Mapping[str, str]
    earlier: Sequence[str]
    probes: Sequence[tuple[str, str]]
    padding: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Cloaked:
    """Photos that a run has cloaked.

    root, source: of the library.
    surrogates: those that the cloaks were made against.
    said: what it cost, in words.
    """

    root: str
    source: str
    surrogates: frozenset[str]
    said: str


def choose(folder: Path, labels: Mapping[str, str], given: argparse.Namespace) -> Photos:
    """Decide what each photo is used for.

    Args:
        folder: of the photos.
        labels: person by path.
        given: `half`, `max_people`, `everyone`, `known` and `later` of the command line.
    """
    photos = by_person(labels)
    chosen = people_of_half(photos, given.half)[: given.max_people]
    cloaked: dict[str, str] = {}
    earlier: list[str] = []
    probes, padding = [], []
    for person, files in photos.items():
        for index, name in enumerate(files):
            if person in chosen and index % 2:
                probes.append((person, name))
            elif person not in chosen and not given.everyone:
                padding.append((person, name))
            elif index == 0 and (given.known or given.later):
                earlier.append(name)
            else:
                cloaked[name] = person
    searched = set(cloaked.values())  # somebody with one photo is not there any more
    probes = [(person, name) for person, name in probes if person in searched]
    return Photos(folder, cloaked, earlier, probes, padding)


def shared(path: Path, target: Path, mirrored: bool = False) -> None:
    """Write a photo as it would be published: upright, at most 1400 pixels, JPEG 92."""
    with Image.open(path) as image:
        photo = ImageOps.exif_transpose(image).convert("RGB")
    if mirrored:
        photo = ImageOps.mirror(photo)
    photo.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    photo.save(target, "JPEG", quality=_QUALITY)


def cloak(photos: Photos, settings: Settings, base: Path, known: bool = False) -> Cloaked:
    """Cloak photos by a run of the real pipeline.

    Args:
        photos: by their use.
        settings: of the run.
        base: a new folder, which gets the originals, the library and its private state.
        known: True if an earlier run has met the people.
    """
    from photoveil.pipeline.cli.run import run_job
    from photoveil.pipeline.library import manifest
    from photoveil.pipeline.library.library import open_library

    def run() -> Any:
        library = open_library(str(base / "in"), str(base / "out"), str(base / "state"))
        run_job(library, settings, Console(stderr=True))
        return library

    if known:
        for name in photos.earlier:
            for mirrored in (False, True):
                target = base / "in" / f"before/{mirrored}/{name}.jpg"
                shared(photos.folder / name, target, mirrored)
        run()
    for name in photos.cloaked:
        shared(photos.folder / name, base / "in" / f"{name}.jpg")
    started, busy = time.monotonic(), time.process_time()
    library = run()
    seconds, busy = time.monotonic() - started, time.process_time() - busy
    rows = manifest.read(library.manifest, ["source", "faces"]).to_pylist()
    wanted = {f"{name}.jpg" for name in photos.cloaked}
    faces = [face for row in rows if row["source"] in wanted for face in row["faces"]]
    passes = sum(face["steps"] for face in faces) / len(faces)
    said = (
        f"{len(faces)} faces cloaked in {seconds:.0f} s and {busy:.0f} CPU s, "
        f"{busy / len(faces):.1f} CPU s each (reading and compiling counted), {passes:.1f} passes "
        f"on average"
    )
    used = frozenset(of["surrogate"] for face in faces for of in face["cosine_shift"])
    return Cloaked(library.root, library.source, used, said)


def study(photos: Photos, made: Cloaked) -> Study:
    """Collect what the tracker has: published files, probes and other people's photos."""
    from photoveil.pipeline.evaluation.labels import study_library

    labels = {f"{name}.jpg": person for name, person in photos.cloaked.items()}
    probes, padding = (
        [(person, str(photos.folder / name)) for person, name in part]
        for part in (photos.probes, photos.padding)
    )
    return study_library(made.root, made.source, labels, probes, padding)


def main() -> None:
    """Cloak the photos, let the tracker search, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("people", type=Path)
    parser.add_argument("--mode", choices=["low", "mid", "high"])
    parser.add_argument("--config", type=Path, help="YAML file with settings")
    parser.add_argument("--half", default="all", choices=["a", "b", "all"], help="of the people")
    parser.add_argument("--max-people", type=int, help="cloak and search for at most so many")
    parser.add_argument("--everyone", action="store_true", help="cloak the other people too")
    parser.add_argument("--known", action="store_true", help="a run before has met the people")
    parser.add_argument("--later", action="store_true", help="the photos of --known, met first")
    parser.add_argument("--held-out", metavar="NAME", help="a recogniser, or each")
    parser.add_argument("--quick", action="store_true", help="only the files as written")
    parser.add_argument("--recogniser", action="append", help="default: all")
    parser.add_argument("--report", type=Path, help=".json or .parquet")
    parser.add_argument("--sheet", type=Path, help="contact sheet, .png")
    parser.add_argument("--cache", type=Path, help="embeddings between runs; keep it private")
    given = parser.parse_args()
    quiet_logs.hide()
    quiet_logs.import_tensorflow()
    # Only now, or TensorFlow would have said its lines already.
    from photoveil.pipeline.evaluation.labels import read_labels
    from photoveil.pipeline.settings import load_settings

    wave = {"first_wave": _ONE_WAVE, "wave_photos": _ONE_WAVE}
    settings = load_settings(given.config, mode=given.mode, **wave)
    photos = choose(given.people, read_labels(str(given.people)), given)
    console = Console()
    console.print(f"mode {settings.mode}, half {given.half}")
    with tempfile.TemporaryDirectory() as folder:
        if given.held_out:
            _leave_one_out(photos, settings, given, Path(folder))
        else:
            _measure(photos, settings, given, Path(folder))


def _measure(photos: Photos, settings: Settings, given: argparse.Namespace, base: Path) -> None:
    from photoveil.pipeline.evaluation import report
    from photoveil.pipeline.evaluation.evaluate import draw_sheet, evaluate_library, looks
    from photoveil.transforms.evaluate.conditions import AS_WRITTEN, CONDITIONS
    from photoveil.transforms.recognisers import names

    console = Console()
    made = cloak(photos, settings, base, given.known)
    console.print(made.said)
    searched = study(photos, made)
    conditions = [AS_WRITTEN] if given.quick else list(CONDITIONS)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking at photos", total=looks(searched, conditions))
        found = evaluate_library(
            made.root,
            searched,
            given.recogniser or names(),
            conditions,
            cache=given.cache,
            tick=lambda: bar.advance(task),
        )
    console.print(report.tables(found))
    if given.sheet:
        draw_sheet(found.faces).save(given.sheet)
    if given.report:
        given.report.write_bytes(report.as_file(found, given.report.suffix))


def _leave_one_out(
    photos: Photos, settings: Settings, given: argparse.Namespace, base: Path
) -> None:
    from benchmarks.leave_one_out import leave_one_out, tables
    from photoveil.pipeline.evaluation import report

    console = Console(width=_TABLE_WIDTH)
    found = leave_one_out(photos, settings, given, base, console)
    console.print(tables(found.findings))
    if given.report:
        given.report.write_bytes(report.as_file(found, given.report.suffix))


if __name__ == "__main__":
    main()
