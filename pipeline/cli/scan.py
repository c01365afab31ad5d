"""`photoveil scan`: find faces and people before the first photo is cloaked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options
from photoveil.pipeline.cli.as_json import of_scan, print_json
from photoveil.pipeline.cli.assets import fetch_models
from photoveil.pipeline.cli.ctrl_c import stopped_by_ctrl_c
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.exit_codes import ExitCode
from photoveil.pipeline.cli.output import print_text
from photoveil.pipeline.cli.plan import check_job, make_selection
from photoveil.pipeline.cli.progress_bar import ProgressEstimate, progress_file, watched
from photoveil.pipeline.cli.run import WORK_IS_KEPT

if TYPE_CHECKING:
    from photoveil.pipeline.library.library import Library
    from photoveil.pipeline.run.plan import Selection
    from photoveil.pipeline.run.result import ScanResult
    from photoveil.pipeline.settings import Settings


def scan(
    source: options.Inputs,
    output: options.Out,
    config: options.Config = None,
    state: options.State = None,
    since: options.Since = None,
    new_state: options.NewState = False,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
) -> None:
    """Find the faces and people in IN, so that you can choose before the first photo is cloaked.

    A later run does not scan a photo again that was scanned with the same settings. Ctrl-C stops
    it; the same command continues. Exit status: as of `run`.
    """
    quiet_logs.configure(verbose)
    console = Console(quiet=as_json)
    with errors_as_exit_codes(WORK_IS_KEPT):
        from photoveil.pipeline.cli.summaries import scan_summary
        from photoveil.pipeline.library.inputs import find_inputs
        from photoveil.pipeline.library.library import locked, open_library
        from photoveil.pipeline.settings import load_settings
        from photoveil.pipeline.state.known_people import known

        settings = load_settings(config)
        inputs = find_inputs(source, output, state)
        chosen = make_selection(inputs, since=since)
        before = open_library(inputs.source, output, state, make=False, new_state=new_state)
        check_job(before, settings, chosen)
        library = open_library(inputs.source, output, state, new_state=new_state)
        with locked(library):
            result = scan_job(library, settings, console, chosen)
        people = len(set(known(library.state).values()))
    if as_json:
        print_json(of_scan(result, people))
    else:
        print_text(console, scan_summary(result, people, library))
    raise typer.Exit(ExitCode.INTERRUPTED if result.stopped else ExitCode.DONE)


def scan_job(
    library: Library, settings: Settings, console: Console, selection: Selection
) -> ScanResult:
    """Find the faces and people in the chosen photos. The caller holds the library's lock.

    Ctrl-C ends it as it does a run.

    Raises:
        transforms.io.assets.AssetError: a model cannot be fetched.
        OSError: the archive cannot be listed, or the library or state not written.
    """
    from photoveil.pipeline.run import planning
    from photoveil.pipeline.run.result import StopReason

    stamp = planning.new_stamp(settings)
    with console.status("looking at the archive"):
        todo = planning.plan_scan(library, settings, stamp, selection)
    quiet_logs.load_tensorflow(console)
    from photoveil.pipeline.run import waves
    from photoveil.pipeline.run.context import RunContext
    from photoveil.pipeline.runners import select

    fetch_models(settings, console)
    files = sum(1 + len(group.copies) for group in todo)
    with (
        progress_file(library.state) as file,
        stopped_by_ctrl_c(console) as pressed,
        watched(file, ProgressEstimate(files, scan_only=True), console),
    ):
        reported = select.within_reach(file, settings.run)

        def stop() -> StopReason | None:
            return StopReason.CTRL_C if pressed() else None

        return waves.scan(RunContext(library, settings, stamp, reported, stop), todo)
