"""`photoveil states` and `photoveil forget`: which private states there are, and their deletion."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console

from photoveil.pipeline.cli.ask import agreed
from photoveil.pipeline.cli.summaries import number, size
from photoveil.pipeline.library import state_folder
from photoveil.pipeline.library.claim import given_folder
from photoveil.pipeline.library.identity import LibraryError, read_identity
from photoveil.pipeline.library.library import Library, find_state, forgotten, locked
from photoveil.pipeline.library.state_folder import Content, Found, inspect
from photoveil.transforms.io import storage

_FOREIGN_SHOWN = 5


@dataclass(frozen=True)
class State:
    """A private state. library: that it belongs to, "" where that is not known. there: that library
    is where it was when a run last wrote to it."""

    found: Found
    content: Content
    library: str
    there: bool

    @property
    def id(self) -> str:
        """Of its library; the name of its folder where version 0.1.0 made it."""
        marker = self.found.marker
        return marker.library if marker else self.found.place.rsplit("/", 1)[-1]


def list_states(console: Console) -> list[State]:
    """Print the private states in the user's state folder.

    Raises:
        OSError: one cannot be read.
    """
    states = [_state(found) for found in state_folder.in_default_folder()]
    for state in states:
        _print(console, f"{state.id}")
        _print(console, f"    library:   {_whose(state)}")
        if state.found.source is not None:
            _print(console, f"    originals: {state.found.source}{_there(state.found.source)}")
        _print(console, f"    size:      {size(state.content.size)}; last used {_used(state)}")
        if state.found.damaged:
            _print(console, f"    damaged:   {state.found.damaged}")
    orphans = sum(not state.there for state in states)
    folder = state_folder.default_folder()
    _print(console, f"{number(len(states), 'private state')} in {folder}.")
    if orphans:
        _print(
            console,
            f"The libraries of {orphans} are not where they were: on a disk that is not connected, "
            "moved, or deleted. One that was moved finds its state again by itself. `photoveil "
            "states --delete ID` deletes the state of one that is no more.",
        )
    return states


def states_to_delete(names: Sequence[str]) -> list[State]:
    """The private states that a user names.

    Args:
        names: ids, their beginnings, or folders.

    Raises:
        LibraryError: one names no private state, or several.
        OSError: one cannot be read.
    """
    everyone = [_state(found) for found in state_folder.in_default_folder()]
    return [_named(name, everyone) for name in names]


def all_states() -> list[State]:
    """Those in the user's state folder.

    Raises:
        OSError: one cannot be read.
    """
    return [_state(found) for found in state_folder.in_default_folder()]


def state_of(root: str, given: str | None) -> State:
    """The private state of a library.

    Args:
        given: its folder, if the user named one.

    Raises:
        LibraryError: it has none, or that is another library's.
        OSError: it cannot be read.
    """
    library, found = find_state(root, given)
    return State(found, state_folder.content(found.place), library.root, True)


def forget(states: Sequence[State], console: Console, yes: bool = False) -> bool:
    """Show what the private states hold, ask, and delete it.

    Args:
        yes: do not ask.

    Returns:
        False when the user does not want it.

    Raises:
        LibraryError: a run is writing to the library of one; those before it are deleted.
        pipeline.cli.ask.NoAnswer: nobody is there to answer.
        OSError: one cannot be deleted.
    """
    for state in states:
        _show(state, console)
    total = size(sum(state.content.size for state in states))
    what = "this private state" if len(states) == 1 else f"these {len(states)} private states"
    if not agreed(f"Delete {what} ({total})? Nothing brings it back.", console, yes):
        _print(console, "Nothing was deleted.")
        return False
    for state in states:
        with _noted(state, console):
            left = state_folder.delete(state.found.place)
        _print(console, f"The private state in {state.found.place} is deleted.")
        if left:
            _print(
                console,
                f"The folder stays, for Photoveil did not make {_some(left)}. Thumbnails that the "
                "system made of the sheets of faces may be among it.",
            )
    _print(
        console,
        "Cloaked photos and the manifest are as they were. Later runs find people among later "
        "photos only; --recloak finds them in all.",
    )
    return True


def _state(found: Found) -> State:
    marker = found.marker
    library = marker.root if marker else ""
    there = False
    if marker is not None:
        with contextlib.suppress(OSError, LibraryError):  # out of reach, or no longer readable
            identity = read_identity(marker.root)
            there = identity is not None and identity.id == marker.library
    return State(found, state_folder.content(found.place), library, there)


def _named(name: str, states: Sequence[State]) -> State:
    found = [state for state in states if state.id.startswith(name) and name]
    if len(found) == 1:
        return found[0]
    if found:
        raise LibraryError(f"the ids of {len(found)} private states begin with {name}; give more")
    place = given_folder(name)
    assert place is not None
    there = inspect(place)
    if not there.is_state or there.damaged or (there.marker is None and there.source is None):
        raise LibraryError(
            f"{name} is no private state; `photoveil states` lists those on this machine"
        )
    return _state(there)


@contextlib.contextmanager
def _noted(state: State, console: Console) -> Iterator[None]:
    """Deletes under the library's lock, and lets the library know, so that its next run does not
    miss the state."""
    if not state.there:
        yield
        return
    library = Library("", state.library, state.found.place)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(library))
            forgotten(library)
        except OSError as error:  # read-only; faces are deleted all the same
            _print(
                console,
                f"{library.root} cannot be written to ({storage.explain(error)}): its next run "
                "will ask for --new-state.",
            )
        yield


def _show(state: State, console: Console) -> None:
    _print(console, f"{state.found.place}: private state of {_whose(state)}")
    for words, (count, room) in state.content.kinds.items():
        _print(console, f"  {number(count, 'file'):>12}  {size(room):>8}  {words}")
    if state.content.foreign:
        _print(console, f"  not Photoveil's, so it stays: {_some(state.content.foreign)}")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_FOREIGN_SHOWN])
    more = len(names) - _FOREIGN_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown


def _whose(state: State) -> str:
    if not state.library:
        return "a library of version 0.1.0, whose path was not kept"
    return state.library if state.there else f"{state.library} (orphan: not there now)"


def _there(source: str) -> str:
    with contextlib.suppress(OSError):
        return "" if storage.exists(source) else " (not there now)"
    return " (out of reach)"


def _used(state: State) -> str:
    when = state.content.modified
    return "never" if when is None else f"{dt.datetime.fromtimestamp(when):%Y-%m-%d %H:%M}"


def _print(console: Console, words: str) -> None:
    console.print(words, highlight=False, markup=False, soft_wrap=True)
