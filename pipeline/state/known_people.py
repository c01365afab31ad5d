"""Which face is whose, as people were settled last: `people/people.parquet`."""

from __future__ import annotations

import pyarrow as pa

from photoveil.pipeline.state import tables
from photoveil.transforms.io import storage

FOLDER, FILE = "people", "people.parquet"
SCHEMA = pa.schema([("face", pa.string()), ("person", pa.string())])


def read(state: str) -> pa.Table:
    """The table in a private state folder; without rows before people were ever settled.

    Raises:
        OSError: it is damaged, or cannot be read.
    """
    file = storage.join(state, f"{FOLDER}/{FILE}")
    if not storage.exists(file):
        return SCHEMA.empty_table()
    return tables.read(file, SCHEMA, "people are told apart anew and may get other names")


def known(state: str) -> dict[str, str]:
    """The person of each face, by the face's key (see `transforms.photo.scan.face_key`).

    Raises:
        OSError: as `read`.
    """
    return dict(zip(*(column.to_pylist() for column in read(state)), strict=True))
