"""The scan's results on disk, between the two pipelines of a wave.

They hold pictures of faces, so they lie in the private state and are deleted with the wave.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from transforms import tables
from transforms.discover import PhotoRef
from transforms.faces.align import CROP_SIZE
from transforms.faces.detect import Face
from transforms.scan import ScannedPhoto

_FLOATS = pa.list_(pa.float64())
_REF = pa.struct(
    [
        ("root", pa.string()),
        ("relative", pa.binary()),  # file names may be no UTF-8
        ("size", pa.int64()),
        ("mtime", pa.float64()),
        ("problem", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        ("ref", _REF),
        ("sha256", pa.string()),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("boxes", pa.list_(_FLOATS)),
        ("landmarks", pa.list_(_FLOATS)),
        ("scores", _FLOATS),
        ("crops", pa.binary()),
        ("tiny_faces", pa.int32()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("retry", pa.bool_()),
        ("copies", pa.list_(_REF)),
        ("pdq", pa.binary()),
        ("embeddings", pa.binary()),
        ("taken", pa.timestamp("ms")),
    ]
)


def to_row(photo: ScannedPhoto) -> dict[str, Any]:
    """The row of one scanned photo, as a dict that fits `SCHEMA`."""
    return {
        "ref": _ref_to_row(photo.ref),
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
        "copies": [_ref_to_row(ref) for ref in photo.copies],
        "pdq": photo.pdq,
        "embeddings": photo.embeddings.tobytes(),
        "taken": photo.taken,
    }


def read_scans(folder: str) -> Iterator[ScannedPhoto]:
    """The scanned photos of one wave, in the order of their names."""
    rows = tables.gathered(folder, SCHEMA).to_pylist()
    return (from_row(row) for row in sorted(rows, key=lambda row: row["ref"]["relative"]))


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
        row["status"],
        row["reason"],
        row["retry"],
        tuple(ref_from_row(ref) for ref in row["copies"]),
        row["pdq"],
        embeddings=_embeddings(row["embeddings"], len(faces)),
        taken=row["taken"],
    )


def _embeddings(data: bytes, count: int) -> np.ndarray:
    return np.frombuffer(data, np.float32).reshape(count, -1 if count else 0)


def _ref_to_row(ref: PhotoRef) -> dict[str, Any]:
    return {**asdict(ref), "relative": os.fsencode(ref.relative)}


def ref_from_row(row: dict[str, Any]) -> PhotoRef:
    """The reference in a row of `SCHEMA`."""
    return PhotoRef(**{**row, "relative": os.fsdecode(row["relative"])})
