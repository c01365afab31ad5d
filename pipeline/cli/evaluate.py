"""`photoveil evaluate`: read the options, measure, print, and write the files."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options, requested_files
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.output import print_text
from photoveil.pipeline.library.identity import LibraryError
from photoveil.transforms.io import storage
from photoveil.transforms.io.storage import printable

if TYPE_CHECKING:
    from photoveil.pipeline.evaluation.evaluate import Evaluation


def evaluate(
    output: options.Root,
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
        typer.Option(metavar="NAME", help="May be given several times; by default all."),
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
    as_json: options.AsJson = False,
    state: options.State = None,
    verbose: options.Verbose = False,
) -> None:
    """Measure how well a recogniser finds the people in a library, and how visible cloaks are.

    Needs the extra `evaluate`. What the figures mean: docs/evaluation.md.
    """
    quiet_logs.configure(verbose)
    console = Console(quiet=as_json)
    request = Request(
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
    )
    with errors_as_exit_codes():
        quiet_logs.load_tensorflow(console)
        found = evaluate_job(request, console)
        if as_json:
            from photoveil.pipeline.evaluation import report as figures

            sys.stdout.write(figures.as_file(found, ".json").decode() + "\n")


@dataclass(frozen=True)
class Request:
    """The options of `photoveil evaluate`."""

    root: str
    originals: str
    people: str | None = None
    probes: str | None = None
    others: str | None = None
    recognisers: tuple[str, ...] = ()
    per_person: int = 20
    quick: bool = False
    report: str | None = None
    sheet: str | None = None
    state: str | None = None


def evaluate_job(request: Request, console: Console) -> Evaluation:
    """Evaluate a library and print progress and results.

    The report names people and the sheet shows uncloaked faces. Both are kept out of the library;
    the sheet is by default in its private state.

    Raises:
        LibraryError: the request cannot be met; the message says why.
        MissingPackage: a recogniser's package is not installed.
        transforms.io.assets.AssetError: a model cannot be fetched.
        OSError: a folder cannot be listed, or a result not written.
    """
    from PIL.PngImagePlugin import PngInfo

    from photoveil.pipeline.evaluation import report
    from photoveil.pipeline.evaluation.evaluate import draw_sheet, evaluate_library, looks
    from photoveil.pipeline.evaluation.labels import read_labels, study_library
    from photoveil.transforms.evaluate.conditions import AS_WRITTEN, CONDITIONS
    from photoveil.transforms.recognisers import names

    root = storage.absolute(request.root)
    _check(request, root)
    sheet = _sheet(request)
    labels = read_labels(request.originals, request.people)
    probes = _photos(request.probes) if request.probes else []
    padding = _strangers(request.others) if request.others else []
    study = study_library(root, request.originals, labels, probes, padding, request.per_person)
    conditions = [AS_WRITTEN] if request.quick else list(CONDITIONS)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("looking at photos", total=looks(study, conditions))
        found = evaluate_library(
            root,
            study,
            request.recognisers or names(),
            conditions,
            tick=lambda: bar.advance(task),
        )
    console.print(report.tables(found), highlight=False)
    if found.faces:
        out = io.BytesIO()
        mark = PngInfo()
        mark.add_text("Comment", requested_files.SHEET_MARK.decode())
        draw_sheet(found.faces).save(out, "PNG", pnginfo=mark)
        storage.write_private(sheet, out.getvalue())
        print_text(console, f"\nContact sheet (it shows uncloaked faces): {sheet}")
    if request.report:
        data = report.as_file(found, _suffix(request.report))
        storage.write_private(storage.absolute(request.report), data)
        print_text(console, f"Report: {request.report}")
    return found


def _check(request: Request, root: str) -> None:
    from photoveil.pipeline.evaluation import report
    from photoveil.transforms.recognisers import is_known, names

    unknown = sorted({name for name in request.recognisers if not is_known(name)})
    if unknown:
        raise LibraryError(
            f"no recogniser is called {', '.join(unknown)}; there are {', '.join(names())} and "
            "frbench:NAME"
        )
    if request.report and _suffix(request.report) not in report.SUFFIXES:
        raise LibraryError(f"{request.report}: a report is written as .json or .parquet")
    for folder in filter(None, (root, request.originals, request.probes, request.others)):
        if not storage.exists(folder):
            raise LibraryError(f"{folder} does not exist; give a folder that is there")
    photos = [*filter(None, (request.originals, request.probes, request.others))]
    for file, marks in (
        (request.report, requested_files.REPORT_MARKS),
        (request.sheet, (requested_files.SHEET_MARK,)),
    ):
        if not file:
            continue
        if storage.is_within(storage.absolute(file), root):
            raise LibraryError(
                f"{file} lies in the library {root}, which is for publishing; it would say who is "
                "in the photos: choose another place"
            )
        requested_files.check(file, photos, marks)


def _sheet(request: Request) -> str:
    """Return the path of the contact sheet."""
    from photoveil.pipeline.library.library import find_state
    from photoveil.pipeline.library.state_folder import SHEET

    if request.sheet:
        return storage.absolute(request.sheet)
    try:
        _, found = find_state(request.root, request.state)
    except LibraryError as error:
        raise LibraryError(f"{error}. Or say where the contact sheet goes: --sheet") from error
    return storage.join(found.place, SHEET)


def _photos(folder: str) -> list[tuple[str, str]]:
    from photoveil.pipeline.evaluation.labels import read_labels

    return [
        (person, storage.join(folder, name)) for name, person in sorted(read_labels(folder).items())
    ]


def _strangers(folder: str) -> list[tuple[str, str]]:
    """Return every photo below a folder as (person, path), each with a person of its own."""
    found = (entry.relative for entry in storage.walk(folder) if not entry.problem)
    return [(f"other: {printable(name)}", storage.join(folder, name)) for name in found]


def _suffix(file: str) -> str:
    return os.path.splitext(file)[1]
