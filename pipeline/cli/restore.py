"""Put back what the last prune deleted."""

from __future__ import annotations

from rich.console import Console

from photoveil.pipeline.library import sequence, trash
from photoveil.pipeline.library.library import Library, locked, reopen_library
from photoveil.pipeline.run import planning


def restore_job(root: str, state: str | None, console: Console) -> None:
    """Put the files in the trash of a library back into it, and say so.

    Raises:
        LibraryError: there is no such library, or another run is writing to it.
        OSError: a file cannot be read or written.
    """
    library = reopen_library(root, state)
    with locked(library):
        back, left = trash.restore(library, sequence.names(library, planning.new_run_id()))
    words = [_words(library, back)]
    if left:
        words.append(
            f"{left:,} stay in {library.state}/{trash.FOLDER}: the library has something newer in "
            "their place."
        )
    console.print("\n".join(words), highlight=False, markup=False, soft_wrap=True)


def _words(library: Library, back: int) -> str:
    if not back:
        return f"Nothing that was pruned is left to be put back into {library.root}."
    return (
        f"{back:,} pruned {'file is' if back == 1 else 'files are'} back in {library.root}. Run "
        "`photoveil run` without --prune until the originals are back, too."
    )
