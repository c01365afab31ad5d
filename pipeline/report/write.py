"""Writes the report of a library: a folder with one page, its data, and small pictures.

index.html       the page; its styles and its program are in it
data/index.js    a row a file, see `rows.Index`
data/N.js        the details of 250 files, which the page loads when they are looked at
thumbnails/      of the cloaked files
people/          a few cloaked faces of each person
before/, after/  photos that a browser cannot show from where they lie

A page that is opened from a disk may load scripts and pictures and no other files, so data is in
scripts.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from photoveil.pipeline.library.identity import read_identity
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.report import evaluation_file, pictures
from photoveil.pipeline.report.evaluation_file import Protection
from photoveil.pipeline.report.pictures import Part
from photoveil.pipeline.report.render import render, state_option
from photoveil.pipeline.report.rows import CHUNK, NO_MEASURE, SCALE, Collector, Index
from photoveil.pipeline.state import review
from photoveil.pipeline.state.people import People, Person
from photoveil.transforms.io import storage
from photoveil.transforms.photo.limits import ReadLimits

PAGE, MARK = "index.html", "data/index.js"
"""MARK: a file that tells a folder with a report from any other."""
EVALUATION = "evaluation.json"
"""A copy of what the last `photoveil evaluate` given here found."""
_FACES = 4  # of each person
_REACH = 1.1  # of a face's picture on each side of its middle, in spans of its landmarks


class Progress(Protocol):
    """Is told how far the drawing of pictures is."""

    def begin(self, total: int) -> None:
        """So many pictures are to be drawn."""

    def tick(self) -> None:
        """One of them is drawn."""


@dataclass(frozen=True)
class Request:
    """What is asked for.

    folder: of the report. caveat: the honest sentence. evaluation: a file of `photoveil evaluate`.
    portable: every photo is drawn, so that the folder can be taken elsewhere.
    """

    folder: str
    caveat: str
    evaluation: str | None = None
    portable: bool = False


@dataclass(frozen=True)
class Written:
    """What was written.

    files: in the manifest. drawn: pictures that were new. unseen: photos that cannot be shown.
    size: bytes of the whole report. page_size: of what the page loads at first.
    """

    page: str
    files: int
    drawn: int
    unseen: list[str]
    size: int
    page_size: int


def write_report(library: Library, request: Request, progress: Progress) -> Written:
    """Write the report of a library, or bring one up to date.

    Raises:
        LibraryError: `request.evaluation` is another file.
        OSError: the library cannot be read or the report not written.
    """
    folder = request.folder
    storage.make_private_folder(folder)
    protection = _protection(request)
    people = People(library.state)
    found = Collector(library, people)
    chunks = 0
    for chunks, details in enumerate(found.chunks(), 1):
        _script(folder, f"data/{chunks - 1}.js", "photoveilDetails", [chunks - 1, details])
    portable = request.portable or not (
        storage.is_local(library.source) and storage.is_local(library.root)
    )
    faces = dict(_faces(found, people, library))
    wanted = [
        part
        for picture in found.pictures.values()
        for part in pictures.parts_of(library, picture, portable)
    ]
    wanted += [part for parts in faces.values() for part in parts]
    there = pictures.present(folder)
    missing = [part for part in wanted if part.name not in there]
    progress.begin(len(missing))
    unseen = pictures.draw(missing, folder, ReadLimits(), progress.tick)
    _script(
        folder,
        MARK,
        "photoveilIndex",
        {
            **_columns(found.index),
            "library": getattr(read_identity(library.root), "id", ""),
            "originals": "" if portable else _url(library.source),
            "published": "" if portable else _url(library.root),
            "shown": pictures.SHOWN_BY_BROWSERS,
            "noMeasure": NO_MEASURE,
            "scale": SCALE,
            "chunk": CHUNK,
            "persons": [_person(one, faces.get(one.name, ())) for one in found.everyone],
            "command": _command(library),
            "review": review.read(library.state).model_dump(mode="json"),
        },
    )
    page = render(library, found, protection, request.caveat)
    pictures.write(storage.join(folder, PAGE), page)
    _clear(folder, {part.name for part in wanted}, chunks)
    first = [PAGE, MARK]
    sizes = {entry.relative: entry.size for entry in storage.walk(folder)}
    return Written(
        storage.join(folder, PAGE),
        len(found.index.file),
        len(missing),
        unseen,
        sum(sizes.values()),
        sum(sizes[name] for name in first),
    )


def _protection(request: Request) -> Protection | None:
    kept = storage.join(request.folder, EVALUATION)
    if request.evaluation is not None:
        found = evaluation_file.read(request.evaluation)
        pictures.write(kept, storage.read_bytes(request.evaluation))
        return found
    return evaluation_file.read(kept) if storage.exists(kept) else None


def _columns(index: Index) -> dict[str, Any]:
    columns = asdict(index)
    del columns["names"]
    return {"names": index.names, "columns": columns}


def _url(folder: str) -> str:
    return Path(folder).as_uri() + "/"


def _command(library: Library) -> list[str]:
    words = ("photoveil", "run", library.source, library.root, *state_option(library))
    return [shlex.quote(word) for word in words]


def _person(person: Person, faces: Sequence[Part]) -> dict[str, Any]:
    return {
        "id": person.name,
        "photos": len(person.photos),
        "faces": len(person.faces),
        "first": f"{person.first:%Y-%m-%d}" if person.first else "",
        "last": f"{person.last:%Y-%m-%d}" if person.last else "",
        "pictures": [part.name for part in faces],
    }


def _faces(
    found: Collector, people: People, library: Library
) -> Iterator[tuple[str, tuple[Part, ...]]]:
    """A few pictures of the cloaked faces of each person, spread over the years."""
    landmarks = people.landmarks()
    outputs = {row["source_sha256"]: row for row in found.written()}
    for person in found.everyone:
        there = [face for face in person.faces if face.split()[0] in outputs]
        step = max(1, math.ceil(len(there) / _FACES))
        parts = []
        for face in there[::step]:
            row = outputs[face.split()[0]]
            points = landmarks[face]
            reach = _REACH * float(np.ptp(points, axis=0).max())
            x, y = (float(value) for value in points.mean(axis=0))
            width, height = row["width"], row["height"]
            left, right = (x - reach) / width, (x + reach) / width
            box = (left, (y - reach) / height, right, (y + reach) / height)
            name = f"people/{row['output_sha256'][:20]}-{face.split()[1]}.webp"
            parts.append(Part(name, storage.join(library.root, row["output"]), pictures.FACE, box))
        yield person.name, tuple(parts)


def _script(folder: str, name: str, function: str, value: Any) -> None:
    text = json.dumps(value, separators=(",", ":"))  # ASCII, so the names of files do no harm
    pictures.write(storage.join(folder, name), f"{function}({text});\n".encode())


def _clear(folder: str, wanted: set[str], chunks: int) -> None:
    """Delete pictures of photos that were done anew or are gone, and data of earlier reports."""
    stale = pictures.present(folder) - wanted
    data = storage.join(folder, "data")
    names = (entry.relative for entry in storage.walk(data))
    numbers = {f"{number}.js" for number in range(chunks)} | {"index.js"}
    stale |= {f"data/{name}" for name in names if name not in numbers}
    for name in stale:
        storage.remove([storage.join(folder, name)])
