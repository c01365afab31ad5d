"""The prototypes of people: for each, the mean embedding of some photos by all surrogates.

people/prototypes/*.parquet   a part for each wave

They lie in the private state, for they tell who is who. A prototype is named after the group of
faces that it is the mean of, and never changes: a face that is cloaked again moves away from what
it moved away from before.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from photoveil.pipeline.library import sequence
from photoveil.pipeline.state import tables
from photoveil.transforms.io import parquet, storage

PROTOTYPES = pa.schema([("name", pa.string()), ("value", pa.binary())])  # float16 (D,)
_LOST = "people in new photos are protected a little less, and photos done anew get other cloaks"
# One takes 5 kB, and a process holds them all. Beyond these a face moves away from itself alone.
_MOST = 20_000


def to_row(name: str, prototype: np.ndarray) -> dict[str, Any]:
    """The prototype of a group, float16 (D,), as a dict that fits `PROTOTYPES`."""
    return {"name": name, "value": prototype.tobytes()}


class Prototypes:
    """The prototypes of a library, in its private state folder."""

    def __init__(self, state: str) -> None:
        self._people = storage.join(state, "people")
        self._folder = storage.join(self._people, "prototypes")

    @cached_property
    def _values(self) -> dict[str, bytes]:
        values: dict[str, bytes] = {}
        for part in sequence.oldest_first(parquet.parts(self._folder)):
            values.update(_pairs(tables.read(part, PROTOTYPES, _LOST)))
        return values

    @property
    def is_full(self) -> bool:
        """Whether no group is to get one any more."""
        return len(self._values) >= _MOST

    def of(self, name: str) -> np.ndarray | None:
        """The prototype of a group, float16 (D,); None if there is none."""
        value = self._values.get(name)
        return None if value is None else np.frombuffer(value, np.float16)

    def keep(self, table: pa.Table, part: str) -> None:
        """Keep those of a wave, `PROTOTYPES`. part: its name."""
        if len(table):
            self._values.update(_pairs(table))
            self._write(table, part)

    def drop_all_but(self, names: Collection[str]) -> None:
        """Delete those of groups of which the library has no face any more."""
        old = parquet.parts(self._folder)
        for name in self._values.keys() - set(names):
            del self._values[name]
        columns = {"name": list(self._values), "value": list(self._values.values())}
        if old:
            self._write(pa.table(columns, PROTOTYPES), "all")
        storage.remove([part for part in old if not part.endswith("/all.parquet")])

    def _write(self, table: pa.Table, part: str) -> None:
        file = storage.join(self._folder, f"{part}.parquet")
        parquet.write(table, file, storage.join(self._people, "unfinished"))


def _pairs(table: pa.Table) -> dict[str, bytes]:
    return dict(zip(*(column.to_pylist() for column in table), strict=True))
