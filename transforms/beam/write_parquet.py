"""Rows out of a pipeline, into a table that is there as a whole or not at all.

Beam's own sinks take `[`, `?` and `*` in the name of a folder for a pattern and then miss the files
that they have just written, do not see to it that a power cut leaves them, and put a table of one
file through one worker.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from photoveil.transforms.io import parquet, storage

_PART_ROWS = 1000


class WriteParquet(beam.PTransform):
    """Writes rows to `folder`, which `tables.gathered` reads.

    Each worker writes its rows as parts, and one of them, at the end, the list of the parts. Those
    of work that a runner did twice are in no list.

    Args:
        schema: each row is a dict that fits it.
    """

    def __init__(self, folder: str, schema: pa.Schema) -> None:
        super().__init__()
        self._folder, self._schema = folder, schema

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        parts = rows | "Parts" >> beam.ParDo(_WriteParts(self._folder, self._schema))
        # Beam's ToList has a side input, for the list of no elements; not every runner has those.
        none = rows.pipeline | "No part" >> beam.Create([None])
        return (
            (parts, none)
            | "Parts or none" >> beam.Flatten()
            | "Together" >> beam.WithKeys(0)
            | "All" >> beam.GroupByKey()
            | "List" >> beam.Map(_write_list, self._folder)
        )


def _write_list(gathered: tuple[int, Iterable[str | None]], folder: str) -> None:
    _, parts = gathered
    parquet.write_list([part for part in parts if part is not None], folder)


class _WriteParts(beam.DoFn):
    def __init__(self, folder: str, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema
        self._rows: list[Mapping[str, Any]] = []

    def start_bundle(self) -> None:
        self._rows = []

    def process(self, row: Mapping[str, Any]) -> Iterator[str]:
        self._rows.append(row)
        if len(self._rows) == _PART_ROWS:
            yield self._write()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._rows:
            yield GlobalWindows.windowed_value(self._write())

    def _write(self) -> str:
        name = f"{uuid.uuid4().hex}.parquet"
        table = pa.Table.from_pylist(self._rows, self._schema)
        parquet.write(
            table, storage.join(self._folder, name), storage.join(self._folder, "unfinished")
        )
        self._rows = []
        return name
