"""The manifest: one row for each source file, as a Parquet dataset (docs/manifest.md)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from photoveil.pipeline.library import sequence
from photoveil.transforms.io import parquet, storage
from photoveil.transforms.io.storage import printable
from photoveil.transforms.naming import output_names
from photoveil.transforms.records import PhotoRef, Placed, Status

if TYPE_CHECKING:  # they load TensorFlow and codecs, which most that read a manifest do not need
    from photoveil.transforms.records import Measured, WrittenPhoto

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
        ("delta_e", pa.float32()),
        ("drawn_contrast", pa.float32()),
        ("shift_peak", pa.float32()),
        ("shift_rms", pa.float32()),
        ("stretch", pa.float32()),
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
        ("retry", pa.bool_()),
        ("duplicate_of", pa.string()),
        ("distance", pa.int32()),
        ("source_sha256", pa.string()),
        ("output_sha256", pa.string()),
        ("source_size", pa.int64()),
        ("output_size", pa.int64()),
        ("source_modified", _TIME),
        ("pdq", pa.string()),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("faces", pa.list_(_FACE)),
        ("notes", pa.list_(pa.string())),
        ("mode", pa.string()),
        ("settings_hash", pa.string()),
        ("assets_hash", pa.string()),
        ("output_version", pa.int32()),
        ("review", pa.string()),
        ("version", pa.string()),
        ("run_id", pa.string()),
        ("finished", _TIME),
        ("gone", _TIME),
    ]
)

YEAR_9999 = 253_370_764_800.0

_WHOLE = "-whole"  # ends the name of a part that holds all rows of those before it


@dataclass(frozen=True)
class RunStamp:
    """What the rows of a run say about it; see `pipeline.fingerprints`.

    settings_hash: of settings that decide how an output looks. tries_hash: of those that decide
        whether there is one, too; in rows without an output. assets_hash: of the models.
    output_version: of the code that makes outputs. version: of the package.
    """

    run_id: str
    mode: str
    settings_hash: str
    tries_hash: str
    assets_hash: str
    output_version: int
    version: str


def manifest_row(
    photo: WrittenPhoto, measured: Sequence[Measured], stamp: RunStamp
) -> dict[str, Any]:
    """The row of one photo, without its exact duplicates, as a dict that fits `SCHEMA`."""
    scan, ref = photo.scan, photo.ref
    faces = [
        {
            "box": dict(zip(("left", "top", "right", "bottom"), face.box, strict=True)),
            "landmarks": [{"x": x, "y": y} for x, y in face.landmarks],
            "detector_score": face.score,
            "dssim": seen.dssim,
            "flip": seen.flip,
            "delta_e": seen.delta_e,
            "drawn_contrast": seen.contrast,
            "shift_peak": seen.shift_peak,
            "shift_rms": seen.shift_rms,
            "stretch": seen.stretch,
            "steps": steps,
            "cosine_shift": _pairs(figures.cosine_shift),
        }
        for face, figures, seen, steps in zip(
            photo.faces, measured, photo.seen, photo.steps, strict=True
        )
    ]
    return {
        "source": ref.source,
        "output": None if photo.output is None else printable(photo.output),
        "status": photo.status,
        "reason": photo.reason,
        "retry": photo.retry,
        "duplicate_of": scan.duplicate_of,
        "distance": scan.distance,
        "source_sha256": scan.sha256,
        "output_sha256": photo.output_sha256,
        "source_size": ref.size,
        "output_size": photo.output_size,
        "source_modified": utc(ref.mtime),
        "pdq": scan.pdq and scan.pdq.hex(),
        "format": scan.format,
        "width": scan.width or None,
        "height": scan.height or None,
        "faces": faces,
        "notes": [*photo.notes, *_naming(photo)],
        "mode": stamp.mode,
        "settings_hash": stamp.tries_hash if photo.output is None else stamp.settings_hash,
        "assets_hash": stamp.assets_hash,
        "output_version": stamp.output_version,
        "review": scan.review,
        "version": stamp.version,
        "run_id": stamp.run_id,
        "finished": utc(photo.finished),
        "gone": None,
    }


def copy_row(row: Mapping[str, Any], copy: Placed) -> dict[str, Any]:
    """The row of an exact duplicate, from that of its twin."""
    if copy.reason is not None:
        return {
            **_at(row, copy.ref, None),
            **{"status": Status.FAILED, "reason": copy.reason, "retry": copy.retry},
            **{"duplicate_of": None, "distance": None},
            **{"output_sha256": None, "output_size": None, "faces": [], "notes": []},
        }
    if row["output"] is None:
        return _at(row, copy.ref, None)
    of = row["duplicate_of"] if row["status"] == Status.DUPLICATE else row["source"]
    return {
        **_at(row, copy.ref, copy.ref),
        "status": Status.DUPLICATE,
        "duplicate_of": of,
        "distance": 0,
    }


def moved_row(row: Mapping[str, Any], ref: PhotoRef) -> dict[str, Any]:
    """The row of a file that has another name or date than when `row` was made."""
    return _at(row, ref, ref)


def removed_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Takes the row of a source out of the manifest.

    The row that says so lives until the next compaction: until then its output, if no other row
    names it, still has to be deleted.
    """
    return {**row, "status": Status.REMOVED}


