"""What a run or a scan did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from photoveil.pipeline.run.plan import Plan
from photoveil.transforms.beam.stage_metrics import StageMetrics
from photoveil.transforms.faces.identity import Change
from photoveil.transforms.records import Status


class StopReason(StrEnum):
    """Why a run ends before all is done."""

    CTRL_C = "Ctrl-C"
    DEADLINE = "the deadline"


@dataclass
class RunResult:
    """What a run did.

    statuses: files by manifest status. moved: files that have a new name, their output with them.
    pruned: files whose outputs were deleted. trash: the folder where these lie now.
    failed: (source, reason). still_failed: likewise, of photos that failed in an earlier run and
    that this one did not try. left_out: reasons and how often. faces: cloaked faces. flips: mean
    FLIP of each. near: near duplicates among them. people: who merged or split, of those known
    before. seconds: wall-clock time. stopped: why before all was done, if so. work: of the workers.
    """

    plan: Plan
    statuses: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    pruned: int = 0
    trash: str | None = None
    failed: list[tuple[str, str]] = field(default_factory=list)
    still_failed: list[tuple[str, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    faces: int = 0
    flips: list[float] = field(default_factory=list)
    near: int = 0
    people: Change = field(default_factory=Change)
    seconds: float = 0.0
    stopped: StopReason | None = None
    work: StageMetrics = field(default_factory=StageMetrics)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count the manifest rows of one wave."""
        for row in rows:
            self.statuses[row["status"]] += 1
            if row["status"] == Status.CLOAKED:
                self.faces += len(row["faces"])
                self.near += row["distance"] is not None
                self.flips += [face["flip"] for face in row["faces"]]
            elif row["status"] == Status.FAILED:
                self.failed.append((row["source"], row["reason"]))
            elif row["status"] == Status.UNSUPPORTED:
                self.left_out[row["reason"]] += 1


@dataclass
class ScanResult:
    """What a scan ahead of a run did.

    files: exact duplicates included. faces: that were found. people: who merged or split.
    seconds: wall-clock time. stopped: why before all was done, if so.
    """

    files: int = 0
    faces: int = 0
    people: Change = field(default_factory=Change)
    seconds: float = 0.0
    stopped: StopReason | None = None
