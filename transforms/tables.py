"""Parquet files, wherever they lie."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from transforms import storage


def read(path: str) -> pa.Table:
    """The whole of one file.

    Raises:
        OSError: it cannot be read.
    """
    return pq.read_table(pa.BufferReader(storage.read_bytes(path)))


def write(table: pa.Table, path: str, scratch: str) -> None:
    """Write one file, atomically as `storage.write_atomic` does.

    Raises:
        OSError: it cannot be written.
    """
    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression="zstd")
    storage.write_atomic(path, out.getvalue().to_pybytes(), scratch)


def parts(folder: str) -> list[str]:
    """The Parquet files below `folder`, by name; none where it does not exist."""
    if not storage.exists(folder):
        return []
    names = sorted(entry.relative for entry in storage.walk(folder))
    return [storage.join(folder, name) for name in names if name.endswith(".parquet")]
