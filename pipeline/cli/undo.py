"""`photoveil undo` and `redo`: originals in place of cloaked photos, and back."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options
from photoveil.pipeline.cli.ask import agreed
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.exit_codes import ExitCode
from photoveil.pipeline.cli.output import failures, listed, print_text
from photoveil.pipeline.library.identity import LibraryError, library_around
from photoveil.pipeline.words import number
from photoveil.transforms.io import storage
from photoveil.transforms.io.storage import printable

if TYPE_CHECKING:
    from photoveil.pipeline.library.library import Library
    from photoveil.pipeline.state.review import Review

Paths = Annotated[
    list[str], typer.Argument(metavar="PATH...", help="Photos or folders in the library.")
]

_WARNING = (
    "Whoever sees these faces can learn them from now on, and no later cloak takes that back. Who "
    "has both the cloaked photo and the original can compare them."
)


def undo(
    paths: Paths,
    yes: options.Yes = False,
    state: options.State = None,
    verbose: options.Verbose = False,
) -> None:
    """Put the originals in place of cloaked photos, and leave them so in every later run.

    Exit status: 0 done; 1 stopped by an error, or you did not agree; 2 wrong usage or input; 3
    some originals could not be read.
    """
    quiet_logs.configure(verbose)
    console = Console()
    with errors_as_exit_codes():
        failed = undo_job(paths, state, console, yes)
    raise typer.Exit(ExitCode.SOME_FAILED if failed else ExitCode.DONE)


def redo(paths: Paths, state: options.State = None, verbose: options.Verbose = False) -> None:
    """Take back an undo: the next run cloaks these photos again, as they were.

    Exit status: 0 done; 1 stopped by an error; 2 wrong usage or input.
    """
    quiet_logs.configure(verbose)
    console = Console()
    with errors_as_exit_codes():
        redo_job(paths, state, console)


def undo_job(
    paths: Sequence[str], state: str | None, console: Console, yes: bool
) -> list[tuple[str, str]]:
    """Put originals in place of the cloaked photos at some paths, if the user agrees.

    Returns:
        Source and reason of those whose original could not be read.

    Raises:
        LibraryError: a path is not in a library, or another run is writing to it.
        NoAnswer: nobody answered.
        typer.Exit: the user did not agree.
        OSError: the library or its state cannot be read or written.
    """
    from photoveil.pipeline.library import sequence
    from photoveil.pipeline.library.library import locked
    from photoveil.pipeline.run import planning
    from photoveil.pipeline.run.naming import with_names
    from photoveil.pipeline.run.originals import put_originals
    from photoveil.pipeline.run.plan import Plan
    from photoveil.pipeline.state import review
    from photoveil.transforms.photo.discover import discover
    from photoveil.transforms.records import ContentGroup, Status

    library = _library(paths, state)
    with locked(library):
        kept = review.read(library.state)
        rows = [row for row in _rows(library, paths) if not _is_undone(kept, row)]
        if not rows:
            print_text(console, "Nothing is cloaked there.")
            return []
        print_text(console, _warning(library, rows))
        if not agreed("Put the originals there?", console, yes):
            print_text(console, "Nothing was done.")
            raise typer.Exit(ExitCode.STOPPED)
        wanted = {row["source"] for row in rows}
        refs = [ref for ref in discover(library.source) if ref.source in wanted]
        review.write(library.state, _marked(kept, rows, "original"))
        groups = tuple(ContentGroup(ref) for ref in refs)
        plan = with_names(Plan(originals=groups), library)
        names = sequence.names(library, planning.new_run_id())
        new = put_originals(library, plan.originals, review.read(library.state), names)
    failed = [(row["source"], row["reason"]) for row in new if row["status"] == Status.FAILED]
    failed += [(source, "the original is gone") for source in wanted - {ref.source for ref in refs}]
    done = len(rows) - len(failed)
    print_text(console, f"{number(done, 'original')} put in place, and left so by later runs.")
    print_text(console, "`photoveil redo` with the same paths and a run cloak them again.")
    for line in failures("Left as they are:", failed):
        print_text(console, line)
    return failed


def redo_job(paths: Sequence[str], state: str | None, console: Console) -> None:
    """Take back the undo of the photos at some paths.

    Raises:
        LibraryError: a path is not in a library, or another run is writing to it.
        OSError: the library or its state cannot be read or written.
    """
    from photoveil.pipeline.library.library import default_state, locked
    from photoveil.pipeline.state import review

    library = _library(paths, state)
    with locked(library):
        kept = review.read(library.state)
        rows = [row for row in _rows(library, paths) if _is_undone(kept, row)]
        review.write(library.state, _marked(kept, rows, ""))
    if not rows:
        print_text(console, "No photo there was undone.")
        return
    by_default = library.state == default_state(library.root)
    command = ["photoveil", "run", library.source, library.root]
    command += [] if by_default else ["--state", library.state]
    print_text(
        console,
        f"{number(len(rows), 'photo')} cloaked again by the next run: {shlex.join(command)}",
    )


def _library(paths: Sequence[str], state: str | None) -> Library:
    """Return the library that all of the paths are in.

    Raises:
        LibraryError: there is none, or there are several.
    """
    from photoveil.pipeline.library.library import reopen_library

    roots = set()
    for path in paths:
        root = library_around(storage.absolute(path))
        if root is None:
            raise LibraryError(
                f"{path} lies in no library of cloaked photos; give the cloaked photo, in OUT"
            )
        roots.add(root)
    if len(roots) > 1:
        raise LibraryError(f"these lie in several libraries: {', '.join(sorted(roots))}")
    return reopen_library(roots.pop(), state)


def _rows(library: Library, paths: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of the photos at some paths, and of all with the same bytes.

    Raises:
        LibraryError: one of the paths is not a photo of the library.
    """
    from photoveil.pipeline.library import manifest

    columns = ["source", "output", "source_sha256", "status", "faces", "duplicate_of", "format"]
    table = manifest.read(library.manifest, columns).to_pylist()
    there = [row for row in table if row["output"] is not None and row["format"] is not None]
    wanted: set[str] = set()
    for path in paths:
        below = printable(os.path.relpath(storage.absolute(path), library.root))
        found = {
            row["source_sha256"]
            for row in there
            if below == os.curdir or row["output"] == below or row["output"].startswith(f"{below}/")
        }
        if not found:
            raise LibraryError(f"{path} is no photo of the library {library.root}")
        wanted |= found
    return [row for row in there if row["source_sha256"] in wanted]


