"""What a plan comes to: what is known of its faces and people, and what is only likely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from photoveil.pipeline.library import manifest, run_history
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.library.manifest import RunStamp
from photoveil.pipeline.run.plan import Plan
from photoveil.pipeline.state.known_people import known as known_people
from photoveil.pipeline.state.scan_cache import ScanCache
from photoveil.transforms.records import Status

# Before any run here has been timed: seconds until the first photo is at work, and that each takes,
# in mode mid. From eight idle cores to two that others use too.
_START, _START_AT_MOST = 15.0, 60.0
_GUESS, _GUESS_AT_MOST = 1.5, 8.0
_ENOUGH = 10  # photos, for their pace or their faces to foretell those of others
_WRITTEN = (Status.CLOAKED, Status.NO_FACE, Status.UNCHANGED)


@dataclass(frozen=True)
class Estimate:
    """What is known, and what is only likely, of the files that a plan will work on.

    scanned: how many of them were looked at before. faces, people: in these.
    unseen: how many were not. rate: faces a file in the library; None while it holds few.
    known: people of the whole library.
    most_faces: in one of the scanned files. most_seen: of these faces, those of one person.
    alike: photos that were compared with one another as near duplicates in an earlier run, at most.
    seconds, most: that the run will take, at least and at most. measured: by a run here, which
        gives one number, or guessed.
    """

    scanned: int
    faces: int
    people: int
    unseen: int
    rate: float | None
    known: int
    seconds: float
    most: float
    measured: bool
    most_faces: int = 0
    most_seen: int = 0
    alike: int = 0


def estimate(library: Library, plan: Plan, ahead: ScanCache, stamp: RunStamp) -> Estimate:
    """Look at what the private state and the manifest tell of the files of a plan."""
    records = run_history.read(library)
    seconds, most, measured = _seconds(plan, records, stamp)
    if not plan.todo:
        return Estimate(0, 0, 0, 0, None, 0, seconds, most, measured)
    everyone = known_people(library.state)
    persons: dict[str, list[str]] = {}
    for face, person in everyone.items():
        persons.setdefault(face.split()[0], []).append(person)
    done, rate = _done(library)
    counts: list[int] = []  # of faces
    people: Counter[str] = Counter()
    for group in plan.todo:
        kept = ahead.find(group.ref)
        sha256 = plan.hashes.get(group.ref) if kept is None else kept.sha256
        if kept is not None or sha256 in done:
            there = persons.get(sha256 or "", [])
            counts.append(kept.faces if kept is not None else len(there) or done[sha256 or ""])
            people.update(there)
    return Estimate(
        scanned=len(counts),
        faces=sum(counts),
        people=len(people),
        unseen=len(plan.todo) - len(counts),
        rate=rate,
        known=len(set(everyone.values())),
        seconds=seconds,
        most=most,
        measured=measured,
        most_faces=max(counts, default=0),
        most_seen=max(people.values(), default=0),
        alike=max(((run["work"] or {}).get("widest_bucket", 0) for run in records), default=0),
    )


def _seconds(
    plan: Plan, records: Iterable[Mapping[str, Any]], stamp: RunStamp
) -> tuple[float, float, bool]:
    """Estimate the seconds that the plan's photos will take.

    Returns:
        At least and at most, and whether a run here is the measure.
    """
    pace: float | None = None
    for run in records:
        done = sum(run["statuses"].get(name, 0) for name in _WRITTEN)
        if done >= _ENOUGH and run["settings_hash"] == stamp.settings_hash:
            pace = run["seconds"] / done
    photos = len(plan.todo)
    if pace is not None:
        return pace * photos, pace * photos, True
    if not photos:
        return 0.0, 0.0, False
    return _START + _GUESS * photos, _START_AT_MOST + _GUESS_AT_MOST * photos, False


def _done(library: Library) -> tuple[dict[str, int], float | None]:
    """How many faces each photo of the library has, by its sha256; and a file, photo or not."""
    table = manifest.read(library.manifest, ["source_sha256", "status", "faces"])
    table = table.filter(pc.not_equal(table["status"], Status.DUPLICATE))
    faces = pc.list_value_length(table["faces"])
    rate = pc.sum(faces).as_py() / len(table) if len(table) >= _ENOUGH else None
    looked_at = pc.is_in(
        table["status"],
        pa.array([*_WRITTEN, Status.SKIPPED]),
    )
    photos = table["source_sha256"].filter(looked_at).to_pylist()
    return dict(zip(photos, faces.filter(looked_at).to_pylist(), strict=True)), rate
