"""`photoveil restore`: put back what the last prune deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.output import print_text
from photoveil.pipeline.words import number

if TYPE_CHECKING:
    from photoveil.pipeline.library.library import Library

_MOST_NAMED = 3  # of the files that stay


def restore(
    output: options.Root, state: options.State = None, verbose: options.Verbose = False
) -> None:
    """Put back the cloaked photos that the last `run --prune` deleted.

    Exit status: 0 done; 1 stopped by an error; 2 wrong usage or input.
    """
    quiet_logs.configure(verbose)
    console = Console()
    with errors_as_exit_codes():
        restore_job(output, state, console)


def restore_job(root: str, state: str | None, console: Console) -> None:
    """Put the files in the trash of a library back into it, and print what was done.

    Raises:
        LibraryError: there is no such library, or another run is writing to it.
        OSError: a file cannot be read or written.
    """
    from photoveil.pipeline.library import sequence, trash
    from photoveil.pipeline.library.library import locked, reopen_library
    from photoveil.pipeline.run import planning

    library = reopen_library(root, state)
    with locked(library):
        back, left = trash.restore(library, sequence.names(library, planning.new_run_id()))
    words = [_words(library, back)]
    if left:
        words.append(_left_words(left, f"{library.state}/{trash.FOLDER}"))
    print_text(console, "\n".join(words))


def _words(library: Library, back: int) -> str:
    if not back:
        return f"Nothing that was pruned is left to be put back into {library.root}."
    return (
        f"{back:,} pruned {'file is' if back == 1 else 'files are'} back in {library.root}. Run "
        "`photoveil run` without --prune until the originals are back, too."
    )


def _left_words(left: list[str], folder: str) -> str:
    one = len(left) == 1
    names = ", ".join(left[:_MOST_NAMED])
    more = f" and {len(left) - _MOST_NAMED:,} more" if len(left) > _MOST_NAMED else ""
    return (
        f"{number(len(left), 'file')} {'stays' if one else 'stay'} in {folder}, as the library has "
        f"something newer in {'its' if one else 'their'} place: {names}{more}"
    )
