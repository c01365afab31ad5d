"""The order of what runs write: by a number that grows, and by no clock.

Parts of the manifest and of the private tables, and the records of runs, are named by numbers. A
run, under the library's lock, goes on from the largest number that it finds. A clock that was
ahead or behind changes the dates that are told, and never which row is the latest. Version 0.1.0
named parts by the time of their run: these sort below all that have a number.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from photoveil.transforms.io import storage

if TYPE_CHECKING:
    from photoveil.pipeline.library.library import Library

_NUMBERED = re.compile(r"p(\d{9,})-")
_WHOLE = "all"  # a private table that was put into one file: older than all its other parts


def name(number: int, run_id: str) -> str:
    """Of the part with that number; names sort as their numbers do, up to a thousand million."""
    return f"p{number:09d}-{run_id}"


def number(path: str) -> int:
    """The number in the name of a part; 0 for one of version 0.1.0."""
    found = _NUMBERED.match(os.path.basename(path))
    return int(found[1]) if found else 0


def oldest_first(paths: Iterable[str]) -> list[str]:
    """Files in the order in which they were written."""

    def key(path: str) -> tuple[bool, int, str]:
        stem = os.path.basename(path).partition(".")[0]
        return stem != _WHOLE, number(path), path

    return sorted(paths, key=key)


def names(library: Library, run_id: str) -> Iterator[str]:
    """Names for the parts of a run, which holds the library's lock, each later than all others."""
    last = max(map(number, _files(library)), default=0)
    return (name(count, run_id) for count in itertools.count(last + 1))


def _files(library: Library) -> Iterator[str]:
    private = (storage.join(library.state, folder) for folder in ("people", "scans"))
    for folder in (library.manifest, library.runs, *private):
        if storage.exists(folder):
            yield from (entry.relative for entry in storage.walk(folder))
