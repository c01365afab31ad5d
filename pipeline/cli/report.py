"""`photoveil report`: a page for a browser that shows what was done to the photos."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.output import listed, print_text
from photoveil.pipeline.library.identity import LibraryError, library_around
from photoveil.pipeline.words import number, size
from photoveil.transforms.io import storage

if TYPE_CHECKING:
    from photoveil.pipeline.library.library import Library
    from photoveil.pipeline.report.write import Written


def report(
    output: options.Root,
    to: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Private folder for it; by default in the state."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    portable: Annotated[
        bool,
        typer.Option(
            "--portable", help="Copy each photo into it, smaller, so that it can be moved."
        ),
    ] = False,
    evaluation: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What `evaluate --report FILE.json` found; is kept."),
    ] = None,
    state: options.State = None,
    verbose: options.Verbose = False,
) -> None:
    """Write a page that shows each photo before and after, the people, and what failed.

    The page is private: it links to uncloaked photos.
    """
    quiet_logs.configure(verbose)
    console = Console()
    with errors_as_exit_codes():
        from photoveil.pipeline.library.library import reopen_library

        library = reopen_library(output, state)
        page = make_report(library, console, to, evaluation, portable)
    if show:
        webbrowser.open(Path(page).as_uri())


def make_report(
    library: Library,
    console: Console,
    to: str | None = None,
    evaluation: str | None = None,
    portable: bool = False,
) -> str:
    """Write the report of a library, with a bar on a terminal.

    Args:
        library: to show.
        console: for the bar.
        to: folder for it; by default one in the private state.
        evaluation: JSON report of `photoveil evaluate`, which is kept.
        portable: copy each photo into it, smaller.

    Returns:
        The path of the page.

    Raises:
        LibraryError: there is no library, `to` may not be used, or `evaluation` is another file.
        OSError: the library cannot be read or the report not written.
    """
    from photoveil.pipeline.cli.summaries import CAVEAT
    from photoveil.pipeline.library.state_folder import REPORT
    from photoveil.pipeline.report.write import Request, write_report

    if not storage.exists(library.manifest):
        raise LibraryError(f"{library.root} is no library of cloaked photos")
    if not storage.is_local(to or library.state):
        raise LibraryError(
            f"{to or library.state}: a report is for a browser; give a folder on a disk (--to)"
        )
    folder = storage.join(library.state, REPORT) if to is None else _folder(to, library)
    request = Request(folder, " ".join(CAVEAT.split()), evaluation, portable)
    with _Bar(console) as bar:
        written = write_report(library, request, bar)
    print_text(console, _summary(written))
    return written.page


def _folder(to: str, library: Library) -> str:
    """Return the folder of the report: a new one, an empty one or that of an earlier report.

    Raises:
        LibraryError: it is among the photos, or holds something else.
    """
    from photoveil.pipeline.report.write import MARK

    folder = storage.absolute(to)
    for place in (library.source, library.root):
        if storage.is_within(folder, place):
            raise LibraryError(
                f"{to} lies in {place}; a report leads to uncloaked photos and says who is in "
                "them: choose a place that is not published"
            )
    if storage.is_local(folder) and os.path.isfile(folder):
        raise LibraryError(f"{to} is a file; give a folder for the report")
    if published := library_around(folder):
        raise LibraryError(
            f"{to} lies in {published}, which is for publishing; choose another place"
        )
    if not storage.is_empty(folder) and not storage.exists(storage.join(folder, MARK)):
        raise LibraryError(
            f"{to} is not empty and holds no report; choose a new or an empty folder"
        )
    return folder


def _summary(written: Written) -> str:
    lines = [
        f"{number(written.files, 'file')}; {number(written.drawn, 'picture')} drawn. "
        f"The page loads {size(written.page_size)}, the report has {size(written.size)}.",
        *listed("Photos that cannot be shown:", written.unseen),
        "",
        f"Report: {written.page}",
        "It is private: it leads to uncloaked photos and says who is in them.",
    ]
    return "\n".join(lines)


class _Bar(Progress):
    """A bar, on a terminal, for the pictures that are drawn."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("drawing pictures"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def begin(self, total: int) -> None:
        self._task = self.add_task("", total=total)

    def tick(self) -> None:
        self.advance(self._task)
