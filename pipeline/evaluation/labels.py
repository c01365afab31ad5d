"""Choose whom to search for in a library, and where: the study that an evaluation carries out."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.identity import FOLDER, LibraryError
from photoveil.transforms.evaluate.tracker import Published, Study
from photoveil.transforms.io import storage
from photoveil.transforms.io.storage import printable
from photoveil.transforms.naming import output_names

LABELS = "people.csv"
_HOW_LABELLED = (
    f"whose photo is which is told by a table ({LABELS}, columns file and person) or by the first "
    "folder that it lies in"
)


def read_labels(root: str, table: str | None = None) -> dict[str, str]:
    """Read the person in each file below `root`, by its relative path.

    Args:
        root: of the photos.
        table: CSV file with the columns file (below `root`) and person; an empty person means
            nobody in particular. Without one, `people.csv` in `root`; without that, the first
            folder below `root` is the person.

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
    """Collect the photos of labelled people in a library, each with its original.

    Args:
        root: of the library.
        originals: the folder it was made from.
        labels: person by path below `originals`.
        probes: person and path of each clean probe; see `Study`.
        padding: person and path of the other photos in the gallery.
        per_person: maximum number of published photos of each, spread evenly in order of name.

    Raises:
        LibraryError: nothing to evaluate; the message says what is missing.
    """
    rows = manifest.read(manifest_folder(root)).to_pylist()
    if not rows:
        raise LibraryError(f"{root} is no library of cloaked photos: it has no manifest")
    sources, outputs = real_names(originals), output_paths(root, rows)
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


def manifest_folder(root: str) -> str:
    """Return the folder of the manifest of the library at `root`."""
    return storage.join(root, f"{FOLDER}/manifest")


def real_names(root: str) -> dict[str, str]:
    """Map paths below a root from their form in the manifest."""
    found = (entry.relative for entry in storage.walk(root) if not entry.problem)
    return {printable(name): name for name in found}


def output_paths(root: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Map paths of a library's files below its root from their form in the manifest."""
    named = [row["output"] for row in rows if row["output"] is not None]
    found = output_names.listing(root, named)
    return {printable(entry.relative): entry.relative for entry in found if not entry.problem}


def _spread(photos: Sequence[Published], most: int | None) -> Sequence[Published]:
    """Choose at most so many photos, evenly over the whole."""
    if most is None or len(photos) <= most:
        return photos
    return [photos[index * len(photos) // most] for index in range(most)]
