"""The history of runs: a small JSON file for each, beside the manifest; and what it foretells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from pipeline.library import Library
from pipeline.manifest import RunStamp
from pipeline.plan import Plan
from transforms import storage

# Seconds that a photo takes on two cores in mode mid, before any run here has been timed.
_GUESS = 2.0
_ENOUGH = 10  # photos that a run must have done for its pace to count


def record(
    library: Library,
    stamp: RunStamp,
    started: float,
    ended: float | None = None,
    statuses: Mapping[str, int] | None = None,
    seconds: float = 0.0,
    stopped: str | None = None,
) -> None:
    """Write the record of a run, at its beginning and again at its end.

    Args:
        started, ended: seconds since the epoch; a run that was killed has no end.
        statuses: rows by status. seconds: of cloaking. stopped: why before everything was done.
    """
    found = {
        **asdict(stamp),
        "started": started,
        "ended": ended,
        "statuses": dict(statuses or {}),
        "seconds": round(seconds, 1),
        "stopped": stopped,
    }
    path = storage.join(library.runs, f"{stamp.run_id}.json")
    storage.write_atomic(path, json.dumps(found, indent=1).encode(), library.scratch)


def read(library: Library) -> list[dict[str, Any]]:
    """All records, oldest first."""
    if not storage.exists(library.runs):
        return []
    names = sorted(e.relative for e in storage.walk(library.runs) if e.relative.endswith(".json"))
    return [json.loads(storage.read_bytes(storage.join(library.runs, name))) for name in names]


def foretell(
    plan: Plan, records: Iterable[Mapping[str, Any]], stamp: RunStamp
) -> tuple[float, bool]:
    """Seconds that the plan's photos will take, and whether a run here is the measure."""
    pace, measured = _GUESS, False
    for run in records:
        done = sum(run["statuses"].get(name, 0) for name in ("cloaked", "no_face", "unchanged"))
        if done >= _ENOUGH and run["settings_hash"] == stamp.settings_hash:
            pace, measured = run["seconds"] / done, True
    return pace * len(plan.todo), measured
