"""What is kept of each person for the next cloaks: where they start, and where they lead to.

It lies in the private state, for it tells of faces. A target is the opposite of the person's mean
embedding: the likeness of no one, and as far away as can be.

people/targets.parquet     the target of each person; once given it stays
people/starts.parquet      the start of those of whom a photo was cloaked; likewise
people/changes/*.parquet   cloaks of people met first, a part for each wave, until they give one
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from photoveil.pipeline.library import sequence
from photoveil.pipeline.state import tables
from photoveil.transforms.io import parquet, storage
from photoveil.transforms.records import CROP_SIZE, AlignedFace, PersonPrior, Perturbation

# float16 (S, S, 3), or (S, S), levels alone, by the versions before there was a displacement
CHANGES = pa.schema([("face", pa.string()), ("change", pa.binary())])
_KEPT = pa.schema([("person", pa.string()), ("value", pa.binary())])  # float16
# Most people of a large archive are met once or twice, and a start takes 75 kB. Beyond `_MOST`
# starts only who was cloaked `_ENOUGH` times gets one; as many cloaks are kept to wait for that.
_MOST, _ENOUGH = 2_000, 3


def to_row(face: AlignedFace, cloak: Perturbation) -> dict[str, Any]:
    """The cloak of a face as a dict that fits `CHANGES`."""
    return {"face": face.origin, "change": cloak.stacked.astype(np.float16).tobytes()}


class WarmStarts:
    """The starts and targets of the people of a library."""

    def __init__(self, state: str) -> None:
        self._folder = storage.join(state, "people")
        self._starts = {one: _unpacked(data) for one, data in self._read("starts.parquet").items()}
        self._targets = {
            one: np.frombuffer(data, np.float16)
            for one, data in self._read("targets.parquet").items()
        }

    def of(self, person: str, with_start: bool = True) -> PersonPrior | None:
        """What is kept of a person; None if nothing is."""
        target = self._targets.get(person)
        if target is None:
            return None
        return PersonPrior(self._starts.get(person) if with_start else None, target)

    def has_start(self, person: str) -> bool:
        """Whether the person's cloaks gave one."""
        return person in self._starts

    def keep(self, changes: pa.Table, part: str) -> None:
        """Keep cloaks of a wave, `CHANGES`, for `learn`. part: its name."""
        if len(changes):
            self._write(changes, f"changes/{part}.parquet")

    def learn(self, known: Mapping[str, str], means: Mapping[str, np.ndarray]) -> None:
        """Give everyone a target, and a start to those of whom cloaks were kept.

        Args:
            known: the person of each face of the library, by its origin.
            means: the mean embedding of each person, float32 (D,).
        """
        for person in sorted(means.keys() - self._targets.keys()):
            away = -means[person] / np.linalg.norm(means[person])
            self._targets[person] = away.astype(np.float16)
        folder = storage.join(self._folder, "changes")
        parts = sequence.oldest_first(parquet.parts(folder))
        kept: dict[str, bytes] = {}
        for part in parts:
            table = tables.read(part, CHANGES, "the people in it take as long as people met first")
            kept.update(zip(*(column.to_pylist() for column in table), strict=True))
        faces: defaultdict[str, list[str]] = defaultdict(list)
        for face in sorted(kept):
            if face in known and known[face] not in self._starts:
                faces[known[face]].append(face)
        later: list[str] = []
        for person, theirs in sorted(faces.items(), key=lambda item: (-len(item[1]), item[0])):
            if len(theirs) < _ENOUGH and len(self._starts) >= _MOST:
                later += theirs
                continue
            changes = np.stack([_unpacked(kept[face]) for face in theirs])
            self._starts[person] = changes.mean(axis=0, dtype=np.float32).astype(np.float16)
        later = later[:_MOST]
        rows = {"face": later, "change": [kept[face] for face in later]}
        for values, name in ((self._targets, "targets"), (self._starts, "starts")):
            pairs = {"person": list(values), "value": [v.tobytes() for v in values.values()]}
            self._write(pa.table(pairs, _KEPT), f"{name}.parquet")
        self._write(pa.table(rows, CHANGES), "changes/all.parquet")
        storage.remove([part for part in parts if not part.endswith("/all.parquet")])

    def _read(self, name: str) -> dict[str, bytes]:
        file = storage.join(self._folder, name)
        table = (
            tables.read(file, _KEPT, "people get other cloaks than in earlier runs")
            if storage.exists(file)
            else _KEPT.empty_table()
        )
        return dict(zip(*(column.to_pylist() for column in table), strict=True))

    def _write(self, table: pa.Table, name: str) -> None:
        parquet.write(
            table, storage.join(self._folder, name), storage.join(self._folder, "unfinished")
        )


def _unpacked(data: bytes) -> np.ndarray:
    """A perturbation as `Perturbation.stacked`, float16 (S, S, 3)."""
    values = np.frombuffer(data, np.float16).reshape(CROP_SIZE, CROP_SIZE, -1)
    if values.shape[2] == 1:
        values = np.pad(values, [(0, 0), (0, 0), (2, 0)])
    return values
