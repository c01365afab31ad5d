"""`photoveil forget`: delete a private state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from photoveil.pipeline.cli import options
from photoveil.pipeline.cli.ask import agreed
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.exit_codes import ExitCode
from photoveil.pipeline.cli.output import print_text
from photoveil.pipeline.words import number, size
from photoveil.transforms.io import storage

if TYPE_CHECKING:
    from photoveil.pipeline.cli.private_states import PrivateState

_FOREIGN_SHOWN = 5


def forget(
    output: Annotated[
        str | None, typer.Argument(metavar="OUT", help="Library of cloaked photos.")
    ] = None,
    state: options.State = None,
    everything: Annotated[
        bool, typer.Option("--all", help="The private states of all libraries, see states.")
    ] = False,
    yes: options.Yes = False,
) -> None:
    """Delete a library's private state: who is who, and pictures of faces. Photos stay.

    Shows what is there and asks. Only files that Photoveil makes are deleted.

    Exit status: 0 deleted; 1 you did not agree, or stopped by an error; 2 wrong usage or input, or
    nobody answered.
    """
    console = Console()
    with errors_as_exit_codes():
        from photoveil.pipeline.cli.private_states import all_states, state_of

        if everything and output is None and state is None:
            found = all_states()
        elif output is None or everything:
            raise typer.BadParameter("give either OUT or --all")
        else:
            found = [state_of(output, state)]
        delete_states(found, console, yes)


def delete_states(states: Sequence[PrivateState], console: Console, yes: bool = False) -> None:
    """Show what private states hold, ask, and delete them.

    Args:
        states: to delete.
        console: to show and ask on.
        yes: do not ask.

    Raises:
        typer.Exit: the user does not agree.
        LibraryError: a run is writing to the library of one; those before it are deleted.
        pipeline.cli.ask.NoAnswer: nobody answered.
        OSError: one cannot be deleted.
    """
    from photoveil.pipeline.library import state_folder

    if not states:
        console.print("There is no private state.")
        return
    for state in states:
        _show(state, console)
    total = size(sum(state.content.size for state in states))
    what = "this private state" if len(states) == 1 else f"these {len(states)} private states"
    if not agreed(f"Delete {what} ({total})? Nothing brings it back.", console, yes):
        print_text(console, "Nothing was deleted.")
        raise typer.Exit(ExitCode.STOPPED)
    for state in states:
        with _noted(state, console):
            left = state_folder.delete(state.found.place)
        print_text(console, f"The private state in {state.found.place} is deleted.")
        if left:
            print_text(
                console,
                f"The folder stays, for Photoveil did not make {_some(left)}. Thumbnails that the "
                "system made of the sheets of faces may be among it.",
            )
    print_text(
        console,
        "Cloaked photos and the manifest are as they were. Later runs find people among later "
        "photos only; --recloak finds them in all.",
    )


@contextlib.contextmanager
def _noted(state: PrivateState, console: Console) -> Iterator[None]:
    """Hold the library's lock while its state is deleted, and note that in the library.

    Its next run then does not miss the state.
    """
    from photoveil.pipeline.library.library import Library, forgotten, locked

    if not state.there:
        yield
        return
    library = Library("", state.library, state.found.place)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(library))
            forgotten(library)
        except OSError as error:  # read-only; faces are deleted all the same
            print_text(
                console,
                f"{library.root} cannot be written to ({storage.explain(error)}): its next run "
                "will ask for --new-state.",
            )
        yield


def _show(state: PrivateState, console: Console) -> None:
    from photoveil.pipeline.cli.private_states import owner

    print_text(console, f"{state.found.place}: private state of {owner(state)}")
    for words, (count, room) in state.content.kinds.items():
        print_text(console, f"  {number(count, 'file'):>12}  {size(room):>8}  {words}")
    if state.content.foreign:
        print_text(console, f"  not Photoveil's, so it stays: {_some(state.content.foreign)}")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_FOREIGN_SHOWN])
    more = len(names) - _FOREIGN_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