def _is_undone(review: Review, row: dict[str, Any]) -> bool:
    marks = review.photos.get(row["source_sha256"])
    return marks is not None and marks.mark == "original"


def _marked(review: Review, rows: Sequence[dict[str, Any]], mark: str) -> Review:
    """Return a review with a mark of these photos; what it says of their faces stays."""
    from photoveil.pipeline.state.review import PhotoMarks, Review

    changed = {}
    for row in rows:
        before = review.photos.get(row["source_sha256"], PhotoMarks(source=row["source"]))
        changed[row["source_sha256"]] = PhotoMarks.model_validate(
            {**before.model_dump(), "mark": mark}
        )
    return review.then(Review(photos=changed))


def _warning(library: Library, rows: Sequence[dict[str, Any]]) -> str:
    from photoveil.pipeline.library import manifest

    faces = sum(len(row["faces"]) for row in rows)
    sources = {row["source"] for row in rows}
    table = manifest.read(library.manifest, ["source", "duplicate_of", "status"]).to_pylist()
    near = [
        row["source"]
        for row in table
        if row["status"] == "cloaked"
        and row["duplicate_of"] in sources
        and row["source"] not in sources
    ]
    lines = [
        f"WARNING: this puts {number(faces, 'clean face')} into {library.root}, which is for "
        f"publishing, in {number(len(rows), 'photo')}, with all metadata of the originals.",
        _WARNING,
        *listed("Photos:", sorted(sources)),
        *listed("Near duplicates of these stay cloaked, beside the clean faces:", sorted(near)),
    ]
    return "\n".join(lines)
