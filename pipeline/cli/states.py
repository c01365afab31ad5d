"""`photoveil states`: which private states are in the user's state folder."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from photoveil.pipeline.cli import options
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.forget import delete_states
from photoveil.pipeline.cli.output import print_text
from photoveil.pipeline.words import number, size
from photoveil.transforms.io import storage

if TYPE_CHECKING:
    from photoveil.pipeline.cli.private_states import PrivateState


def states(
    delete: Annotated[
        list[str] | None,
        typer.Option("--delete", metavar="ID", help="Delete this one; several times. Or a folder."),
    ] = None,
    yes: options.Yes = False,
) -> None:
    """List the private states in your state folder: whose they are, and how large."""
    console = Console()
    with errors_as_exit_codes():
        from photoveil.pipeline.cli.private_states import states_to_delete

        if delete:
            delete_states(states_to_delete(delete), console, yes)
        else:
            list_states(console)


def list_states(console: Console) -> None:
    """Print the private states in the user's state folder.

    Raises:
        OSError: one cannot be read.
    """
    from photoveil.pipeline.cli.private_states import all_states, owner
    from photoveil.pipeline.library import state_folder

    states = all_states()
    for state in states:
        print_text(console, f"{state.id}")
        print_text(console, f"    library:   {owner(state)}")
        if state.found.source is not None:
            print_text(console, f"    originals: {state.found.source}{_there(state.found.source)}")
        print_text(console, f"    size:      {size(state.content.size)}; last used {_used(state)}")
        if state.found.damaged:
            print_text(console, f"    damaged:   {state.found.damaged}")
    orphans = sum(not state.there for state in states)
    folder = state_folder.default_folder()
    print_text(console, f"{number(len(states), 'private state')} in {folder}.")
    if orphans:
        print_text(
            console,
            f"The libraries of {orphans} are not where they were: on a disk that is not connected, "
            "moved, or deleted. One that was moved finds its state again by itself. `photoveil "
            "states --delete ID` deletes the state of one that is no more.",
        )


def _there(source: str) -> str:
    with contextlib.suppress(OSError):
        return "" if storage.exists(source) else " (not there now)"
    return " (out of reach)"


def _used(state: PrivateState) -> str:
    when = state.content.modified
    return "never" if when is None else f"{dt.datetime.fromtimestamp(when):%Y-%m-%d %H:%M}"
