"""What commands print with `--json`, for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photoveil.pipeline.cli.status import LibraryStatus
    from photoveil.pipeline.cli.verify import Report
    from photoveil.pipeline.library.library import Library
    from photoveil.pipeline.run.estimate import Estimate
    from photoveil.pipeline.run.plan import Plan
    from photoveil.pipeline.run.result import ScanResult
    from photoveil.pipeline.state.people import Person
    from photoveil.pipeline.state.review import Review


def print_json(found: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output, and nothing else."""
    sys.stdout.write(json.dumps(found, indent=1, allow_nan=False) + "\n")


def of_plan(library: Library, plan: Plan, forecast: Estimate) -> dict[str, Any]:
    """Describe what a run would do; seconds and bytes are estimates."""
    folder, in_folder = plan.largest_folder
    return {
        "in": library.source,
        "out": library.root,
        "to_do": sum(plan.why.values()),
        "why": dict(plan.why),
        "photos_to_cloak": len(plan.todo),
        "originals_to_place": sum(1 + len(group.copies) for group in plan.originals),
        "duplicates": plan.duplicates,
        "most_same": plan.widest,
        "largest_folder": {"folder": folder, "files": in_folder},
        "moved": plan.moved,
        "done": plan.unchanged,
        "left_out": plan.left_out,
        "failed": plan.failed,
        "stale": dict(plan.stale),
        "older": plan.older,
        "not_given": plan.not_chosen,
        "gone": list(plan.gone),
        "archive_is_away": plan.is_away,
        "bytes": plan.room,
        "seconds": round(forecast.seconds),
        "seconds_at_most": round(forecast.most),
        "seconds_are_measured": forecast.measured,
        "faces_known": forecast.faces,
        "people_known": forecast.known,
        "most_faces_of_a_photo": forecast.most_faces,
        "most_faces_of_a_person": forecast.most_seen,
        "most_alike": forecast.alike,
    }


def of_status(status: LibraryStatus) -> dict[str, Any]:
    """Describe what a library holds, and how its last run ended."""
    return {
        "out": status.library.root,
        "in": status.library.source or None,
        "state": status.library.state,
        "forgotten": status.forgotten,
        "statuses": dict(status.statuses),
        "faces": status.faces,
        "people": status.people,
        "failed": [{"source": source, "reason": why} for source, why in status.failed],
        "to_retry": status.to_retry,
        "gone": status.gone,
        "scanned_ahead": status.scanned,
        "bytes": status.room,
        "state_bytes": status.state_room,
        "pruned": [{"folder": kept.folder, "files": kept.files} for kept in status.pruned],
        "running": status.running,
        "interrupted": status.was_interrupted,
        "last_run": status.last,
        "is_well": status.is_well,
    }


def of_scan(result: ScanResult, known: int) -> dict[str, Any]:
    """Describe what a scan found.

    Args:
        result: of the scan.
        known: number of people of the library.
    """
    return {
        "files": result.files,
        "faces": result.faces,
        "people_known": known,
        "seconds": round(result.seconds, 1),
        "stopped": result.stopped,
    }


def of_people(everyone: list[Person], review: Review) -> dict[str, Any]:
    """Describe the people of a library, in the order given."""
    return {
        "people": [
            {
                "id": person.name,
                "name": marks.name if (marks := review.people.get(person.name)) else "",
                "photos": len(person.photos),
                "faces": len(person.faces),
                "first": person.first and person.first.isoformat(),
                "last": person.last and person.last.isoformat(),
            }
            for person in everyone
        ]
    }


def of_verify(report: Report) -> dict[str, Any]:
    """Describe what is wrong with a library."""
    return {
        "originals": len(report.rows),
        "files_read": report.read,
        "seconds": round(report.seconds, 1),
        "repaired": report.repaired,
        "findings": [
            {"kind": one.kind, "file": one.file, "detail": one.detail} for one in report.findings
        ],
    }
