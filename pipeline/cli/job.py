"""The main job: plan, say so, carry it out under a person's eyes.

TensorFlow and Beam take seconds to load: what needs them is imported once there is work for it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from rich.console import Console

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli.progress_bar import ProgressEstimate, watched
from photoveil.pipeline.cli.summaries import plan_summary
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import Library, LibraryError
from photoveil.pipeline.library.manifest import RunStamp
from photoveil.pipeline.run import planning, pruning, reconcile
from photoveil.pipeline.run.context import RunContext
from photoveil.pipeline.run.estimate import Estimate, estimate
from photoveil.pipeline.run.plan import WHAT_IS_NEW, Plan, Selection
from photoveil.pipeline.run.pruning import Consent
from photoveil.pipeline.run.reconcile import delete_unfinished
from photoveil.pipeline.run.result import RunResult, ScanResult, StopReason
from photoveil.pipeline.settings import Settings, SettingsError
from photoveil.pipeline.state.known_people import known
from photoveil.pipeline.state.scan_cache import ScanCache
from photoveil.transforms.io import assets, storage
from photoveil.transforms.photo.discover import holds_photo


def check_job(library: Library, settings: Settings) -> None:
    """Find what would keep a run from doing anything, before a folder of it is made.

    Raises:
        LibraryError: there is no photo, or the settings name people that are not known.
        SettingsError: the runner's options are wrong.
        OSError: the archive or the private state cannot be read.
    """
    if not holds_photo(library.source):
        raise LibraryError(
            f"no photo was found in {library.source}: no JPEG, MPO, PNG, WebP, TIFF, BMP, GIF, "
            "AVIF or HEIC file lies there or in a folder below it. Is the disk there, and is it "
            "the right folder? Nothing was done"
        )
    named = {*settings.people.only, *settings.people.spare}
    unknown = named - set(known(library.state).values()) if named else ()
    if unknown:
        raise LibraryError(
            f"nobody is called {', '.join(sorted(unknown))}; `photoveil people {library.root}` "
            "lists who is known, and `photoveil scan` finds people before the first run"
        )
    if settings.run.options or settings.run.runner != "local":
        from photoveil.pipeline.runners import select  # Beam, which knows its options

        select.check(settings.run, library.source, library.root, library.state)


def make_and_show_plan(
    library: Library,
    settings: Settings,
    stamp: RunStamp,
    console: Console,
    selection: Selection = WHAT_IS_NEW,
) -> tuple[Plan, Estimate]:
    """What a run would do, printed.

    Raises:
        OSError: the archive or the library cannot be listed.
    """
    with console.status("looking at the archive"):
        plan = planning.plan_run(library, settings, stamp, selection)
    coming = estimate(library, plan, ScanCache(library.state, settings, stamp), stamp)
    free = shutil.disk_usage(library.root).free if _is_folder(library.root) else None
    words = plan_summary(plan, coming, free, library.source)
    console.print(words, highlight=False, markup=False, soft_wrap=True)
    return plan, coming


@dataclass(frozen=True)
class Ending:
    """When a run ends before all is done. limit: photos. deadline: seconds since the epoch."""

    limit: int | None = None
    deadline: float | None = None


ALL_DONE = Ending()


def next_time(clock: str) -> float:
    """When a clock next shows a time such as "06:00", in seconds since the epoch.

    Raises:
        SettingsError: it is no time.
    """
    try:
        wanted = dt.time.fromisoformat(clock)
        if wanted.tzinfo is not None:
            raise ValueError("a time of another clock")
    except ValueError as error:
        raise SettingsError(f"{clock} is no time of day; write it as 06:00") from error
    now = dt.datetime.now()
    today = dt.datetime.combine(now, wanted)
    return (today if today > now else today + dt.timedelta(days=1)).timestamp()


def point_in_time(text: str) -> float:
    """A date such as "2026-11-01", or "2026-11-01T18:30", of the local clock unless it names
    another, in seconds since the epoch.

    Raises:
        SettingsError: it is none.
    """
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise SettingsError(f"{text} is no date; write it as 2026-11-01") from error


def run_job(
    library: Library,
    settings: Settings,
    console: Console,
    selection: Selection = WHAT_IS_NEW,
    prune: Consent | None = None,
    ending: Ending = ALL_DONE,
) -> RunResult:
    """Cloak what is new in an archive. The caller holds the library's lock.

    A first Ctrl-C ends the run after the photos in hand, a second one at once. TensorFlow and Beam
    are loaded once there is something to do.

    Args:
        prune: delete the outputs of sources that are gone, as far as this agrees to it.

    Raises:
        LibraryError: `prune` would delete what it may not. Nothing was done.
        transforms.io.assets.AssetError: a model cannot be had.
        OSError: the archive cannot be listed, or the library or state not written.
    """
    stamp = planning.new_stamp(settings)
    plan, coming = make_and_show_plan(library, settings, stamp, console, selection)
    if prune is not None:
        pruning.check(library, plan, prune)
    expected = coming.seconds / max(1, plan.files)
    if ending.limit is not None:
        plan = replace(plan, todo=plan.todo[: ending.limit])
    outcome = RunResult(plan)
    if reconcile.is_idle(library, plan, prune is not None):
        delete_unfinished(library)
    else:
        quiet_logs.load_tensorflow(console)
        from photoveil.pipeline.run import waves
        from photoveil.pipeline.runners import select

        if plan.todo:
            _fetch_models(settings, console)
        with (
            _progress_file(library) as file,
            stopped_by_ctrl_c(console) as pressed,
            watched(file, ProgressEstimate(plan.files, expected=expected), console),
        ):
            reported = select.within_reach(file, settings.run)
            stop = _stopper(pressed, ending)
            context = RunContext(library, settings, stamp, reported, stop)
            outcome = waves.run(context, plan, prune is not None)
    tried = {source for source, _ in outcome.failed}
    failures = manifest.failures(library.manifest)
    outcome.still_failed = [pair for pair in failures if pair[0] not in tried]
    return outcome


def _stopper(pressed: Callable[[], bool], ending: Ending) -> Callable[[], StopReason | None]:
    """What says before each wave why a run ends there, if it does."""
    asked = [time.monotonic()]

    def stop() -> StopReason | None:
        asked.append(time.monotonic())
        next_wave_ends = time.time() + asked[-1] - asked[-2]
        late = ending.deadline is not None and next_wave_ends > ending.deadline
        if pressed():
            return StopReason.CTRL_C
        return StopReason.DEADLINE if late else None

    return stop


def scan_job(
    library: Library, settings: Settings, console: Console, selection: Selection = WHAT_IS_NEW
) -> ScanResult:
    """Find the faces and people in what is new in an archive. The caller holds the lock.

    Ctrl-C ends it as it does a run.

    Raises:
        transforms.io.assets.AssetError, OSError: as `run_job`.
    """
    stamp = planning.new_stamp(settings)
    with console.status("looking at the archive"):
        todo = planning.plan_scan(library, settings, stamp, selection)
    quiet_logs.load_tensorflow(console)
    from photoveil.pipeline.run import waves
    from photoveil.pipeline.runners import select

    _fetch_models(settings, console)
    files = sum(1 + len(group.copies) for group in todo)
    with (
        _progress_file(library) as file,
        stopped_by_ctrl_c(console) as pressed,
        watched(file, ProgressEstimate(files, scan_only=True), console),
    ):
        reported = select.within_reach(file, settings.run)

        def stop() -> StopReason | None:
            return StopReason.CTRL_C if pressed() else None

        return waves.scan(RunContext(library, settings, stamp, reported, stop), todo)


def _fetch_models(settings: Settings, console: Console) -> None:
    for name in planning.models(settings):
        with console.status(f"fetching {name}"):
            assets.fetch(name)


@contextlib.contextmanager
def stopped_by_ctrl_c(console: Console) -> Iterator[Callable[[], bool]]:
    """Within, a first Ctrl-C only makes what is yielded true; a second one interrupts.

    Raises:
        KeyboardInterrupt: at the second one, also where Beam made an error of a stage of it.
    """
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            raise KeyboardInterrupt
        console.print(
            "Stopping after the photos in hand. Ctrl-C again stops at once, and costs no more "
            "than the batch of faces in hand."
        )

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    except RuntimeError as error:
        if len(pressed) > 1:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _progress_file(library: Library) -> Iterator[Path]:
    """Where workers on this machine say how far they are; never on remote storage."""
    if storage.is_local(library.state):
        yield Path(library.state, "progress")
    else:
        with tempfile.TemporaryDirectory(prefix="photoveil-") as folder:
            yield Path(folder, "progress")


def _is_folder(root: str) -> bool:
    return storage.is_local(root) and storage.exists(root)
