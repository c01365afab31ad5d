"""Who a face is, by the nearest of the people known; and whether it is to be cloaked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from photoveil.transforms.faces.clustering import LIKENESS
from photoveil.transforms.faces.parameters import PeopleParameters


class NearestPerson:
    """Knows the mean embedding of each person."""

    def __init__(self, names: Sequence[str], means: np.ndarray) -> None:
        self._names, self._means = names, means

    def recognise(self, embeddings: np.ndarray) -> list[str | None]:
        """Who each face is; None for a stranger.

        Args:
            embeddings: float32 (n, 192), of unit length.
        """
        if not self._names or not len(embeddings):
            return [None] * len(embeddings)
        likeness = embeddings @ self._means.T
        best = likeness.argmax(axis=1)
        return [
            self._names[person] if likeness[face, person] >= LIKENESS else None
            for face, person in enumerate(best)
        ]


def to_cloak(names: Iterable[str | None], choice: PeopleParameters) -> Iterator[bool]:
    """Which faces are to be cloaked, by who they are, None for a stranger."""
    for name in names:
        yield name not in choice.spare and (not choice.only or name in choice.only)
