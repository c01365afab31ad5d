"""The rows of the manifest beside the files of the archive, as Arrow columns.

As Python objects, rows take ten times their memory. A plan needs only those of files that it works
on, or that are gone; it learns from the columns that all others are done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from photoveil.pipeline.library.manifest import YEAR_9999, RunStamp
from photoveil.transforms.io.storage import Entry
from photoveil.transforms.io.system_files import is_junk
from photoveil.transforms.records import PhotoRef, Status

_AT_ONCE = 10_000  # rows that are Python objects at a time

Row = Mapping[str, Any]


class ListedRows:
    """The rows of the manifest, and which of them each file of the archive has.

    as_it_was: bool (files,), true for a file that has the size and time of its row.

    Args:
        table: the manifest's, one row a source, with the columns of a plan.
        refs: the archive.
    """

    def __init__(self, table: pa.Table, refs: Sequence[PhotoRef]) -> None:
        self._table = table
        self._numbers = self._find([ref.source for ref in refs])
        sizes = np.fromiter((ref.size for ref in refs), np.int64, len(refs))
        times = np.fromiter((ref.mtime for ref in refs), np.float64, len(refs))
        size, time = _integers(table["source_size"]), _integers(table["source_modified"])
        self.as_it_was = self._of_files(size) == sizes
        self.as_it_was &= self._of_files(time) == _microseconds(times)

    def done(self, outputs: Mapping[str, Entry], stamp: RunStamp) -> np.ndarray:
        """Tell of which files it is sure that a run without a review has nothing to do for them.

        Args:
            outputs: the files of the library, by name.
            stamp: of the run.

        Returns:
            bool (files,). The others have to be looked at one by one.
        """
        table = self._table
        names = pa.array(list(outputs), pa.string())
        sizes = pa.array([entry.size for entry in outputs.values()], pa.int64())
        held = sizes.take(pc.index_in(table["output"].combine_chunks(), value_set=names))
        current = pc.and_(pc.is_null(table["review"]), pc.equal(held, table["output_size"]))
        for name in ("mode", "settings_hash", "assets_hash", "output_version"):
            current = pc.and_(current, pc.equal(table[name], getattr(stamp, name)))
        return self.as_it_was & self._of_files(_mask(current))

    def of(self, files: np.ndarray) -> Iterator[Row | None]:
        """Return the row of each of some files, by their numbers; None for one that has none."""
        for start in range(0, len(files), _AT_ONCE):
            numbers = self._numbers[files[start : start + _AT_ONCE]]
            found = iter(self.take(numbers[numbers >= 0]))
            yield from (next(found) if number >= 0 else None for number in numbers)

    def take(self, numbers: np.ndarray) -> list[Row]:
        """Return rows by their own numbers."""
        rows: list[Row] = self._table.take(pa.array(numbers, pa.int64())).to_pylist()
        return rows

    def having(self, files: np.ndarray) -> np.ndarray:
        """Tell which rows are of some of the files: bool (rows,), for bool (files,)."""
        mask = np.zeros(len(self._table), bool)
        numbers = self._numbers[files]
        mask[numbers[numbers >= 0]] = True
        return mask

    def named(self, sources: Collection[str]) -> np.ndarray:
        """Tell which rows have one of these sources: bool (rows,)."""
        return self._among("source", sources)

    def of_content(self, hashes: Iterable[str]) -> np.ndarray:
        """Tell which rows are of a source with one of these bytes, by sha256: bool (rows,)."""
        return self._among("source_sha256", set(hashes))

    def photos(self) -> np.ndarray:
        """Tell which rows have a photo of the user's as output, no sidecar: bool (rows,)."""
        table = self._table
        mask = _mask(
            pc.and_(pc.is_valid(table["output"]), pc.not_equal(table["status"], Status.COMPANION))
        )
        for chunk, start in _chunks(table["source"]):
            mask[start : start + len(chunk)] &= [not is_junk(name) for name in chunk.to_pylist()]
        return mask

    def left_out(self) -> np.ndarray:
        """Tell which rows are of near duplicates that were left out: bool (rows,)."""
        return _mask(pc.equal(self._table["status"], Status.SKIPPED))

    def gone(self) -> np.ndarray:
        """Tell which rows are marked as gone: bool (rows,)."""
        return _mask(pc.is_valid(self._table["gone"]))

    def sizes_with_output(self) -> np.ndarray:
        """Return the sizes of sources that have outputs, int64 (m,)."""
        return _integers(self._table["source_size"].filter(pc.is_valid(self._table["output"])))

    def _find(self, sources: Sequence[str]) -> np.ndarray:
        names = self._table["source"].combine_chunks()
        found = pc.index_in(pa.array(sources, pa.string()), value_set=names)
        return _integers(found)

    def _among(self, column: str, values: Collection[str]) -> np.ndarray:
        wanted = pa.array(list(values), pa.string())
        return _mask(pc.is_in(self._table[column], value_set=wanted))

    def _of_files(self, column: np.ndarray) -> np.ndarray:
        """The value of each file's row; 0, false or -1 for a file that has none."""
        nothing = np.array([column.dtype.type(0) if column.dtype == bool else -1], column.dtype)
        return np.concatenate([column, nothing])[self._numbers]


def _chunks(column: pa.ChunkedArray) -> Iterator[tuple[pa.ChunkedArray, int]]:
    for start in range(0, len(column), _AT_ONCE):
        yield column.slice(start, _AT_ONCE), start


def _integers(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column as int64, times in microseconds; -1 for null."""
    numbers: np.ndarray = pc.fill_null(column.cast(pa.int64()), -1).to_numpy()
    return numbers


def _mask(column: pa.ChunkedArray) -> np.ndarray:
    mask: np.ndarray = pc.fill_null(column, False).to_numpy().copy()
    return mask


def _microseconds(seconds: np.ndarray) -> np.ndarray:
    """As `manifest.utc` rounds times: int64."""
    clipped = np.clip(seconds, 0.0, YEAR_9999)
    whole = np.floor(clipped)
    return whole.astype(np.int64) * 1_000_000 + np.rint((clipped - whole) * 1e6).astype(np.int64)
