"""A library of any size whose manifest and people are made up, to see what grows with its size.

No photo is cloaked: the files of IN and OUT are links to a few photos.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from photoveil.pipeline.library import manifest, sequence
from photoveil.pipeline.library.library import Library, open_library
from photoveil.pipeline.state import known_people
from photoveil.pipeline.state.people import FACES
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import Status

_FIRST_DAY = dt.datetime(2009, 1, 1, 8, 0, tzinfo=dt.UTC)
_STATUSES = {
    Status.CLOAKED: 0.86,
    Status.NO_FACE: 0.1,
    Status.FAILED: 0.02,
    Status.UNSUPPORTED: 0.02,
}
_REASONS = {
    Status.FAILED: (Reason.DAMAGED, Reason.EMPTY),
    Status.UNSUPPORTED: (Reason.NO_PHOTO,),
}
_WRITTEN = (Status.CLOAKED, Status.NO_FACE)


def make_library(
    base: Path, files: int, photos: Sequence[Path], people: int = 300, seed: int = 0
) -> Library:
    """Make IN, OUT and the private state below a folder.

    Args:
        photos: JPEGs that all files are links to, on the same disk.
    """
    (base / "photos").mkdir(parents=True)
    library = open_library(str(base / "photos"), str(base / "out"), str(base / "state"))
    rng = np.random.default_rng(seed)
    sizes = [Image.open(photo).size for photo in photos]
    statuses = rng.choice(list(_STATUSES), size=files, p=list(_STATUSES.values()))
    rows: list[dict[str, Any]] = []
    for number, status in enumerate(statuses):
        which = number % len(photos)
        row = _row(number, Status(str(status)), sizes[which], rng)
        for root in (base / "photos", base / "out") if row["output"] else ():
            target = root / row["source"]
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(photos[which], target)
        rows.append(row)
    name = next(sequence.names(library, "made-up"))
    manifest.write_part(rows, library.manifest, library.scratch, name)
    _write_people(base / "state", rows, people, rng)
    return library


def _row(
    number: int, status: Status, size: tuple[int, int], rng: np.random.Generator
) -> dict[str, Any]:
    day = _FIRST_DAY + dt.timedelta(hours=2.9 * number)
    source = f"{day:%Y/%m}/IMG_{day:%Y%m%d}_{number:05}.jpg"
    is_written = status in _WRITTEN
    faces = _faces(size, rng) if status == Status.CLOAKED else []
    reasons = _REASONS.get(status, (None,))
    return {
        **dict.fromkeys(manifest.SCHEMA.names),
        "source": source,
        "output": source if is_written else None,
        "status": status,
        "reason": reasons[number % len(reasons)],
        "retry": False,
        "source_sha256": hashlib.sha256(f"source {number}".encode()).hexdigest(),
        "output_sha256": hashlib.sha256(f"output {number}".encode()).hexdigest(),
        "source_size": 4_000_000,
        "output_size": 4_000_000,
        "source_modified": day,
        "format": "JPEG" if is_written else None,
        "width": size[0] if is_written else None,
        "height": size[1] if is_written else None,
        "faces": faces,
        "notes": ["EXIF thumbnail rebuilt"] if faces else [],
        "mode": "mid",
        "finished": day,
    }


def _faces(size: tuple[int, int], rng: np.random.Generator) -> list[dict[str, Any]]:
    found = []
    for _ in range(int(rng.integers(1, 4))):
        side = 0.2 * min(size)
        left, top = (float(rng.uniform(0, length - side)) for length in size)
        points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
        found.append(
            {
                "box": {"left": left, "top": top, "right": left + side, "bottom": top + side},
                "landmarks": [{"x": left + x * side, "y": top + y * side} for x, y in points],
                "detector_score": 0.99,
                "dssim": float(rng.normal(0.017, 0.001)),
                "flip": float(abs(rng.normal(0.055, 0.01))),
                "delta_e": float(abs(rng.normal(0.8, 0.15))),
                "steps": 36,
                "cosine_shift": [
                    {"surrogate": name, "shift": float(rng.uniform(0.3, 0.9))}
                    for name in ("mobilefacenet", "sface", "faceres")
                ],
            }
        )
    return found


def _write_people(
    state: Path, rows: Sequence[dict[str, Any]], people: int, rng: np.random.Generator
) -> None:
    # A few people are in most of the photos.
    share = 1 / np.arange(1, people + 1)
    keyed = [(row, number, face) for row in rows for number, face in enumerate(row["faces"])]
    whose = rng.choice(people, size=len(keyed), p=share / share.sum())
    faces = [
        {
            **dict.fromkeys(FACES.names),
            "face": f"{row['source_sha256']} {number}",
            "sha256": row["source_sha256"],
            "embedding": bytes(384),
            "landmarks": [value for point in face["landmarks"] for value in point.values()],
            "taken": row["source_modified"].replace(tzinfo=None),
        }
        for row, number, face in keyed
    ]
    folder = state / known_people.FOLDER
    (folder / "faces").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(faces, FACES), folder / "faces" / "all.parquet")
    known = [
        {"face": row["face"], "person": f"p{person:06x}"}
        for row, person in zip(faces, whose, strict=True)
    ]
    table = pa.Table.from_pylist(known, known_people.SCHEMA)
    pq.write_table(table, folder / known_people.FILE)
