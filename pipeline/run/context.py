"""What all waves of a run or a scan share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from photoveil.pipeline.library.library import Library
from photoveil.pipeline.library.manifest import RunStamp
from photoveil.pipeline.run.result import StopReason
from photoveil.pipeline.run.reviewed import NOT_REVIEWED, Reviewed
from photoveil.pipeline.settings import Settings
from photoveil.pipeline.state.review import Level


def _never() -> StopReason | None:
    return None


@dataclass(frozen=True)
class RunContext:
    """What a run or a scan works on, with which settings, and how it is watched and stopped.

    library: the caller holds its lock.
    stamp: what rows say about the run, of the same settings.
    progress: file that workers report to, see `transforms.beam.progress`; None where no one
        watches.
    stop: asked before each wave; a reason ends the run there.
    reviewed: what the owner asked for in a review.
    """

    library: Library
    settings: Settings
    stamp: RunStamp
    progress: Path | None = None
    stop: Callable[[], StopReason | None] = _never
    reviewed: Reviewed = NOT_REVIEWED

    def at(self, level: Level) -> RunContext:
        """Return the same for photos that are cloaked less or more than others."""
        if level not in self.reviewed.levels:
            return self
        settings, stamp = self.reviewed.levels[level]
        return replace(self, settings=settings, stamp=stamp)
