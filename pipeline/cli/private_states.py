"""The private states on this machine, as `photoveil states` and `photoveil forget` show them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from photoveil.pipeline.library import state_folder
from photoveil.pipeline.library.claim import given_folder
from photoveil.pipeline.library.identity import LibraryError, read_identity
from photoveil.pipeline.library.library import find_state
from photoveil.pipeline.library.state_folder import Content, Found, inspect


@dataclass(frozen=True)
class PrivateState:
    """A private state on this machine.

    library: the one that it belongs to, "" if that is not known.
    there: True if that library is where it was when a run last wrote to it.
    """

    found: Found
    content: Content
    library: str
    there: bool

    @property
    def id(self) -> str:
        """The id of its library; for a state of version 0.1.0 the name of its folder."""
        marker = self.found.marker
        return marker.library if marker else self.found.place.rsplit("/", 1)[-1]


def states_to_delete(names: Sequence[str]) -> list[PrivateState]:
    """Find the private states that a user names.

    Args:
        names: ids, their beginnings, or folders.

    Raises:
        LibraryError: one names no private state, or several.
        OSError: one cannot be read.
    """
    everyone = all_states()
    return [_named(name, everyone) for name in names]


def all_states() -> list[PrivateState]:
    """Find the private states in the user's state folder.

    Raises:
        OSError: one cannot be read.
    """
    return [_state(found) for found in state_folder.in_default_folder()]


def state_of(root: str, given: str | None) -> PrivateState:
    """Find the private state of a library.

    Args:
        root: of the library.
        given: its folder, if the user named one.

    Raises:
        LibraryError: it has none, or that is another library's.
        OSError: it cannot be read.
    """
    library, found = find_state(root, given)
    return PrivateState(found, state_folder.content(found.place), library.root, True)


def _state(found: Found) -> PrivateState:
    marker = found.marker
    library = marker.root if marker else ""
    there = False
    if marker is not None:
        with contextlib.suppress(OSError, LibraryError):  # out of reach, or no longer readable
            identity = read_identity(marker.root)
            there = identity is not None and identity.id == marker.library
    return PrivateState(found, state_folder.content(found.place), library, there)


def _named(name: str, states: Sequence[PrivateState]) -> PrivateState:
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


def owner(state: PrivateState) -> str:
    """Say which library a private state belongs to."""
    if not state.library:
        return "a library of version 0.1.0, whose path was not kept"
    return state.library if state.there else f"{state.library} (orphan: not there now)"
