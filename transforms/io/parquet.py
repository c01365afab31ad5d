"""Parquet files, local or in a bucket."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from photoveil.transforms.io import storage

_LIST = "parts.json"


class DamagedTable(OSError):
    """A file that is not a complete Parquet file; the message names it."""


def read(path: str, columns: Collection[str] | None = None) -> pa.Table:
    """Read one file.

    Args:
        columns: the wanted columns, as far as it has them; by default all.

    Raises:
        DamagedTable: its bytes are not those that were written.
        OSError: it cannot be read.
    """
    data = storage.read_bytes(path)
    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        there = file.schema_arrow.names
        return file.read([name for name in there if columns is None or name in columns])
    except (pa.ArrowException, OSError) as error:  # Arrow's own I/O errors are of the system's kind
        raise DamagedTable(f"{path} is damaged: {str(error).splitlines()[0]}") from error


def read_as(path: str, schema: pa.Schema) -> pa.Table:
    """Read the columns of a schema from one file; those that an older file lacks are null.

    Raises:
        DamagedTable: its bytes are not those that were written, or its columns are others.
        OSError: it cannot be read.
    """
    found = read(path, schema.names)
    for field in schema:
        if field.name not in found.schema.names:
            found = found.append_column(field, pa.nulls(len(found), field.type))
    try:
        return found.select(schema.names).cast(schema.with_metadata(found.schema.metadata))
    except pa.ArrowException as error:
        raise DamagedTable(f"{path} is damaged: {str(error).splitlines()[0]}") from error


def write(table: pa.Table, path: str, scratch: str) -> None:
    """Write one file, atomically as `storage.write_atomic` does.

    Raises:
        OSError: it cannot be written.
    """
    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression="zstd", write_page_checksum=True)
    storage.write_atomic(path, out.getvalue().to_pybytes(), scratch)


def write_list(names: Sequence[str], folder: str) -> None:
    """Record which files in `folder` make up a table, all of which exist.

    Raises:
        OSError: it cannot be written.
    """
    path = storage.join(folder, _LIST)
    storage.write_atomic(
        path, json.dumps(sorted(names)).encode(), storage.join(folder, "unfinished")
    )


def is_whole(folder: str) -> bool:
    """True if `folder` holds a complete table."""
    return storage.exists(storage.join(folder, _LIST))


def gathered(folder: str, schema: pa.Schema) -> pa.Table:
    """Read the table that several workers wrote to `folder`.

    Raises:
        OSError: it does not exist, or cannot be read.
    """
    names = json.loads(storage.read_bytes(storage.join(folder, _LIST)))
    read_parts = (read_as(storage.join(folder, name), schema) for name in names)
    return pa.concat_tables([schema.empty_table(), *read_parts])


def parts(folder: str) -> list[str]:
    """List the Parquet files below `folder`, by name; none where it does not exist."""
    if not storage.exists(folder):
        return []
    names = sorted(entry.relative for entry in storage.walk(folder))
    return [storage.join(folder, name) for name in names if name.endswith(".parquet")]
