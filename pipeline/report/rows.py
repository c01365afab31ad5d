"""The rows of a report: what its page needs of the manifest and of the people, and no more.

Columns that later versions add to a face, such as another measure of visibility, are shown by the
name that they have in the manifest.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.state.people import People, Person
from photoveil.transforms.records import Status

CHUNK = 250  # rows of which the page loads the details at once
NO_MEASURE = -1
"""In the columns of measures: the photo has no cloaked face."""
SCALE = 10_000
"""Measures are kept as whole numbers of so many parts."""

# Of a face, what is no measure of how visible its cloak is.
_NO_VISIBILITY = ("detector_score", "steps")
_NEAR = 0.25  # of a face's width, between two noses of one face


@dataclass(frozen=True)
class Index:
    """One row a file, as columns: all that the page filters and sorts by.

    folder, status, mode, reason: indices into `names`. day: days since 1970, of the photo where
    that is known, else of the file. faces: how many. people: indices of who is in it.
    measures: by name, the largest of the photo's faces times `SCALE`, or NO_MEASURE.
    picture: name of the thumbnail without its suffix, "" where there is none.
    """

    names: dict[str, list[str]] = field(
        default_factory=lambda: {name: [] for name in ("folder", "status", "mode", "reason")}
    )
    file: list[str] = field(default_factory=list)
    folder: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    mode: list[int] = field(default_factory=list)
    reason: list[int] = field(default_factory=list)
    day: list[int] = field(default_factory=list)
    faces: list[int] = field(default_factory=list)
    people: list[list[int]] = field(default_factory=list)
    measures: dict[str, list[int]] = field(default_factory=dict)
    picture: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Picture:
    """A picture that the page wants. key: its name. source, output: paths below IN and OUT."""

    key: str
    source: str
    output: str
    format: str


class Collector:
    """Goes once through the manifest.

    Args:
        people: whose faces are in the photos.
    """

    def __init__(self, library: Library, people: People) -> None:
        self._table = manifest.read(library.manifest)
        self.everyone: list[Person] = people.everyone()
        self._who = _Who(people, self.everyone)
        self.measures = measures_of(self._table.schema)
        self.index = Index(measures={name: [] for name in self.measures})
        self.pictures: dict[str, Picture] = {}
        self.days: Counter[str] = Counter()
        self.room = 0
        self._places: dict[str, dict[str, int]] = {name: {} for name in self.index.names}

    @property
    def statuses(self) -> Counter[str]:
        """Files by status."""
        return Counter(self._table["status"].to_pylist())

    def written(self) -> list[dict[str, Any]]:
        """The rows of files that have an output with pixels, without their faces."""
        columns = ["source_sha256", "output", "output_sha256", "width", "height"]
        rows = self._table.select(columns).to_pylist()
        return [row for row in rows if row["output"] is not None and row["width"]]

    def chunks(self) -> Iterator[list[dict[str, Any]]]:
        """The details of the rows, `CHUNK` at a time; fills the other fields on the way."""
        for start in range(0, len(self._table), CHUNK):
            rows = self._table.slice(start, CHUNK).to_pylist()
            yield [self._add(row) for row in rows]

    def _add(self, row: Mapping[str, Any]) -> dict[str, Any]:
        index, faces = self.index, row["faces"] or []
        folder, _, file = row["source"].rpartition("/")
        who = [self._who.of(row["source_sha256"], face) for face in faces]
        taken = self._who.taken.get(row["source_sha256"]) or row["source_modified"]
        index.file.append(file)
        for name, value in (
            ("folder", folder),
            ("status", row["status"]),
            ("mode", row["mode"] or ""),
            ("reason", row["reason"] or ""),
        ):
            getattr(index, name).append(self._place(name, value))
        index.day.append((taken.date() - dt.date(1970, 1, 1)).days)
        index.faces.append(len(faces))
        index.people.append(sorted({person for person in who if person is not None}))
        for name in self.measures:
            values = [face[name] for face in faces if face.get(name) is not None]
            index.measures[name].append(round(SCALE * max(values)) if values else NO_MEASURE)
        index.picture.append(self._picture(row))
        if row["output"] is not None:
            self.room += row["output_size"] or 0
        if row["status"] in (Status.CLOAKED, Status.NO_FACE, Status.UNCHANGED):
            self.days[f"{taken:%Y}"] += 1
        return _details(row, faces, who)

    def _place(self, name: str, value: str) -> int:
        places = self._places[name]
        if value not in places:
            places[value] = len(places)
            self.index.names[name].append(value)
        return places[value]

    def _picture(self, row: Mapping[str, Any]) -> str:
        if row["output"] is None or not row["width"]:
            return ""
        key: str = row["output_sha256"][:20]
        self.pictures.setdefault(
            key, Picture(key, row["source"], row["output"], row["format"] or "")
        )
        return key


def _details(
    row: Mapping[str, Any], faces: list[dict[str, Any]], who: list[int | None]
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "sha": row["source_sha256"],
        "size": [row["width"], row["height"]],
        "format": row["format"],
        "bytes": row["source_size"],
        "faces": [
            {
                "box": [round(face["box"][side]) for side in ("left", "top", "right", "bottom")],
                "person": person,
                "figures": dict(figures_of(face)),
            }
            for face, person in zip(faces, who, strict=True)
        ],
    }
    # What most rows lack is left out.
    if row["output"] != row["source"]:
        found["output"] = row["output"]
    for name in ("duplicate_of", "notes"):
        if row[name]:
            found[name] = row[name]
    if row["gone"] is not None:
        found["gone"] = True
    return found


def figures_of(face: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """All numbers of a face, by name; those of a list by the name of each of its items."""
    for name, value in face.items():
        if isinstance(value, int | float):
            yield name, round(value, 4)
        elif isinstance(value, list) and name != "landmarks":
            for item in value:
                words = [part for part in item.values() if isinstance(part, str)]
                numbers = [part for part in item.values() if isinstance(part, int | float)]
                if words and numbers:
                    yield f"{name} {words[0]}", round(numbers[0], 4)


def measures_of(schema: pa.Schema) -> list[str]:
    """The names of the figures of a face that say how visible its cloak is, FLIP first."""
    face = schema.field("faces").type.value_type
    fields = [face.field(place) for place in range(face.num_fields)]
    names = [
        one.name for one in fields if pt.is_floating(one.type) and one.name not in _NO_VISIBILITY
    ]
    return sorted(names, key=lambda name: name != "flip")


class _Who:
    """Whose face is where in which photo."""

    def __init__(self, people: People, everyone: list[Person]) -> None:
        numbers = {face: n for n, person in enumerate(everyone) for face in person.faces}
        self.taken = people.taken()
        self._faces: dict[str, list[tuple[np.ndarray, int]]] = {}
        for face, landmarks in people.landmarks().items():
            if face in numbers:
                self._faces.setdefault(face.split()[0], []).append((landmarks[2], numbers[face]))

    def of(self, sha256: str | None, face: Mapping[str, Any]) -> int | None:
        """Number of the person of a face of the manifest; None where nobody knows."""
        there = self._faces.get(sha256 or "", [])
        if not there:
            return None
        nose = np.array([face["landmarks"][2]["x"], face["landmarks"][2]["y"]])
        away = [float(np.abs(nose - other).max()) for other, _ in there]
        nearest = int(np.argmin(away))
        width = face["box"]["right"] - face["box"]["left"]
        return there[nearest][1] if away[nearest] <= _NEAR * width else None
