"""Progress of a run on the screen: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    track,
)
from rich.text import Text

from photoveil.pipeline.words import duration
from photoveil.transforms.beam.progress import ProgressReader
from photoveil.transforms.io import storage

T = TypeVar("T")

_POLL = 0.5  # seconds
_LINE_EVERY = 15.0  # seconds between plain lines
# How much of a photo's work is done once it is scanned and once its faces are cloaked: the shares
# of the time that took on two cores.
_SCANNED, _CLOAKED = 0.15, 0.9
_TRUSTED = 8.0  # files that the pace expected counts as much as, against what is seen


class ProgressEstimate:
    """How far a run is, from event counts, and how long the rest will take.

    Models are loaded and compiled before the first file is done, which would make all others look
    slow. So measurement begins after it. Until then, and a little beyond, the expected pace is
    used.

    Args:
        total: files to work on.
        scan_only: True if none of them is cloaked.
        expected: seconds a file; None if nothing is known.
    """

    def __init__(self, total: int, scan_only: bool = False, expected: float | None = None) -> None:
        self.total = total
        self.what = "scanning" if scan_only else "cloaking"
        self._scan_only, self._expected = scan_only, expected
        self.faces = 0
        self.photos = 0
        self.scanned = 0
        self.done = 0.0
        self._warm: tuple[float, float] | None = None  # the time, and what was done by then
        self._before: Counter[str] = Counter()  # the counts when this wave began

    def update(self, counts: Counter[str]) -> None:
        """Update the counts of events."""
        self.scanned = counts["scanned"]
        if self._scan_only:
            self.photos, self.faces = counts["scanned"], counts["found"]
            self.done = self.photos
        else:
            self.photos, self.faces = counts["published"], counts["face"]
            ahead = counts["scanned"] - counts["published"]
            if ahead <= 0:
                self._before = Counter(counts)
            found, faces = (counts[event] - self._before[event] for event in ("found", "face"))
            share = faces / found if found else 0.0
            self.done = self.photos + ahead * (_SCANNED + (_CLOAKED - _SCANNED) * share)
        if self._warm is None and self.photos:
            self._warm = time.monotonic(), self.done

    @property
    def seconds(self) -> float | None:
        """Seconds that a file takes; None while nothing is known."""
        began, before = self._warm or (time.monotonic(), self.done)
        spent, files = time.monotonic() - began, self.done - before
        if self._expected is not None:
            return (self._expected * _TRUSTED + spent) / (_TRUSTED + files)
        return spent / files if files else None

    def __str__(self) -> str:
        begun = "the first take longest" if self.scanned else "loading the models"
        pace, left = self.seconds, begun
        if pace is not None:
            time_left = f"about {duration((self.total - self.done) * pace)}"
            left = f"{time_left} left" if self._warm else f"{begun}, then {time_left}"
        in_work = self.scanned - self.photos
        more = f" (and {in_work:,} in work)" if in_work > 0 else ""
        return f"{self.photos:,} of {self.total:,} photos{more}, {self.faces:,} faces, {left}"


class _PaceColumn(ProgressColumn):
    def __init__(self, pace: ProgressEstimate) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        return Text(str(self._pace), style="progress.remaining")


@contextlib.contextmanager
def progress_file(state: str) -> Iterator[Path]:
    """Yield the file to which workers on this machine report; it is never on remote storage.

    Args:
        state: the private state of the library.
    """
    if storage.is_local(state):
        yield Path(state, "progress")
    else:
        with tempfile.TemporaryDirectory(prefix="photoveil-") as folder:
            yield Path(folder, "progress")


@contextlib.contextmanager
def watched(file: Path, pace: ProgressEstimate, console: Console) -> Iterator[None]:
    """Show, while the block runs, what workers report to a file; see `transforms.beam.progress`."""
    file.unlink(missing_ok=True)
    reader, stop = ProgressReader(file), threading.Event()
    show = _bar if console.is_terminal else _lines
    thread = threading.Thread(target=show, args=(reader, pace, console, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        file.unlink(missing_ok=True)


def _bar(
    reader: ProgressReader, pace: ProgressEstimate, console: Console, stop: threading.Event
) -> None:
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(bar_width=24),
        _PaceColumn(pace),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(pace.what, total=max(1, pace.total))
        ended = False
        while not ended:
            ended = stop.wait(_POLL)
            pace.update(reader.update())
            bar.update(task, completed=pace.done)


def _lines(
    reader: ProgressReader, pace: ProgressEstimate, console: Console, stop: threading.Event
) -> None:
    wait = _POLL * 4  # the first line soon, so that a log shows that something happens
    while not stop.wait(wait):
        pace.update(reader.update())
        console.print(str(pace), highlight=False, soft_wrap=True)
        wait = _LINE_EVERY


def tracked(things: Iterable[T], total: int, what: str, console: Console) -> Iterator[T]:
    """Pass things on, and show on a terminal how many of them are left."""
    hidden = not console.is_terminal
    yield from track(things, what, total, console=console, transient=True, disable=hidden)
