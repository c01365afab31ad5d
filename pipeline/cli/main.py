"""The command line. Heavy imports wait until a command needs them: help must come at once."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from photoveil.pipeline import quiet_logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from photoveil.pipeline.cli.states import State as PrivateState
    from photoveil.pipeline.run.plan import Selection
    from photoveil.pipeline.run.pruning import Consent
    from photoveil.pipeline.run.result import RunResult

STOPPED, BAD_INPUT, SOME_FAILED, INTERRUPTED = 1, 2, 3, 130
_KEPT = "Stopped. What is done is kept; the same command goes on from there."

app = typer.Typer(
    name="photoveil",
    help="Cloak a photo archive against facial recognition.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Mode(StrEnum):
    """How much a face may change."""

    low = "low"
    mid = "mid"
    high = "high"


class Runner(StrEnum):
    """What carries the work out."""

    local = "local"
    prism = "prism"
    flink = "flink"
    dataflow = "dataflow"


# What several commands are told in the same words.
In = Annotated[str, typer.Argument(metavar="IN", help="Folder of the photos; only read.")]
Out = Annotated[str, typer.Argument(metavar="OUT", help="Folder for the cloaked photos.")]
Root = Annotated[str, typer.Argument(metavar="OUT", help="Library of cloaked photos.")]
HowMuch = Annotated[Mode | None, typer.Option(help="How much a face may change; mid unless told.")]
Config = Annotated[Path | None, typer.Option(help="YAML file with settings.")]
State = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Private folder; by default in your state folder."),
]
NewState = Annotated[
    bool, typer.Option("--new-state", help="Begin a new private state, for the old one is lost.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
StripNames = Annotated[
    bool, typer.Option("--strip-names", help="Leave out who is in a photo, as metadata says it.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(help="Cloak nobody but this person (see people); several times."),
]
Spare = Annotated[
    list[str] | None, typer.Option("--except", help="Do not cloak this person; several times.")
]
Recloak = Annotated[
    bool, typer.Option("--recloak", help="Do photos anew that were done with other settings.")
]
Retry = Annotated[
    bool, typer.Option("--retry", help="Try photos again that failed, though nothing changed.")
]
Since = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Leave files alone that were modified before 2026-11-01."),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", help="Show the libraries' own logs, and what they say of photos."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"photoveil {version('photoveil')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    source: In,
    output: Out,
    mode: HowMuch = None,
    config: Config = None,
    state: State = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; one uses every core already.")
    ] = None,
    runner: Annotated[
        Runner | None, typer.Option(help="What carries the work out; local unless told.")
    ] = None,
    strip_names: StripNames = False,
    only: Only = None,
    spare: Spare = None,
    recloak: Recloak = False,
    retry: Retry = False,
    since: Since = None,
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
        str | None, typer.Option(metavar="HH:MM", help="Stop in time for this; go on next night.")
    ] = None,
    new_state: NewState = False,
    verbose: Verbose = False,
) -> None:
    """Cloak every photo below IN into OUT. Run it again for what is new.

    Ctrl-C ends it after the photos in hand; the same command goes on from there.

    Exit status: 0 all done; 1 stopped by an error; 2 wrong usage or input; 3 some photos failed,
    in this run or an earlier one; 130 stopped by Ctrl-C.
    """
    _set_logs(verbose)
    from photoveil.pipeline.cli.job import Ending, check_job, next_time, run_job
    from photoveil.pipeline.cli.summaries import summary
    from photoveil.pipeline.library.library import LibraryError, locked, open_library
    from photoveil.pipeline.settings import SettingsError, load_settings
    from photoveil.transforms.io.assets import AssetError

    console, errors = _consoles()
    try:
        settings = load_settings(
            config,
            mode=mode and mode.value,
            workers=workers,
            runner=runner and runner.value,
            strip_names=strip_names or None,
            only=only or None,
            spare=spare or None,
        )
        ends = Ending(limit, None if deadline is None else next_time(deadline))
        selection = _selection(recloak, retry, since)
        consent = _consent(prune, max_delete, yes)
        check_job(open_library(source, output, state, make=False, new_state=new_state), settings)
        library = open_library(source, output, state, new_state=new_state)
        with locked(library):
            outcome = run_job(library, settings, console, selection, consent, ends)
    except (LibraryError, SettingsError) as error:
        _stop(errors, error, BAD_INPUT)
    except (AssetError, OSError) as error:
        _stop(errors, error, STOPPED)
    except KeyboardInterrupt:
        _stop_at_once(errors, _KEPT)
    console.print(summary(outcome, library), highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(_status(outcome))


@app.command()
def plan(
    source: In,
    output: Out,
    mode: HowMuch = None,
    config: Config = None,
    state: State = None,
    strip_names: StripNames = False,
    only: Only = None,
    spare: Spare = None,
    recloak: Recloak = False,
    retry: Retry = False,
    since: Since = None,
    new_state: NewState = False,
    verbose: Verbose = False,
) -> None:
    """Say what `run` would do and why. Nothing is written."""
    _set_logs(verbose)
    from photoveil.pipeline.cli.job import check_job, make_and_show_plan
    from photoveil.pipeline.library.library import LibraryError, open_library
    from photoveil.pipeline.run.planning import new_stamp
    from photoveil.pipeline.settings import SettingsError, load_settings

    console, errors = _consoles()
    try:
        settings = load_settings(
            config,
            mode=mode and mode.value,
            strip_names=strip_names or None,
            only=only or None,
            spare=spare or None,
        )
        selection = _selection(recloak, retry, since)
        library = open_library(source, output, state, make=False, new_state=new_state)
        check_job(library, settings)
        make_and_show_plan(library, settings, new_stamp(settings), console, selection)
    except (LibraryError, SettingsError) as error:
        _stop(errors, error, BAD_INPUT)
    except OSError as error:
        _stop(errors, error, STOPPED)


@app.command()
def scan(
    source: In,
    output: Out,
    config: Config = None,
    state: State = None,
    since: Since = None,
    new_state: NewState = False,
    verbose: Verbose = False,
) -> None:
    """Find the faces and people in IN, so that you can choose before the first photo is cloaked.

    A run later looks at no photo again that was scanned with the same settings. Ctrl-C ends it;
    the same command goes on from there. Exit status: as of `run`.
    """
    _set_logs(verbose)
    from photoveil.pipeline.cli.job import check_job, scan_job
    from photoveil.pipeline.cli.summaries import scan_summary
    from photoveil.pipeline.library.library import LibraryError, locked, open_library
    from photoveil.pipeline.settings import SettingsError, load_settings
    from photoveil.pipeline.state.known_people import known
    from photoveil.transforms.io.assets import AssetError

    console, errors = _consoles()
    try:
        settings = load_settings(config)
        selection = _selection(False, False, since)
        check_job(open_library(source, output, state, make=False, new_state=new_state), settings)
        library = open_library(source, output, state, new_state=new_state)
        with locked(library):
            outcome = scan_job(library, settings, console, selection)
    except (LibraryError, SettingsError) as error:
        _stop(errors, error, BAD_INPUT)
    except (AssetError, OSError) as error:
        _stop(errors, error, STOPPED)
    except KeyboardInterrupt:
        _stop_at_once(errors, _KEPT)
    people = len(set(known(library.state).values()))
    words = scan_summary(outcome, people, library)
    console.print(words, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(INTERRUPTED if outcome.stopped else 0)


@app.command()
def evaluate(
    output: Root,
    originals: Annotated[str, typer.Option(metavar="IN", help="The folder it was made from.")],
    people: Annotated[
        str | None,
        typer.Option(
            metavar="CSV",
            help="Whose photo is which: columns file (below IN) and person. By default people.csv "
            "in IN; without one, the first folder below IN is the person.",
        ),
    ] = None,
    probes: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Clean photos of the same people that were not published, told apart likewise. "
            "By default each original is searched for among the others' cloaked files.",
        ),
    ] = None,
    others: Annotated[
        str | None, typer.Option(metavar="DIR", help="Photos of strangers, to fill the gallery.")
    ] = None,
    recogniser: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="May come several times; all of them unless told."),
    ] = None,
    per_person: Annotated[
        int, typer.Option(min=1, help="Look at most at so many published photos of each person.")
    ] = 20,
    quick: Annotated[bool, typer.Option("--quick", help="Only the files as written.")] = False,
    report: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the figures, .json or .parquet.")
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(metavar="PNG", help="Contact sheet; by default in the state.")
    ] = None,
    state: State = None,
    verbose: Verbose = False,
) -> None:
    """Measure how well a recogniser finds the people in a library, and how visible cloaks are.

    Needs the extra `evaluate`. What the figures mean: docs/evaluation.md.
    """
    _set_logs(verbose)
    console, errors = _consoles()
    quiet_logs.load_tensorflow(console)
    from photoveil.pipeline.cli.evaluate import Request, evaluate_job
    from photoveil.pipeline.library.library import LibraryError
    from photoveil.transforms.io.assets import AssetError
    from photoveil.transforms.recognisers import MissingPackage

    try:
        evaluate_job(
            Request(
                root=output,
                originals=originals,
                people=people,
                probes=probes,
                others=others,
                recognisers=tuple(recogniser or ()),
                per_person=per_person,
                quick=quick,
                report=report,
                sheet=sheet,
                state=state,
            ),
            console,
        )
    except LibraryError as error:
        _stop(errors, error, BAD_INPUT)
    except (AssetError, MissingPackage, OSError) as error:
        _stop(errors, error, STOPPED)


@app.command()
def status(output: Root, state: State = None, verbose: Verbose = False) -> None:
    """Say what a library holds, how its last run ended and whether one is going on.

    Exit status: 0 nothing was left undone, or a run is at it; 1 stopped by an error; 2 no library;
    3 the last run was cut short, or photos fail.
    """
    _set_logs(verbose)
    console, errors = _consoles()
    from photoveil.pipeline.cli.status import read_status, words
    from photoveil.pipeline.library.library import LibraryError

    try:
        found = read_status(output, state)
    except LibraryError as error:
        _stop(errors, error, BAD_INPUT)
    except OSError as error:
        _stop(errors, error, STOPPED)
    console.print(words(found), highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(0 if found.is_well else SOME_FAILED)


@app.command()
def restore(output: Root, state: State = None, verbose: Verbose = False) -> None:
    """Put back the cloaked photos that the last `run --prune` deleted.

    Exit status: 0 done; 1 stopped by an error; 2 wrong usage or input.
    """
    _set_logs(verbose)
    console, errors = _consoles()
    from photoveil.pipeline.cli.restore import restore_job
    from photoveil.pipeline.library.library import LibraryError

    try:
        restore_job(output, state, console)
    except LibraryError as error:
        _stop(errors, error, BAD_INPUT)
    except OSError as error:
        _stop(errors, error, STOPPED)


@app.command()
def verify(
    output: Root,
    originals: Annotated[
        str | None,
        typer.Option(metavar="IN", help="The folder it was made from; as the state says it."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Delete what is damaged: the next run makes it anew.")
    ] = False,
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="List all that is wrong there.")
    ] = None,
    leaks: Annotated[
        bool,
        typer.Option(
            "--leaks", help="Instead look for uncloaked faces in thumbnails, previews and the like."
        ),
    ] = False,
    state: State = None,
    verbose: Verbose = False,
) -> None:
    """Read a whole library and its originals again: is all there, whole and as it was?

    Says what is wrong, and the command that mends it.

    Exit status: 0 all in order; 1 stopped by an error; 2 wrong usage or input; 3 something is
    wrong; 130 stopped by Ctrl-C.
    """
    _set_logs(verbose)
    console, errors = _consoles()
    from photoveil.pipeline.library.library import LibraryError, reopen_library
    from photoveil.transforms.io.assets import AssetError

    try:
        library = reopen_library(output, state, originals)
        if leaks:
            quiet_logs.load_tensorflow(console)
            from photoveil.pipeline.cli.verify_leaks import leak_job

            wrong = not leak_job(output, library.source, console).is_well
        else:
            from photoveil.pipeline.cli.verify import verify_job

            wrong = bool(verify_job(library, console, repair, csv).findings)
    except LibraryError as error:
        _stop(errors, error, BAD_INPUT)
    except (AssetError, OSError) as error:
        _stop(errors, error, STOPPED)
    except KeyboardInterrupt:
        _stop_at_once(errors, "Stopped.")
    raise typer.Exit(SOME_FAILED if wrong else 0)


@app.command()
def people(
    output: Root,
    sheet: Annotated[
        str | None, typer.Option(metavar="JPG", help="Contact sheet; by default in the state.")
    ] = None,
    state: State = None,
    verbose: Verbose = False,
) -> None:
    """List the people of a library, with a contact sheet of their faces."""
    _set_logs(verbose)
    console, errors = _consoles()
    from photoveil.pipeline.cli.people import show_people
    from photoveil.pipeline.library.library import LibraryError, reopen_library

    try:
        show_people(reopen_library(output, state), console, sheet)
    except LibraryError as error:
        _stop(errors, error, BAD_INPUT)
    except OSError as error:
        _stop(errors, error, STOPPED)


@app.command()
def forget(
    output: Annotated[
        str | None, typer.Argument(metavar="OUT", help="Library of cloaked photos.")
    ] = None,
    state: State = None,
    everything: Annotated[
        bool, typer.Option("--all", help="The private states of all libraries, see states.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Delete a library's private state: who is who, and pictures of faces. Photos stay.

    Shows what is there and asks. Only files that Photoveil makes are deleted.

    Exit status: 0 deleted; 1 not agreed to, or stopped by an error; 2 wrong usage or input, or
    nobody there to answer.
    """
    console, errors = _consoles()
    from photoveil.pipeline.cli.states import all_states, state_of

    def which() -> list[PrivateState]:
        if everything and output is None and state is None:
            return all_states()
        if output is None or everything:
            raise typer.BadParameter("give either OUT or --all")
        return [state_of(output, state)]

    _delete_states(which, yes, console, errors)


