"""The part of an archive that a run is about, where it was given photos or folders of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from photoveil.transforms.naming.output_names import shared_stem
from photoveil.transforms.photo import extensions

_BESIDE = extensions.SIDECARS | extensions.VIDEOS


class Chosen:
    """Files and folders of IN. A photo takes the sidecars and the video that belong to it along."""

    def __init__(self, paths: Iterable[str]) -> None:
        """paths: below IN, `/` between folders, as `PhotoRef.source` has them."""
        self._paths = frozenset(paths)
        self._stems = frozenset(shared_stem(path) for path in self._paths)

    def __contains__(self, source: str) -> bool:
        if any(path in self._paths for path in _itself_and_above(source)):
            return True
        extension = os.path.splitext(source)[1].lower()
        return extension in _BESIDE and shared_stem(source) in self._stems


def _itself_and_above(source: str) -> Iterator[str]:
    while source:
        yield source
        source = source.rpartition("/")[0]