def _at(row: Mapping[str, Any], ref: PhotoRef, output: PhotoRef | None) -> dict[str, Any]:
    return {
        **row,
        "source": ref.source,
        "output": None if output is None else printable(output.output),
        "notes": [
            *output_names.other_notes(row["notes"] or ()),
            *(() if output is None else output_names.note(output.naming)),
        ],
        "source_size": ref.size,
        "source_modified": utc(ref.mtime),
        "gone": None,
    }


def read(folder: str, columns: Sequence[str] = tuple(SCHEMA.names)) -> pa.Table:
    """All rows of the dataset in `folder`, one for each source, in the order of their sources.

    Args:
        columns: those of `SCHEMA` that are needed.
    """
    table = _latest(folder, columns)
    return table.filter(pc.not_equal(table["status"], Status.REMOVED)).select(columns)


class RowsBySource:
    """Finds rows by their sources, again and again while parts are added.

    Each part is read once. None may be taken away meanwhile, as a compaction does.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._parts: dict[str, pa.Table] = {}
        self._places: dict[str, tuple[str, int]] = {}

    def update(self) -> None:
        """Read the parts that were added."""
        for path in _parts(self._folder):
            if path not in self._parts:
                table = self._parts[path] = read_part(path)
                for number, source in enumerate(table["source"].to_pylist()):
                    self._places[source] = (path, number)

    def find(self, source: str) -> dict[str, Any] | None:
        """Return the latest row of a source, None where it has none."""
        if source not in self._places:
            return None
        path, number = self._places[source]
        row: dict[str, Any] = self._parts[path].slice(number, 1).to_pylist()[0]
        return None if row["status"] == Status.REMOVED else row


def abandoned(folder: str) -> list[dict[str, Any]]:
    """The last row of each output that no row names now, and that one did since the compaction.

    Outputs of photos that are tried again count as named: they are about to be written over.
    """
    schema = pa.schema([SCHEMA.field("source"), SCHEMA.field("output")])
    parts = (read_part(path, schema).to_pylist() for path in _parts(folder))
    before = {(row["source"], row["output"]) for part in parts for row in part}
    rows = read(folder, ["source", "output", "retry"]).to_pylist()
    tried_again = {row["source"] for row in rows if row["retry"]}
    now = {row["output"] for row in rows} | {name for of, name in before if of in tried_again}
    lost = pa.array(sorted({name for _, name in before} - now - {None}), pa.string())
    found: dict[str, dict[str, Any]] = {}
    for path in _parts(folder) if len(lost) else ():
        table = read_part(path)
        for row in table.filter(pc.is_in(table["output"], lost)).to_pylist():
            # A row that removes its source no longer says what its status was.
            if row["status"] != Status.REMOVED or row["output"] not in found:
                found[row["output"]] = row
    return list(found.values())


def failures(folder: str) -> list[tuple[str, str]]:
    """The sources that failed when they were last tried, and why."""
    table = read(folder, ["source", "reason", "status"])
    failed = table.filter(pc.equal(table["status"], Status.FAILED))
    return list(zip(failed["source"].to_pylist(), failed["reason"].to_pylist(), strict=True))


def _latest(folder: str, columns: Sequence[str]) -> pa.Table:
    """The latest row of each source, by the numbers of the parts, in the order of the sources."""
    wanted = list(dict.fromkeys((*columns, "source", "status")))
    schema = pa.schema([SCHEMA.field(name) for name in wanted])
    parts = [read_part(path, schema) for path in _parts(folder)]
    table = pa.concat_tables([schema.empty_table(), *parts])
    if len(parts) == 1 and _is_sorted(table["source"]):  # as the last run left it
        return table
    numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    keyed = table.append_column("_part", pa.array(numbers, pa.int64()))
    order = pc.sort_indices(keyed, sort_keys=[("source", "ascending"), ("_part", "descending")])
    table = table.take(order)
    is_other = pc.not_equal(table["source"][1:], table["source"][:-1]).to_numpy()
    return table.filter(pa.array(np.insert(is_other, 0, True)[: len(table)], pa.bool_()))


def _is_sorted(sources: pa.ChunkedArray) -> bool:
    """True if each source comes after the one before it and none comes twice."""
    return bool(pc.all(pc.greater(sources[1:], sources[:-1])).as_py() is not False)


def _parts(folder: str) -> list[str]:
    """The parts that count, oldest first: those from the last compaction on."""
    paths = sequence.oldest_first(parquet.parts(folder))
    wholes = [place for place, path in enumerate(paths) if path.endswith(f"{_WHOLE}.parquet")]
    return paths[wholes[-1] if wholes else 0 :]


def read_part(path: str, schema: pa.Schema = SCHEMA) -> pa.Table:
    """The rows of one Parquet file, whose columns an older version may lack.

    Raises:
        OSError: it cannot be read or was damaged.
    """
    try:
        return parquet.read_as(path, schema)
    except parquet.DamagedTable as error:
        raise OSError(f"{error}. `photoveil verify` says how to mend it") from error


def write_part(rows: Sequence[Mapping[str, Any]], folder: str, scratch: str, name: str) -> None:
    """Add rows to the dataset as one part."""
    _write(pa.Table.from_pylist(list(rows), SCHEMA), folder, scratch, name)


def compact(folder: str, scratch: str, name: str) -> None:
    """Put all parts of the dataset into one.

    A crash on the way leaves parts that no longer count, and that the next compaction deletes.

    Args:
        name: of a part that would come after all others.
    """
    old = parquet.parts(folder)
    _write(read(folder), folder, scratch, f"{name}{_WHOLE}")
    storage.remove(old)


def is_compact(folder: str) -> bool:
    """True when no run has left the dataset in several parts."""
    return len(parquet.parts(folder)) < 2


def _write(table: pa.Table, folder: str, scratch: str, name: str) -> None:
    parquet.write(table, storage.join(folder, f"{name}.parquet"), scratch)


def utc(seconds: float) -> dt.datetime:
    """A time since the epoch as an aware datetime, to the microsecond that Parquet keeps."""
    # A camera with a dead clock or a broken copy may give a time outside the calendar.
    return dt.datetime.fromtimestamp(round(min(max(seconds, 0.0), YEAR_9999), 6), dt.UTC)


def _naming(photo: WrittenPhoto) -> tuple[str, ...]:
    return () if photo.output is None else output_names.note(photo.ref.naming)


def _pairs(shifts: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"surrogate": name, "shift": shift} for name, shift in shifts.items()]
