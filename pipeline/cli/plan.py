"""`photoveil plan`: look before anything is written; `run` and `scan` share its parts."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options
from photoveil.pipeline.cli.as_json import of_plan, print_json
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.output import print_text
from photoveil.pipeline.library.identity import LibraryError
from photoveil.transforms.io import storage

if TYPE_CHECKING:
    from photoveil.pipeline.library.inputs import Inputs
    from photoveil.pipeline.library.library import Library
    from photoveil.pipeline.library.manifest import RunStamp
    from photoveil.pipeline.run.estimate import Estimate
    from photoveil.pipeline.run.plan import Plan, Selection
    from photoveil.pipeline.settings import Settings
    from photoveil.pipeline.state.review import Review


def plan(
    source: options.Inputs,
    output: options.Out,
    mode: options.HowMuch = None,
    config: options.Config = None,
    state: options.State = None,
    strip_names: options.StripNames = False,
    only: options.Only = None,
    spare: options.Spare = None,
    recloak: options.Recloak = False,
    retry: options.Retry = False,
    since: options.Since = None,
    review: options.Review = None,
    new_state: options.NewState = False,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
) -> None:
    """Say what `run` would do and why, with the same arguments. Nothing is written."""
    quiet_logs.configure(verbose)
    console = Console(quiet=as_json)
    with errors_as_exit_codes():
        from photoveil.pipeline.library.inputs import find_inputs
        from photoveil.pipeline.library.library import open_library
        from photoveil.pipeline.run.planning import new_stamp, reviewed

        inputs = find_inputs(source, output, state)
        library = open_library(inputs.source, output, state, make=False, new_state=new_state)
        settings_of = partial(
            settings_in_mode,
            library,
            config,
            strip_names=strip_names or None,
            only=only or None,
            spare=spare or None,
        )
        settings = settings_of(mode and mode.value)
        chosen = make_selection(inputs, recloak, retry, since)
        check_job(library, settings, chosen)
        stamp = new_stamp(settings)
        marks = reviewed(library, marks_of(library, review), stamp, settings_of)
        chosen = replace(chosen, reviewed=marks)
        found = make_and_show_plan(library, settings, stamp, console, chosen)
        if as_json:
            print_json(of_plan(library, *found))


def make_selection(
    inputs: Inputs, recloak: bool = False, retry: bool = False, since: str | None = None
) -> Selection:
    """Return which photos the arguments and options of a command choose.

    Raises:
        SettingsError: `since` is not a date.
    """
    from photoveil.pipeline.run.chosen import Chosen
    from photoveil.pipeline.run.plan import Selection

    return Selection(
        recloak,
        retry,
        None if since is None else point_in_time(since),
        chosen=None if inputs.chosen is None else Chosen(inputs.chosen),
    )


def point_in_time(text: str) -> float:
    """Parse a date such as "2026-11-01", or "2026-11-01T18:30".

    Returns:
        Seconds since the epoch, by the local clock unless the text names another time zone.

    Raises:
        SettingsError: it is not a date.
    """
    from photoveil.pipeline.settings import SettingsError

    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise SettingsError(f"{text} is no date; write it as 2026-11-01") from error


def check_job(library: Library, settings: Settings, selection: Selection | None = None) -> None:
    """Check whether a run can do anything, before it makes a folder.

    Args:
        selection: which photos; what is new by default.

    Raises:
        LibraryError: there is no photo, or the settings name people that are not known.
        SettingsError: the runner's options are wrong.
        OSError: the archive or the private state cannot be read.
    """
    from photoveil.pipeline.run.plan import WHAT_IS_NEW
    from photoveil.transforms.photo.discover import holds_photo

    selection = selection or WHAT_IS_NEW
    if not holds_photo(library.source, selection.has):
        given = "" if selection.chosen is None else "what was given of "
        raise LibraryError(
            f"no photo was found in {given}{library.source}: no JPEG, MPO, PNG, WebP, TIFF, BMP, "
            "GIF, AVIF or HEIC file lies there or in a folder below it. Is the disk there, and is "
            "it the right folder? Nothing was done"
        )
    with_ids(library, settings)
    if settings.run.options or settings.run.runner != "local":
        from photoveil.pipeline.runners import select  # Beam, which knows its options

        select.check(settings.run, library.source, library.root, library.state)


def settings_in_mode(
    library: Library, config: Path | None, mode: str | None, **flags: Any
) -> Settings:
    """Return the settings of a run, with people by their ids.

    Args:
        library: of the people.
        config: YAML file with settings.
        mode: how much a face may change. **flags: of the command line, which override the file.

    Raises:
        SettingsError: they cannot be used.
        LibraryError: they name somebody who is not known.
    """
    from photoveil.pipeline.settings import load_settings

    return with_ids(library, load_settings(config, mode=mode, **flags))


def with_ids(library: Library, settings: Settings) -> Settings:
    """Return settings with the ids of people in place of the names that the owner gave them.

    Raises:
        LibraryError: nobody of that name is known.
    """
    from photoveil.pipeline.state import review
    from photoveil.pipeline.state.known_people import known
    from photoveil.transforms.faces.parameters import PeopleParameters

    if settings.people == PeopleParameters():
        return settings
    names, people = review.read(library.state), set(known(library.state).values())
    only, strangers = names.named(settings.people.only, people)
    spare, others = names.named(settings.people.spare, people)
    if unknown := {*strangers, *others}:
        raise LibraryError(
            f"nobody is called {', '.join(sorted(unknown))}; `photoveil people {library.root}` "
            "lists who is known, and `photoveil scan` finds people before the first run"
        )
    chosen = PeopleParameters(only=tuple(only), spare=tuple(spare))
    return settings.model_copy(update={"people": chosen})


def marks_of(library: Library, file: str | None) -> Review:
    """Return the review of a library, extended by an exported file.

    Raises:
        LibraryError: the file is not a review of this library.
        OSError: it cannot be read.
    """
    from photoveil.pipeline.library.identity import read_identity
    from photoveil.pipeline.state import review

    kept = review.read(library.state)
    if file is None:
        return kept
    identity = read_identity(library.root)
    return kept.then(review.read_file(file, identity.id if identity else ""))


def make_and_show_plan(
    library: Library,
    settings: Settings,
    stamp: RunStamp,
    console: Console,
    selection: Selection | None = None,
) -> tuple[Plan, Estimate]:
    """Find what a run would do, and print it.

    Args:
        library: with the archive.
        settings: of the run.
        stamp: of the run.
        console: to print on.
        selection: which photos; new ones by default.

    Raises:
        OSError: the archive or the library cannot be listed.
    """
    from photoveil.pipeline.cli.summaries import plan_summary
    from photoveil.pipeline.run import planning
    from photoveil.pipeline.run.estimate import estimate
    from photoveil.pipeline.run.plan import WHAT_IS_NEW
    from photoveil.pipeline.state.scan_cache import ScanCache

    with console.status("looking at the archive"):
        plan = planning.plan_run(library, settings, stamp, selection or WHAT_IS_NEW)
    coming = estimate(library, plan, ScanCache(library.state, settings, stamp), stamp)
    is_there = storage.is_local(library.root) and storage.exists(library.root)
    free = shutil.disk_usage(library.root).free if is_there else None
    print_text(console, plan_summary(plan, coming, free, library.source))
    return plan, coming
