"""The history of runs: a small JSON file for each, beside the manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipeline.library import Library
from pipeline.manifest import RunStamp
from transforms import storage


def record(
    library: Library,
    stamp: RunStamp,
    started: float,
    ended: float | None = None,
    statuses: Mapping[str, int] | None = None,
    seconds: float = 0.0,
    stopped: str | None = None,
    work: Mapping[str, Any] | None = None,
) -> None:
    """Write the record of a run, at its beginning and again at its end.

    Args:
        started, ended: seconds since the epoch; a run that was killed has no end.
        statuses: rows by status. seconds: of cloaking. stopped: why before everything was done.
        work: of its workers, see `pipeline.work`.
    """
    found = {
        **asdict(stamp),
        "started": started,
        "ended": ended,
        "statuses": dict(statuses or {}),
        "seconds": round(seconds, 1),
        "stopped": stopped,
        "work": work,
    }
    path = storage.join(library.runs, f"{stamp.run_id}.json")
    storage.write_atomic(path, json.dumps(found, indent=1).encode(), library.scratch)


def read(library: Library) -> list[dict[str, Any]]:
    """All records, oldest first."""
    if not storage.exists(library.runs):
        return []
    names = sorted(e.relative for e in storage.walk(library.runs) if e.relative.endswith(".json"))
    return [json.loads(storage.read_bytes(storage.join(library.runs, name))) for name in names]
