"""Protection on written files: do held-out recognisers find the people?

    python -m benchmarks.protection PEOPLE [--mode mid] [--half a]

PEOPLE holds photos of known people: a `people.csv` with the columns file and person, or one folder
per person. Half of each person's photos are cloaked by the real pipeline and published; the other
half are clean probes. With `--half a` or `b` only that half of the people is cloaked and searched
for, and the others fill the gallery: choose on one half, report the other. With `--known` an
earlier run has met the people: it cloaks the probes, and mirrored copies of them. Needs the extra
`evaluate`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import Progress

from photoveil.pipeline import quiet_logs

_LONG_SIDE = 1400  # pixels: as a photo site shows them
_QUALITY = 92


def by_person(labels: Mapping[str, str]) -> dict[str, list[str]]:
    """Files of each person, people and files in order of name."""
    photos = defaultdict(list)
    for name, person in labels.items():
        photos[person].append(name)
    return {person: sorted(photos[person]) for person in sorted(photos)}


def people_of_half(photos: Mapping[str, list[str]], half: str) -> list[str]:
    """Every other person who has two or more photos; all of them for "all"."""
    several = [person for person, files in photos.items() if len(files) > 1]
    return several if half == "all" else several["ab".index(half) :: 2]


def shared(path: Path, target: Path, mirrored: bool = False) -> None:
    """Write a photo as it would be published: upright, at most 1400 pixels, JPEG 92."""
    with Image.open(path) as image:
        photo = ImageOps.exif_transpose(image).convert("RGB")
    if mirrored:
        photo = ImageOps.mirror(photo)
    photo.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    photo.save(target, "JPEG", quality=_QUALITY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("people", type=Path)
    parser.add_argument("--mode", choices=["low", "mid", "high"])
    parser.add_argument("--config", type=Path, help="YAML file with settings")
    parser.add_argument("--half", default="all", choices=["a", "b", "all"], help="of the people")
    parser.add_argument("--known", action="store_true", help="a run before has met the people")
    parser.add_argument("--quick", action="store_true", help="only the files as written")
    parser.add_argument("--recogniser", action="append", help="default: all")
    parser.add_argument("--report", type=Path, help=".json or .parquet")
    parser.add_argument("--sheet", type=Path, help="contact sheet, .png")
    parser.add_argument("--cache", type=Path, help="embeddings between runs; keep it private")
    given = parser.parse_args()
    quiet_logs.hide()
    quiet_logs.import_tensorflow()
    # Only now, or TensorFlow would have said its lines already.
    from photoveil.pipeline.cli.run import run_job
    from photoveil.pipeline.evaluation import report
    from photoveil.pipeline.evaluation.evaluate import draw_sheet, evaluate_library, looks
    from photoveil.pipeline.evaluation.labels import read_labels, study_library
    from photoveil.pipeline.library import manifest
    from photoveil.pipeline.library.library import Library, open_library
    from photoveil.pipeline.settings import load_settings
    from photoveil.transforms.evaluate.conditions import AS_WRITTEN, CONDITIONS
    from photoveil.transforms.recognisers import names

    console = Console()
    photos = by_person(read_labels(str(given.people)))
    chosen = people_of_half(photos, given.half)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        labels: dict[str, str] = {}
        probes: list[tuple[str, str]] = []
        padding: list[tuple[str, str]] = []
        for person, files in photos.items():
            for index, name in enumerate(files):
                if person not in chosen:
                    padding.append((person, str(given.people / name)))
                elif index % 2:
                    probes.append((person, str(given.people / name)))
                else:
                    labels[f"{name}.jpg"] = person
        settings = load_settings(given.config, mode=given.mode)

        def cloak() -> tuple[Library, int]:
            library = open_library(str(base / "in"), str(base / "out"), str(base / "state"))
            return library, run_job(library, settings, Console(stderr=True)).faces

        if given.known:
            for _, path in probes:
                for mirrored in (False, True):
                    name = f"before/{mirrored}/{Path(path).name}.jpg"
                    shared(Path(path), base / "in" / name, mirrored)
            cloak()
        for target in labels:
            shared(given.people / target.removesuffix(".jpg"), base / "in" / target)
        started = time.monotonic()
        library, faces = cloak()
        seconds = time.monotonic() - started
        rows = manifest.read(library.manifest, ["source", "faces"]).to_pylist()
        passes = [f["steps"] for row in rows if row["source"] in labels for f in row["faces"]]
        console.print(
            f"mode {settings.mode}, half {given.half}: {faces} faces cloaked in {seconds:.0f} s, "
            f"{seconds / faces:.1f} s each (reading and compiling counted), "
            f"{sum(passes) / len(passes):.1f} passes on average"
        )
        study = study_library(library.root, library.source, labels, probes, padding)
        conditions = [AS_WRITTEN] if given.quick else list(CONDITIONS)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("looking at photos", total=looks(study, conditions))
            found = evaluate_library(
                library.root,
                study,
                given.recogniser or names(),
                conditions,
                cache=given.cache,
                tick=lambda: bar.advance(task),
            )
        sheet = draw_sheet(found.faces) if given.sheet else None
    console.print(report.tables(found))
    if sheet is not None:
        sheet.save(given.sheet)
    if given.report:
        given.report.write_bytes(report.as_file(found, given.report.suffix))


if __name__ == "__main__":
    main()
