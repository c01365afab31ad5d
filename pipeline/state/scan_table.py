"""The table of scans: its columns, and the references to files in it."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from photoveil.transforms.records import PhotoRef

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
        ("inside", pa.list_(pa.struct([("where", pa.string()), ("what", pa.string())]))),
    ]
)


def ref_to_row(ref: PhotoRef) -> dict[str, Any]:
    """A reference as a value of the columns `ref` and `copies`."""
    row = {**asdict(ref), "relative": os.fsencode(ref.relative)}
    del row["naming"]  # each run gives it anew
    return row


def ref_from_row(row: dict[str, Any]) -> PhotoRef:
    """The reference in a row of `SCHEMA`."""
    return PhotoRef(**{**row, "relative": os.fsdecode(row["relative"])})
