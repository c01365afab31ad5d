"""Which folder is IN, and which part of it a command is about.

A library has one IN: the paths of its photos are those below it. A command may be given photos and
folders in place of IN. They are then a selection: IN stays what it is for the library, or is the
folder that holds all of them where there is no library yet, and all else in it is left as it is.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from photoveil.pipeline.library import state_folder
from photoveil.pipeline.library.claim import has_rows
from photoveil.pipeline.library.identity import FOLDER, LibraryError
from photoveil.pipeline.library.library import find_library
from photoveil.transforms.io import folding, storage
from photoveil.transforms.io.storage import printable


@dataclass(frozen=True)
class Inputs:
    """source: IN, absolute. chosen: files and folders below it; None for the whole of it."""

    source: str
    chosen: tuple[str, ...] | None = None


@dataclass(frozen=True)
class _Given:
    """As it was given; path: absolute. folder: itself, or the one that a file lies in."""

    name: str
    path: str
    folder: str


def find_inputs(given: Sequence[str], root: str, state: str | None = None) -> Inputs:
    """Find IN.

    Args:
        given: a folder; or photos and folders of one archive. root, state: of the library.

    Raises:
        LibraryError: something is not there; the photos have no folder that could be IN, or lie
            outside the library's.
    """
    for place in (root, *given):
        if problem := storage.problem(place):
            raise LibraryError(f"{place}: {problem}")
    root, found = storage.absolute(root), _found(given)
    if storage.is_local(root) and os.path.isfile(root):
        raise LibraryError(f"{root} is a file; give a folder for the cloaked photos, after IN")
    whole = found[0].path if len(found) == 1 and found[0].path == found[0].folder else None
    known = _known_source(root, state)
    if whole is not None and (known is None or _below(whole, known) is None):
        return Inputs(whole)
    if known is not None:
        return Inputs(known, _all_below(found, known, root))
    if has_rows(root):
        raise LibraryError(
            f"{root} holds photos already, and which folder they are from is not known: its "
            "private state is not there. Give that folder, as a whole, once"
        )
    common = _common_folder(found)
    private = storage.absolute(state or state_folder.default_folder())
    for place, what in ((root, "output folder"), (private, "state folder")):
        if storage.is_within(place, common):
            raise LibraryError(
                f"{found[0].name}{' and the others' if found[1:] else ''} would be taken as a part "
                f"of {common}, and the {what} {place} lies in that folder: choose one outside of "
                "it, or put the photos into a folder of their own"
            )
    return Inputs(common, _all_below(found, common, root))


def _found(given: Sequence[str]) -> list[_Given]:
    """What was given, in the spelling under which its folder lists it.

    Links to files, and beside others links to folders too, stay what they are: `storage.walk` says
    what becomes of them.

    Raises:
        LibraryError: something is not there.
    """
    listings = _Listings()
    try:
        if len(given) == 1 and not _is_file(given[0]):
            path = storage.absolute(given[0])
            return [_Given(given[0], path, path)]  # `open_library` says what is wrong with it
        return [_one(name, listings) for name in given]
    except OSError as error:  # such as a bucket that is not there
        place = error.filename or " ".join(given)
        raise LibraryError(f"{place} cannot be read: {storage.explain(error)}") from error


def _is_file(name: str) -> bool:
    if storage.is_local(name):
        return os.path.isfile(name)
    return storage.exists(name) and not storage.is_folder(storage.absolute(name))


class _Listings:
    """Folders by the names that were given: absolute, and what they list."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, frozenset[str]]] = {}

    def find(self, path: str) -> str:
        above, name = os.path.split(path.rstrip("/"))
        if name in ("", ".", ".."):
            return storage.absolute(path)
        if above not in self._known:
            folder = storage.absolute(above)
            listed = frozenset(os.listdir(folder)) if os.path.isdir(folder) else frozenset()
            self._known[above] = folder, listed
        folder, listed = self._known[above]
        if name not in listed:  # some file systems find `img_1.jpg` under `IMG_1.JPG`
            alike = (one for one in listed if folding.key(one) == folding.key(name))
            name = next(alike, name)
        return storage.join(folder, name)


def _one(name: str, listings: _Listings) -> _Given:
    if not storage.exists(name):
        raise LibraryError(f"{name} does not exist; give photos or folders, and then OUT")
    path = listings.find(name) if storage.is_local(name) else storage.absolute(name)
    return _Given(name, path, path if storage.is_folder(path) else path.rpartition("/")[0] or "/")


def _known_source(root: str, state: str | None) -> str | None:
    """IN of the library at `root`, as the last run noted it; None where that is not known."""
    try:
        there = storage.exists(storage.join(root, FOLDER))
        return (find_library(root, state).source or None) if there else None
    except (LibraryError, OSError):  # `open_library` says so
        return None


def _common_folder(found: Sequence[_Given]) -> str:
    """The innermost folder that holds all.

    Raises:
        LibraryError: they are in different stores or buckets.
    """
    levels = zip(*(one.folder.split("/") for one in found), strict=False)
    common = [level[0] for level in itertools.takewhile(lambda level: len({*level}) == 1, levels)]
    least = 1 if storage.is_local(found[0].folder) else 3  # "gs:", "", "bucket"
    if len(common) < least:
        names = ", ".join(sorted({one.folder for one in found})[:3])
        raise LibraryError(
            f"{names} have no folder in common; give what is in one store, or an OUT for each"
        )
    return "/".join(common) or "/"


def _all_below(found: Iterable[_Given], source: str, root: str) -> tuple[str, ...] | None:
    """Paths below IN; None where all of it was given.

    Raises:
        LibraryError: something lies outside.
    """
    paths = set()
    for one in found:
        below = _below(one.path, source)
        if below is None:
            raise LibraryError(
                f"{root} holds the photos of {source}, and {one.name} does not lie there. For "
                "other photos, choose another output folder; if that folder has moved, give the "
                "whole of it once"
            )
        paths.add(printable(below))
    return None if "" in paths else tuple(sorted(paths))


def _below(path: str, folder: str) -> str | None:
    """A path below a folder, "" for the folder itself; None where it lies elsewhere."""
    if path == folder:
        return ""
    start = f"{folder.rstrip('/')}/"
    return path[len(start) :] if path.startswith(start) else None
