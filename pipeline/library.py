"""The library: the output tree, the manifest in it, the private state beside it, and its lock."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import filelock
import platformdirs

from pipeline.lease import LeaseError, lease
from transforms import storage
from transforms.destination import Destination

FOLDER = "_photoveil"
MOVING = f"{FOLDER}/moving"
"""Outputs that make way, within one run, for another one of the same name."""
_SOURCE = "source"  # names the input folder, for commands that are given the library alone


class LibraryError(ValueError):
    """A run that must not start; the message says what is wrong and what to do."""


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


def open_library(source: str, root: str, state: str | None = None, make: bool = True) -> Library:
    """Check the three places of a run.

    Args:
        make: also make the folders that are written to.
        source: folder of the originals. root: folder of the library, new, empty or of an earlier
            run. state: private folder; by default one in the user's state folder.

    Raises:
        LibraryError: a folder is missing, cannot be used or lies inside another one.
    """
    source, root = storage.absolute(source), storage.absolute(root)
    state = default_state(root) if state is None else storage.absolute(state)
    for place in (source, root, state):
        if problem := storage.problem(place):
            raise LibraryError(f"{place}: {problem}")
    _check_source(source)
    _check_apart(source, root, state)
    _check_root(root)
    library = Library(source, root, state)
    if not make:
        return library
    try:
        storage.make_private_folder(state)
        storage.write_atomic(
            storage.join(state, _SOURCE), os.fsencode(source), storage.join(state, "unfinished")
        )
    except OSError as error:
        raise LibraryError(f"{state} cannot be used: {storage.explain(error)}") from error
    if storage.is_local(root):
        try:
            for folder in (library.manifest, library.scratch):
                os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise LibraryError(f"{root} cannot be written to: {storage.explain(error)}") from error
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
        raise LibraryError(
            f"{library.state} is not the private state of {library.root}; give the folder that the "
            "run was given (--state)"
        )
    return library


def find_library(root: str, state: str | None = None) -> Library:
    """A library for what needs no originals: its source is "" where the private state is lost.

    Raises:
        LibraryError: there is none.
    """
    root = storage.absolute(root)
    state = default_state(root) if state is None else storage.absolute(state)
    if not storage.exists(storage.join(root, FOLDER)):
        raise LibraryError(f"{root} is no library of cloaked photos")
    _check_links(root)
    note = storage.join(state, _SOURCE)
    source = os.fsdecode(storage.read_bytes(note)) if storage.exists(note) else ""
    return Library(source, root, state)


def default_state(root: str) -> str:
    """The private folder of the library at `root`, in the user's own state folder."""
    name = hashlib.sha256(root.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return str(platformdirs.user_state_path("photoveil") / "libraries" / name)


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
    """Nothing is written to or deleted from a folder elsewhere that a link would make one of the
    library's own."""
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
