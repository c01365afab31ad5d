"""The library: the output tree, the manifest in it, the private state beside it, and its lock."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

import filelock

from photoveil.pipeline.library import state_folder
from photoveil.pipeline.library.claim import (
    Claim,
    claim_state,
    find,
    foreign,
    given_folder,
    no_state,
    of_a_later_version,
    shared_with,
)
from photoveil.pipeline.library.identity import (
    FOLDER,
    Identity,
    LibraryError,
    library_around,
    read_identity,
    write_identity,
)
from photoveil.pipeline.library.state_folder import Found, Marker, inspect
from photoveil.transforms.io import storage
from photoveil.transforms.io.object_lease import LeaseError, lease
from photoveil.transforms.records import Destination

MOVING = f"{FOLDER}/moving"
"""Outputs that make way, within one run, for another one of the same name."""


@dataclass(frozen=True)
class Library:
    """source: the input tree, only ever read. root: the output tree. state: private folder."""

    source: str
    root: str
    state: str

    @property
    def manifest(self) -> str:
        """Folder of the Parquet dataset."""
        return storage.join(self.root, f"{FOLDER}/manifest")

    @property
    def scratch(self) -> str:
        """Folder of unfinished files; what a crash left there is deleted by the next run."""
        return storage.join(self.root, f"{FOLDER}/unfinished")

    @property
    def runs(self) -> str:
        """Folder of the history: a JSON file for each run."""
        return storage.join(self.root, f"{FOLDER}/runs")

    @property
    def destination(self) -> Destination:
        """Where photos are published."""
        return Destination(self.root, self.scratch)


def open_library(
    source: str, root: str, state: str | None = None, make: bool = True, new_state: bool = False
) -> Library:
    """Check the three places of a run. Nothing is written before all of them may be used.

    Args:
        make: also make the folders that are written to, and mark them as the library's.
        source: folder of the originals. root: folder of the library, new, empty or of an earlier
            run. state: private folder, new, empty or this library's; by default one in the user's
            state folder, which is found by the library's id.
        new_state: begin a new private state, for the library's own is lost.

    Raises:
        LibraryError: a folder is missing, cannot be used or lies inside another one; the private
            state is missing or another library's.
    """
    for place in filter(None, (source, root, state)):
        if problem := storage.problem(place):
            raise LibraryError(f"{place}: {problem}")
    given = given_folder(state)
    source, root = storage.absolute(source), storage.absolute(root)
    _check_source(source)
    _check_apart(source, root, given or state_folder.default_folder())
    _check_root(root)
    if given is not None and (published := library_around(given)):
        raise LibraryError(
            f"the state folder {given} lies inside {published}, which is for publishing; it holds "
            "pictures of faces and must stay private: choose another place"
        )
    try:
        claim = claim_state(source, root, given, new_state)
    except FileNotFoundError as error:  # such as a bucket
        raise LibraryError(f"{error.filename}: {storage.explain(error)}") from error
    library = Library(source, root, claim.state)
    if make:
        _make(library, claim)
    return library


def reopen_library(root: str, state: str | None = None, source: str | None = None) -> Library:
    """A library that a run has made, with the folder that the run was given.

    Args:
        source: that folder, where the private state that knows it may be lost.

    Raises:
        LibraryError: there is none, or its private state is lost.
    """
    library = find_library(root, state)
    if source is not None:
        return replace(library, source=storage.absolute(source))
    if not library.source:
        raise LibraryError(no_state(library.root, library.state))
    return library


def find_library(root: str, state: str | None = None) -> Library:
    """A library for what needs no originals: its source is "" where the private state is lost.

    Raises:
        LibraryError: there is none, or a later version made it or its private state.
    """
    root, given = storage.absolute(root), given_folder(state)
    if not storage.exists(storage.join(root, FOLDER)):
        raise LibraryError(
            f"{root} is no library of cloaked photos; give the folder that `photoveil run` wrote to"
        )
    _check_links(root)
    identity = read_identity(root)
    found = find(root, identity, given)
    if later := of_a_later_version(found):
        raise LibraryError(later)
    own = found.is_state and foreign(found, root, identity) is None
    return Library((found.source if own else None) or "", root, found.place)


def find_state(root: str, state: str | None = None) -> tuple[Library, Found]:
    """A library and its private state, for something to be done to the state.

    Raises:
        LibraryError: there is none, or it is another library's.
    """
    library = find_library(root, state)
    identity = read_identity(library.root)
    found = find(library.root, identity, given_folder(state))
    if not found.is_state:
        raise LibraryError(no_state(library.root, found.place))
    problem = foreign(found, library.root, identity) or shared_with(found, library.root)
    if problem:
        raise LibraryError(problem)
    return library, found


def default_state(root: str) -> str:
    """Where the private state of the library at `root` lies, or would lie, unless told."""
    return find(root, read_identity(root), None).place


def forgotten(library: Library) -> None:
    """Note that the private state is deleted on purpose. The caller holds the library's lock.

    Raises:
        OSError: it cannot be written.
    """
    identity = read_identity(library.root) or Identity(uuid.uuid4().hex)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    write_identity(replace(identity, forgotten=now), library.root)


def is_locked(library: Library) -> bool:
    """True while a run is writing to the library."""
    try:
        with locked(library):
            return False
    except LibraryError:
        return True
    except OSError:  # it cannot be written to, so nobody is
        return False


@contextlib.contextmanager
def locked(library: Library) -> Iterator[None]:
    """Hold the library's lock, which a process that dies lets go of (in a bucket: see `lease`).

    Raises:
        LibraryError: another run holds it, or took it over.
        OSError: it cannot be written.
    """
    path = storage.join(library.root, f"{FOLDER}/lock")
    if not storage.is_local(path):
        try:
            with lease(path):
                yield
        except LeaseError as error:
            raise LibraryError(str(error)) from error
        return
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise LibraryError(
            f"another run is writing to {library.root}; wait until it is done or stop it"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _check_links(root: str) -> None:
    """Refuse a library with a link in place of one of its own folders.

    Otherwise a run would write to, or delete from, the folder elsewhere that the link leads to.
    """
    own = (FOLDER, *(f"{FOLDER}/{name}" for name in ("manifest", "unfinished", "runs", "moving")))
    for name in own if storage.is_local(root) else ():
        if os.path.islink(os.path.join(root, name)):
            raise LibraryError(
                f"{os.path.join(root, name)} is a link; put the folder itself there: nothing is "
                "written through links"
            )


def _check_source(source: str) -> None:
    if storage.is_local(source):
        if not os.path.exists(source):
            raise LibraryError(f"{source} does not exist; give the folder that holds your photos")
        if not os.path.isdir(source):
            raise LibraryError(f"{source} is a file; give the folder that holds your photos")
        if not os.access(source, os.R_OK | os.X_OK):
            raise LibraryError(f"{source} cannot be read: no permission")
    else:
        try:
            if storage.is_empty(source):
                raise LibraryError(f"{source} does not exist or holds nothing")
        except OSError as error:
            raise LibraryError(f"{source} cannot be read: {storage.explain(error)}") from error
    if storage.exists(storage.join(source, FOLDER)):
        raise LibraryError(
            f"{source} is itself a library of cloaked photos; give the folder of the originals"
        )


def _check_apart(source: str, root: str, state: str) -> None:
    if storage.is_within(root, source):
        raise LibraryError(
            f"the output folder {root} lies inside the input folder {source}; choose one outside, "
            "so that originals and cloaked photos never mix"
        )
    if storage.is_within(source, root):
        raise LibraryError(
            f"the input folder {source} lies inside the output folder {root}; choose another "
            "output folder, so that no original is ever overwritten"
        )
    for folder, what in ((root, "output"), (source, "input")):
        if storage.is_within(folder, state):
            raise LibraryError(
                f"the {what} folder {folder} lies inside the state folder {state}, which is for "
                "the program's private files alone: give a new or an empty folder (--state)"
            )
        if storage.is_within(state, folder):
            raise LibraryError(
                f"the state folder {state} lies inside the {what} folder {folder}; it holds "
                "pictures of faces and must stay private: choose another place"
            )


def _check_root(root: str) -> None:
    if storage.is_local(root) and os.path.lexists(root) and not os.path.isdir(root):
        raise LibraryError(f"{root} is a file; give a folder for the cloaked photos")
    _check_links(root)
    try:
        foreign = not (storage.is_empty(root) or storage.exists(storage.join(root, FOLDER)))
    except OSError as error:
        raise LibraryError(f"{root} cannot be read: {storage.explain(error)}") from error
    if foreign:
        raise LibraryError(
            f"{root} is not empty and no library of cloaked photos; choose a new or an empty "
            "folder, so that nothing in it is overwritten"
        )


def _make(library: Library, claim: Claim) -> None:
    """Make the folders of a library and its private state, and mark both as belonging together."""
    state, identity = library.state, Identity(claim.id)
    marker = Marker(claim.id, library.root, state)
    if storage.is_local(library.root):
        try:
            for folder in (library.manifest, library.scratch):
                os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise LibraryError(
                f"{library.root} cannot be written to: {storage.explain(error)}"
            ) from error
    try:
        noted = inspect(state).source
        if (claim.identity, claim.marker, noted) == (identity, marker, library.source):
            storage.make_private_folder(state)
            return
    except OSError as error:
        raise LibraryError(f"{state} cannot be used: {storage.explain(error)}") from error
    with locked(library):
        if read_identity(library.root) != claim.identity:
            raise LibraryError(
                f"another run has just begun in {library.root}; start this one again"
            )
        try:
            storage.make_private_folder(state)
            if claim.marker is not None:
                state_folder.rewrite_marker(marker)
            elif not state_folder.write_marker(marker):
                raise LibraryError(f"another run has just taken {state}; start this one again")
            state_folder.write_source(state, library.source)
        except OSError as error:
            raise LibraryError(f"{state} cannot be used: {storage.explain(error)}") from error
        # Last: a state that a crash leaves without its library's id gives it the id again.
        if claim.identity != identity:
            write_identity(identity, library.root)
