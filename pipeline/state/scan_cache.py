"""Scans made ahead of a run: who is in the photos is known before the first of them is cloaked.

They hold pictures of faces, and lie in the private state until a run has done their photos.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from photoveil.pipeline.fingerprints import scan_hash
from photoveil.pipeline.library import sequence
from photoveil.pipeline.library.manifest import RunStamp
from photoveil.pipeline.settings import Settings
from photoveil.pipeline.state import scan_table, tables
from photoveil.transforms.io import parquet, storage
from photoveil.transforms.records import PhotoRef

_FOLDER = "scans"
_INDEX = pa.schema([scan_table.SCHEMA.field(name) for name in ("ref", "sha256", "boxes")])
LOST = "the photos in it are scanned again"


@dataclass(frozen=True)
class Scanned:
    """What is kept of a file. faces: how many. part: where the scan lies."""

    sha256: str | None
    faces: int
    part: str


class ScanCache:
    """The scans kept in a private state folder that were made with these settings."""

    def __init__(self, state: str, settings: Settings, stamp: RunStamp) -> None:
        self._root = storage.join(state, _FOLDER)
        name = scan_hash(settings, stamp, scan_table.SCHEMA.names)
        self._folder = storage.join(self._root, name)
        self._index = dict(_index(sequence.oldest_first(parquet.parts(self._folder))))

    def find(self, ref: PhotoRef) -> Scanned | None:
        """What is known of a file as it lies now."""
        return self._index.get(ref)

    def add(self, table: pa.Table, name: str) -> None:
        """Keep the scans of one wave, rows of `scan_table.SCHEMA`; not those to be tried again."""
        table = table.filter(pc.invert(table["retry"]))
        path = storage.join(self._folder, f"{name}.parquet")
        parquet.write(table, path, storage.join(self._root, "unfinished"))
        self._index.update(_index([path]))

    def drop(self, done: Collection[str]) -> None:
        """Delete the scans of which a run has done all, or whose files are gone.

        Args:
            done: sources.
        """
        for path in parquet.parts(self._root):
            refs = (ref for ref, _ in _index([path]))
            if not any(ref.source not in done and storage.exists(ref.path) for ref in refs):
                storage.remove([path])


def sources(state: str) -> dict[str, str]:
    """The source of each photo by its sha256, of all that are scanned ahead in any way."""
    known = _index(parquet.parts(storage.join(state, _FOLDER)))
    return {found.sha256: ref.source for ref, found in known if found.sha256 is not None}


def _index(parts: Iterable[str]) -> Iterator[tuple[PhotoRef, Scanned]]:
    for part in parts:
        table = tables.read(part, _INDEX, LOST)
        faces = pc.list_value_length(table["boxes"]).to_pylist()
        rows = zip(table["ref"].to_pylist(), table["sha256"].to_pylist(), faces, strict=True)
        for ref, sha256, count in rows:
            yield scan_table.ref_from_row(ref), Scanned(sha256, count, part)