@app.command()
def states(
    delete: Annotated[
        list[str] | None,
        typer.Option("--delete", metavar="ID", help="Delete this one; several times. Or a folder."),
    ] = None,
    yes: Yes = False,
) -> None:
    """List the private states in your state folder: whose they are, and how large."""
    console, errors = _consoles()
    from photoveil.pipeline.cli.states import list_states, states_to_delete

    if delete:
        _delete_states(lambda: states_to_delete(delete), yes, console, errors)
        return
    try:
        list_states(console)
    except OSError as error:
        _stop(errors, error, STOPPED)


def _delete_states(
    which: Callable[[], list[PrivateState]], yes: bool, console: Console, errors: Console
) -> None:
    from photoveil.pipeline.cli.ask import NoAnswer
    from photoveil.pipeline.cli.states import forget
    from photoveil.pipeline.library.library import LibraryError

    try:
        found = which()
        if found and not forget(found, console, yes):
            raise typer.Exit(STOPPED)
    except (LibraryError, NoAnswer) as error:
        _stop(errors, error, BAD_INPUT)
    except OSError as error:
        _stop(errors, error, STOPPED)
    if not found:
        console.print("There is no private state.")


@app.command()
def assets(verbose: Verbose = False) -> None:
    """List the models and demo photos, and fetch those that are not here yet."""
    _set_logs(verbose)
    from rich.table import Table

    from photoveil.transforms.io.assets import AssetError, cache_folder, catalogue, fetch, is_cached

    console, errors = _consoles()
    table = Table("asset", "what", "licence", "sha256", "state")
    failures = []
    for name, asset in catalogue().items():
        if asset.kind in ("judge", "reference"):  # what only evaluation and tests need
            continue
        state = "in the cache"
        try:
            if not is_cached(asset):
                with console.status(f"fetching {name}"):
                    fetch(name)
                state = "fetched"
        except AssetError as error:
            failures.append(error)
            state = "[red]missing[/red]"
        table.add_row(name, asset.about, asset.licence, asset.sha256[:12] + "…", state)
    console.print(table)
    console.print(f"Cache: {cache_folder()}", highlight=False, markup=False, soft_wrap=True)
    for failure in failures:
        errors.print(str(failure), markup=False, soft_wrap=True)
    if failures:
        raise typer.Exit(STOPPED)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where; emptied first if a demo made it.")] = Path(
        "demo"
    ),
    mode: Annotated[Mode, typer.Option(help="How much a face may change.")] = Mode.mid,
    verbose: Verbose = False,
) -> None:
    """Build a small archive of public photos, cloak it, and show what came out."""
    _set_logs(verbose)
    console, errors = _consoles()
    quiet_logs.load_tensorflow(console)
    from photoveil.pipeline.cli.demo import run_demo
    from photoveil.pipeline.library.library import LibraryError
    from photoveil.transforms.io.assets import AssetError

    try:
        run_demo(folder, mode.value, console)
    except (AssetError, LibraryError, OSError) as error:
        _stop(errors, error, STOPPED)


