"""The history of runs: a small JSON file for each, beside the manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from photoveil.pipeline.library import sequence
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.library.manifest import RunStamp
from photoveil.transforms.io import storage


@dataclass(frozen=True)
class Record:
    """What is kept of a run.

    started, ended: seconds since the epoch, as the clock said; a run that was killed has no end.
    statuses: rows by status. seconds: that it took, by a clock that nobody sets.
    stopped: why before everything was done. work: of its workers, see
        `transforms.beam.stage_metrics`.
    """

    stamp: RunStamp
    started: float
    ended: float | None = None
    statuses: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: str | None = None
    work: Mapping[str, Any] | None = None


def write(library: Library, name: str, record: Record) -> None:
    """Write the record of a run, at its beginning and again at its end.

    Args:
        name: of the run; see `pipeline.library.sequence`.
    """
    found = {
        **asdict(record.stamp),
        "started": record.started,
        "ended": record.ended,
        "statuses": dict(record.statuses),
        "seconds": round(record.seconds, 1),
        "stopped": record.stopped,
        "work": record.work,
    }
    path = storage.join(library.runs, f"{name}.json")
    storage.write_atomic(path, json.dumps(found, indent=1).encode(), library.scratch)


def read(library: Library) -> list[dict[str, Any]]:
    """All records, oldest first."""
    if not storage.exists(library.runs):
        return []
    names = (e.relative for e in storage.walk(library.runs) if e.relative.endswith(".json"))
    paths = [storage.join(library.runs, name) for name in sequence.oldest_first(names)]
    return [json.loads(storage.read_bytes(path)) for path in paths]
