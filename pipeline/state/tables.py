"""Tables of the private state: what it costs where one is lost."""

from __future__ import annotations

import pyarrow as pa

from photoveil.transforms.io import parquet


def read(path: str, schema: pa.Schema, cost: str) -> pa.Table:
    """One file; columns that it lacks, being older, are null.

    Args:
        cost: of deleting it, in a clause.

    Raises:
        OSError: it cannot be read, or is damaged: the message says what to do.
    """
    try:
        return parquet.read_as(path, schema)
    except parquet.DamagedTable as error:
        raise OSError(
            f"{error}. Delete that file and run the same command again. Photos that are cloaked "
            f"stay as they are, but {cost}"
        ) from error