def main() -> None:
    """Entry point of the `photoveil` command."""
    try:
        app()
    except SystemExit as ending:
        _end(ending.code if isinstance(ending.code, int) else 0 if ending.code is None else 1)
    _end(0)


def _status(outcome: RunResult) -> int:
    from photoveil.pipeline.run.result import StopReason

    if outcome.stopped is StopReason.CTRL_C:
        return INTERRUPTED
    return SOME_FAILED if outcome.failed or outcome.still_failed else 0


def _selection(recloak: bool, retry: bool, since: str | None) -> Selection:
    from photoveil.pipeline.cli.job import point_in_time
    from photoveil.pipeline.run.plan import Selection

    return Selection(recloak, retry, None if since is None else point_in_time(since))


def _consent(prune: bool, most: int | None, yes: bool) -> Consent | None:
    """What a person agrees to have deleted; None where nothing is to be pruned."""
    from photoveil.pipeline.run.pruning import Consent
    from photoveil.pipeline.settings import SettingsError

    if not prune:
        if most is not None or yes:
            raise SettingsError("--max-delete and --yes are about what --prune deletes; add it")
        return None
    if most is not None and yes:
        raise SettingsError("--max-delete sets a bound and --yes none; choose one of them")
    answers = sys.stdin.isatty() and sys.stdout.isatty()
    return Consent(yes, most, typer.confirm if answers else None)


def _end(code: int) -> NoReturn:
    """End the process without taking the libraries down one by one.

    All is written by now. Threads of TensorFlow and Arrow that are still there while C++ destroys
    what they use have ended a finished run by SIGABRT, with that as its exit code.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _stop(errors: Console, error: Exception, code: int) -> NoReturn:
    errors.print(f"photoveil: {error}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def _stop_at_once(errors: Console, words: str) -> NoReturn:
    errors.print(words)
    sys.stderr.flush()
    os._exit(INTERRUPTED)  # worker threads are in the middle of a photo and cannot be joined


def _consoles() -> tuple[Console, Console]:
    from rich.console import Console

    return Console(), Console(stderr=True)


def _set_logs(verbose: bool) -> None:
    if verbose:
        logging.basicConfig(level=logging.INFO)
    else:
        quiet_logs.hide()
