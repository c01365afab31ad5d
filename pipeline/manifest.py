"""The manifest: one row for each source file, as a Parquet dataset (docs/manifest.md)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms import storage
from transforms.cloak.measure import Measured
from transforms.discover import printable
from transforms.publish import Written

_POINT = pa.struct([("x", pa.float32()), ("y", pa.float32())])
_FACE = pa.struct(
    [
        (
            "box",
            pa.struct([(side, pa.float32()) for side in ("left", "top", "right", "bottom")]),
        ),
        ("landmarks", pa.list_(_POINT)),
        ("detector_score", pa.float32()),
        ("dssim", pa.float32()),
        ("flip", pa.float32()),
        ("steps", pa.int32()),
        (
            "cosine_shift",
            pa.list_(pa.struct([("surrogate", pa.string()), ("shift", pa.float32())])),
        ),
    ]
)
_TIME = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("output", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("duplicate_of", pa.string()),
        ("source_sha256", pa.string()),
        ("output_sha256", pa.string()),
        ("source_size", pa.int64()),
        ("output_size", pa.int64()),
        ("source_modified", _TIME),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("faces", pa.list_(_FACE)),
        ("notes", pa.list_(pa.string())),
        ("mode", pa.string()),
        ("settings_hash", pa.string()),
        ("assets_hash", pa.string()),
        ("version", pa.string()),
        ("run_id", pa.string()),
        ("finished", _TIME),
    ]
)

_YEAR_9999 = 253_370_764_800.0

STATUSES = ("cloaked", "no_face", "duplicate", "unchanged", "unsupported", "failed")


@dataclass(frozen=True)
class RunStamp:
    """What every row of a run says about the run."""

    run_id: str
    mode: str
    settings_hash: str
    assets_hash: str
    version: str


def manifest_row(photo: Written, measured: Sequence[Measured], stamp: RunStamp) -> dict[str, Any]:
    """The row of one file, as a dict that fits `SCHEMA`."""
    scan, ref = photo.scan, photo.ref
    faces = [
        {
            "box": dict(zip(("left", "top", "right", "bottom"), face.box, strict=True)),
            "landmarks": [{"x": x, "y": y} for x, y in face.landmarks],
            "detector_score": face.score,
            "dssim": figures.dssim,
            "flip": flip,
            "steps": steps,
            "cosine_shift": _pairs(figures.cosine_shift),
        }
        for face, figures, flip, steps in zip(
            photo.faces, measured, photo.flip, photo.steps, strict=True
        )
    ]
    return {
        "source": ref.source,
        "output": None if photo.output is None else printable(photo.output),
        "status": photo.status,
        "reason": photo.reason,
        "duplicate_of": photo.duplicate_of,
        "source_sha256": scan.sha256,
        "output_sha256": photo.output_sha256,
        "source_size": ref.size,
        "output_size": photo.output_size,
        "source_modified": utc(ref.mtime),
        "format": scan.format,
        "width": scan.width or None,
        "height": scan.height or None,
        "faces": faces,
        "notes": list(photo.notes),
        "mode": stamp.mode,
        "settings_hash": stamp.settings_hash,
        "assets_hash": stamp.assets_hash,
        "version": stamp.version,
        "run_id": stamp.run_id,
        "finished": utc(photo.finished),
    }


def read(folder: str) -> pa.Table:
    """All rows of the dataset in `folder`, one for each source: the latest.

    Rows fit `SCHEMA` and are in the order of their sources.
    """
    table = pa.concat_tables(
        [SCHEMA.empty_table(), *(read_part(path) for path in _parts(folder))],
        promote_options="default",
    )
    # Within a run no source comes twice, so the time tells the latest.
    order = pc.sort_indices(table, sort_keys=[("source", "ascending"), ("finished", "descending")])
    table = table.take(order)
    sources = table["source"].to_pylist()
    latest = [index == 0 or sources[index - 1] != name for index, name in enumerate(sources)]
    return table.filter(pa.array(latest, pa.bool_()))


def read_part(path: str) -> pa.Table:
    """The rows of one Parquet file, whose columns an older version may lack."""
    found = pq.read_table(pa.BufferReader(storage.read_bytes(path)))
    missing = [field for field in SCHEMA if field.name not in found.column_names]
    for field in missing:
        found = found.append_column(field, pa.nulls(len(found), field.type))
    return found.select(SCHEMA.names).cast(SCHEMA)


def compact(folder: str, scratch: str, name: str) -> pa.Table:
    """Put all parts of the dataset into one, named `name`; return its rows.

    A crash on the way leaves rows twice at worst, which `read` and the next compaction mend.
    """
    old = _parts(folder)
    table = read(folder)
    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression="zstd")
    target = storage.join(folder, f"{name}.parquet")
    storage.write_atomic(target, out.getvalue().to_pybytes(), scratch)
    storage.remove([path for path in old if path != target])
    return table


def _parts(folder: str) -> list[str]:
    if not storage.exists(folder):
        return []
    names = [entry.relative for entry in storage.walk(folder)]
    return [storage.join(folder, name) for name in names if name.endswith(".parquet")]


def utc(seconds: float) -> dt.datetime:
    """A time since the epoch as an aware datetime, to the microsecond that Parquet keeps."""
    # A camera with a dead clock or a broken copy may give a time outside the calendar.
    return dt.datetime.fromtimestamp(round(min(max(seconds, 0.0), _YEAR_9999), 6), dt.UTC)


def _pairs(shifts: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"surrogate": name, "shift": shift} for name, shift in shifts.items()]
