"""`photoveil run`: print the plan, then cloak and print progress.

TensorFlow and Beam take seconds to load, so what needs them is imported once there is work for it.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options, requested_files
from photoveil.pipeline.cli.ask import agreed
from photoveil.pipeline.cli.assets import fetch_models
from photoveil.pipeline.cli.ctrl_c import stopped_by_ctrl_c
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.exit_codes import ExitCode
from photoveil.pipeline.cli.output import failures, print_text
from photoveil.pipeline.cli.plan import (
    check_job,
    make_and_show_plan,
    make_selection,
    marks_of,
    settings_in_mode,
)
from photoveil.pipeline.cli.progress_bar import ProgressEstimate, progress_file, watched

if TYPE_CHECKING:
    from photoveil.pipeline.library.library import Library
    from photoveil.pipeline.run.plan import Selection
    from photoveil.pipeline.run.pruning import Consent
    from photoveil.pipeline.run.result import RunResult, StopReason
    from photoveil.pipeline.settings import Settings

WORK_IS_KEPT = "Stopped. What is done is kept; the same command goes on from there."
"""What a command says after Ctrl-C that goes on from there when it is given again."""


@dataclass(frozen=True)
class Ending:
    """When a run ends before all is done.

    limit: number of photos.
    deadline: seconds since the epoch.
    """

    limit: int | None = None
    deadline: float | None = None


ALL_DONE = Ending()


def run(
    source: options.Inputs,
    output: options.Out,
    mode: options.HowMuch = None,
    config: options.Config = None,
    state: options.State = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; one uses every core already.")
    ] = None,
    runner: Annotated[
        options.Runner | None, typer.Option(help="What carries out the work; by default local.")
    ] = None,
    dask_scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Scheduler of --runner dask, as tcp://host:8786."),
    ] = None,
    strip_names: options.StripNames = False,
    only: options.Only = None,
    spare: options.Spare = None,
    recloak: options.Recloak = False,
    retry: options.Retry = False,
    since: options.Since = None,
    review: options.Review = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete cloaked photos whose originals are gone.")
    ] = False,
    max_delete: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Prune without a question, but no more than this."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Prune any number without a question.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Cloak no more photos than this.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="Stop in time for this.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, as plan does.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing unless photos fail, for cron.")
    ] = False,
    log: options.Log = None,
    new_state: options.NewState = False,
    verbose: options.Verbose = False,
) -> None:
    """Cloak every photo below IN into OUT. Run it again for what is new.

    IN may be photos and folders, as a shell's pattern gives them: OUT is the last argument.

    Ctrl-C stops it after the photos in progress; the same command continues.

    Exit status: 0 all done; 1 stopped by an error; 2 wrong usage or input; 3 some photos failed, in
    this run or an earlier one; 130 stopped by Ctrl-C.
    """
    quiet_logs.configure(verbose)
    console = Console(quiet=quiet)
    with errors_as_exit_codes(WORK_IS_KEPT):
        from photoveil.pipeline.cli.summaries import summary
        from photoveil.pipeline.library.inputs import find_inputs
        from photoveil.pipeline.library.library import locked, open_library
        from photoveil.pipeline.run.planning import new_stamp, reviewed
        from photoveil.pipeline.state.review import write as keep

        inputs = find_inputs(source, output, state)
        before = open_library(inputs.source, output, state, make=False, new_state=new_state)
        settings_of = partial(
            settings_in_mode,
            before,
            config,
            workers=workers,
            runner=runner and runner.value,
            options=dask_scheduler and {"dask_scheduler": dask_scheduler},
            strip_names=strip_names or None,
            only=only or None,
            spare=spare or None,
        )
        settings = settings_of(mode and mode.value)
        ending = Ending(limit, None if deadline is None else next_time(deadline))
        chosen = make_selection(inputs, recloak, retry, since)
        consent = _consent(prune, max_delete, yes, console)
        check_job(before, settings, chosen)
        marks = marks_of(before, review)  # another library's is refused before a folder is made
        if log is not None:
            places = [before.source, before.root]
            quiet_logs.keep(requested_files.check(log, places, [quiet_logs.LOG_MARK]))
        if dry_run:
            stamp = new_stamp(settings)
            chosen = replace(chosen, reviewed=reviewed(before, marks, stamp, settings_of))
            make_and_show_plan(before, settings, stamp, console, chosen)
            raise typer.Exit
        library = open_library(inputs.source, output, state, new_state=new_state)
        with locked(library):
            if review is not None:
                keep(library.state, marks_of(library, review))
            result = run_job(library, settings, console, chosen, consent, ending, settings_of)
    print_text(console, summary(result, library))
    if quiet:
        lines = failures("Failed:", [*result.failed, *result.still_failed])
        print_text(Console(stderr=True), "\n".join(lines)) if lines else None
    raise typer.Exit(_exit_code(result))


def next_time(clock: str) -> float:
    """Return when a clock next shows a time such as "06:00", in seconds since the epoch.

    Raises:
        SettingsError: it is not a time.
    """
    from photoveil.pipeline.settings import SettingsError

    try:
        wanted = dt.time.fromisoformat(clock)
        if wanted.tzinfo is not None:
            raise ValueError("a time of another clock")
    except ValueError as error:
        raise SettingsError(f"{clock} is no time of day; write it as 06:00") from error
    now = dt.datetime.now()
    today = dt.datetime.combine(now, wanted)
    return (today if today > now else today + dt.timedelta(days=1)).timestamp()


def run_job(
    library: Library,
    settings: Settings,
    console: Console,
    selection: Selection | None = None,
    prune: Consent | None = None,
    ending: Ending = ALL_DONE,
    settings_of: Callable[[str], Settings] | None = None,
) -> RunResult:
    """Cloak photos of an archive. The caller holds the library's lock.

    A first Ctrl-C ends the run after the photos in progress, a second one at once. TensorFlow and
    Beam are loaded once there is something to do.

    Args:
        library: with the archive.
        settings: of the run.
        console: for progress.
        selection: which photos; new ones by default.
        prune: decides how many outputs of sources that are gone may be deleted; None for none.
        ending: when to stop before all is done.
        settings_of: returns the settings in another mode, for photos that a review asks to cloak
            less or more; without it they are cloaked like the others.

    Raises:
        LibraryError: `prune` does not allow the deletion. Nothing was done.
        transforms.io.assets.AssetError: a model cannot be fetched.
        OSError: the archive cannot be listed, or the library or state not written.
    """
    from photoveil.pipeline.library import manifest
    from photoveil.pipeline.run import planning, pruning, reconcile
    from photoveil.pipeline.run.plan import WHAT_IS_NEW
    from photoveil.pipeline.run.result import RunResult
    from photoveil.pipeline.state.review import read as read_review

    stamp = planning.new_stamp(settings)
    reviewed = planning.reviewed(library, read_review(library.state), stamp, settings_of)
    selection = replace(selection or WHAT_IS_NEW, reviewed=reviewed)
    plan, coming = make_and_show_plan(library, settings, stamp, console, selection)
    if prune is not None:
        pruning.check(library, plan, prune)
    expected = coming.most / max(1, plan.files)
    if ending.limit is not None:
        plan = replace(plan, todo=plan.todo[: ending.limit])
    result = RunResult(plan)
    if reconcile.is_idle(library, plan, prune is not None):
        reconcile.delete_unfinished(library)
    else:
        quiet_logs.load_tensorflow(console)
        from photoveil.pipeline.run import waves
        from photoveil.pipeline.run.context import RunContext
        from photoveil.pipeline.runners import select

        if plan.todo:
            for wanted in (settings, *(other for other, _ in reviewed.levels.values())):
                fetch_models(wanted, console)
        with (
            progress_file(library.state) as file,
            stopped_by_ctrl_c(console) as pressed,
            watched(file, ProgressEstimate(plan.files, expected=expected), console),
        ):
            reported = select.within_reach(file, settings.run)
            stop = _stopper(pressed, ending)
            context = RunContext(library, settings, stamp, reported, stop, reviewed)
            result = waves.run(context, plan, prune is not None)
    tried = {source for source, _ in result.failed}
    failures = manifest.failures(library.manifest)
    result.still_failed = [pair for pair in failures if pair[0] not in tried]
    return result


def _consent(prune: bool, most: int | None, yes: bool, console: Console) -> Consent | None:
    """Return what a person agrees to have deleted; None if nothing is to be pruned."""
    from photoveil.pipeline.run.pruning import Consent
    from photoveil.pipeline.settings import SettingsError

    if not prune:
        if most is not None or yes:
            raise SettingsError("--max-delete and --yes are about what --prune deletes; add it")
        return None
    if most is not None and yes:
        raise SettingsError("--max-delete sets a bound and --yes none; choose one of them")
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return Consent(yes, most, partial(agreed, console=console) if is_terminal else None)


def _stopper(pressed: Callable[[], bool], ending: Ending) -> Callable[[], StopReason | None]:
    """Return a function that says, before each wave, whether and why a run ends there."""
    from photoveil.pipeline.run.result import StopReason

    asked = [time.monotonic()]

    def stop() -> StopReason | None:
        asked.append(time.monotonic())
        next_wave_ends = time.time() + asked[-1] - asked[-2]
        late = ending.deadline is not None and next_wave_ends > ending.deadline
        if pressed():
            return StopReason.CTRL_C
        return StopReason.DEADLINE if late else None

    return stop


def _exit_code(result: RunResult) -> ExitCode:
    from photoveil.pipeline.run.result import StopReason

    if result.stopped is StopReason.CTRL_C:
        return ExitCode.INTERRUPTED
    return ExitCode.SOME_FAILED if result.failed or result.still_failed else ExitCode.DONE
