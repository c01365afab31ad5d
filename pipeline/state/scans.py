"""The scan's results on disk, between the two pipelines of a wave.

They hold pictures of faces, so they lie in the private state and are deleted with the wave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from photoveil.pipeline.state import tables
from photoveil.pipeline.state.scan_cache import LOST, ScanCache
from photoveil.pipeline.state.scan_table import SCHEMA, ref_from_row, ref_to_row
from photoveil.transforms.io import parquet
from photoveil.transforms.records import (
    CROP_SIZE,
    ContentGroup,
    EmbeddedKind,
    Face,
    FileKind,
    Leak,
    ScannedPhoto,
    Status,
)


def to_row(photo: ScannedPhoto) -> dict[str, Any]:
    """The row of one scanned photo, as a dict that fits `SCHEMA`."""
    return {
        "ref": ref_to_row(photo.ref),
        "sha256": photo.sha256,
        "format": photo.format,
        "width": photo.width,
        "height": photo.height,
        "boxes": [list(face.box) for face in photo.faces],
        "landmarks": [[v for point in face.landmarks for v in point] for face in photo.faces],
        "scores": [face.score for face in photo.faces],
        "crops": photo.crops.tobytes(),
        "tiny_faces": photo.tiny_faces,
        "status": photo.status,
        "reason": photo.reason,
        "retry": photo.retry,
        "copies": [ref_to_row(ref) for ref in photo.copies],
        "pdq": photo.pdq,
        "embeddings": photo.embeddings.tobytes(),
        "taken": photo.taken,
        "inside": [{"where": one.where, "what": one.what} for one in photo.inside],
    }


def read_scans(folder: str) -> Iterator[ScannedPhoto]:
    """The scanned photos of one wave, in the order of their names."""
    rows = parquet.gathered(folder, SCHEMA).to_pylist()
    return (from_row(row) for row in sorted(rows, key=lambda row: row["ref"]["relative"]))


def scanned_ahead(
    ahead: ScanCache, groups: Iterable[ContentGroup]
) -> tuple[list[ScannedPhoto], list[ContentGroup]]:
    """The scans of these photos that were made ahead, and the photos that have to be scanned.

    Raises:
        OSError: a scan cannot be read, or is damaged.
    """
    wanted = {group.ref: group for group in groups}
    parts = {found.part for found in map(ahead.find, wanted) if found is not None}
    ready = [
        replace(photo, copies=wanted[photo.ref].copies)
        for part in sorted(parts)
        for photo in map(from_row, tables.read(part, SCHEMA, LOST).to_pylist())
        if photo.ref in wanted
    ]
    there = {photo.ref for photo in ready}
    return ready, [group for ref, group in wanted.items() if ref not in there]


def from_row(row: dict[str, Any]) -> ScannedPhoto:
    """The scanned photo of a row of `SCHEMA`."""
    faces = tuple(
        Face(tuple(box), tuple(zip(marks[::2], marks[1::2], strict=True)), score)
        for box, marks, score in zip(row["boxes"], row["landmarks"], row["scores"], strict=True)
    )
    crops = np.frombuffer(row["crops"], np.uint8).reshape(len(faces), CROP_SIZE, CROP_SIZE, 3)
    return ScannedPhoto(
        ref_from_row(row["ref"]),
        row["sha256"],
        row["format"],
        row["width"],
        row["height"],
        faces,
        crops,
        row["tiny_faces"],
        _status(row["status"]),
        row["reason"],
        row["retry"],
        tuple(ref_from_row(ref) for ref in row["copies"]),
        row["pdq"],
        embeddings=_embeddings(row["embeddings"], len(faces)),
        taken=row["taken"],
        inside=tuple(Leak(one["where"], EmbeddedKind(one["what"])) for one in row["inside"]),
    )


def _status(value: str | None) -> Status | FileKind | None:
    """The enum member of a value of the column `status`: what is read back is plain text."""
    if value is None:
        return None
    return Status(value) if value in set(Status) else FileKind(value)


def _embeddings(data: bytes, count: int) -> np.ndarray:
    return np.frombuffer(data, np.float32).reshape(count, -1 if count else 0)
