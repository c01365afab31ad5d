"""The simulated tracker: it enrols photos as they were published, and searches for people in them.

There are two directions. Forward, the gallery is what was published (cloaked) and the probes are
clean photos taken elsewhere. Reverse, a clean gallery exists already and the published photos are
the probes. Both are reported beside the figures of the same photos uncloaked.

Phillips et al. (2000, IEEE TPAMI 22(10)) define the terms; `metrics` has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from photoveil.transforms.evaluate import metrics
from photoveil.transforms.evaluate.conditions import AS_WRITTEN
from photoveil.transforms.evaluate.embedding import Embedder
from photoveil.transforms.evaluate.metrics import Tally
from photoveil.transforms.recognisers import Recogniser
from photoveil.transforms.recognisers.recogniser import unit

FORWARD, REVERSE = "clean photos searched in cloaked ones", "cloaked photos searched in clean ones"

RANK_1, RANK_5 = "rank-1", "rank-5"
AT_1_PERCENT = "verified at 1 % false matches"
AT_01_PERCENT = "verified at 0.1 % false matches"
FALSE_MATCHES = {AT_1_PERCENT: 0.01, AT_01_PERCENT: 0.001}
OWN_THRESHOLD = "verified at its own threshold"
COSINE_SHIFT = "cosine shift"
FIGURES = (RANK_1, RANK_5, *FALSE_MATCHES, OWN_THRESHOLD, COSINE_SHIFT)


@dataclass(frozen=True)
class Published:
    """A photo of one person: the original, and the file that was published of it."""

    person: str
    original: str
    written: str


@dataclass(frozen=True)
class Study:
    """The people whom the tracker looks for, and the photos that it has.

    published: what it enrols. probes: (person, path) of clean photos that were not published;
        without any, each original is searched for in the other published photos.
    padding: (person, path) of clean photos of other people in every gallery.
    """

    published: tuple[Published, ...]
    probes: tuple[tuple[str, str], ...] = ()
    padding: tuple[tuple[str, str], ...] = ()

    @property
    def people(self) -> tuple[str, ...]:
        """Who is looked for, in order of name."""
        return tuple(sorted({photo.person for photo in self.published}))


@dataclass(frozen=True)
class Finding:
    """One figure, for the files as published and for the same files uncloaked.

    condition: what happened to the published file. people: the names that the tallies go by.
    """

    recogniser: str
    white_box: bool
    direction: str
    condition: str
    figure: str
    people: tuple[str, ...]
    cloaked: Tally
    uncloaked: Tally


def track(study: Study, embedder: Embedder, conditions: Sequence[str]) -> list[Finding]:
    """Compute all figures of all recognisers.

    Args:
        conditions: keys of `CONDITIONS`, first of all `AS_WRITTEN`.
    """
    originals = [photo.original for photo in study.published]
    clean = embedder.embed(originals, AS_WRITTEN)
    probes = embedder.embed([path for _, path in study.probes], AS_WRITTEN)
    padding = embedder.embed([path for _, path in study.padding], AS_WRITTEN)
    findings = []
    for condition in conditions:
        cloaked = embedder.embed([photo.written for photo in study.published], condition)
        uncloaked = embedder.embed(originals, condition)
        for recogniser in embedder.recognisers:
            seen = _Seen(
                *(found[recogniser.name] for found in (clean, cloaked, uncloaked, probes, padding))
            )
            findings += _compared(study, recogniser, condition, seen)
    return findings


@dataclass(frozen=True)
class _Seen:
    """Embeddings by one recogniser, float (n, d), rows as in the study.

    clean: originals as they are. cloaked, uncloaked: published files and originals under a
        condition. probes, padding: as they are.
    """

    clean: np.ndarray
    cloaked: np.ndarray
    uncloaked: np.ndarray
    probes: np.ndarray
    padding: np.ndarray


@dataclass(frozen=True)
class _Search:
    """Probes and the gallery that they are searched for in.

    probes: int (P,), gallery: int (G,) person of each. comparable: bool (P, G), False for a photo
    and itself. mates: bool (P, G), the pairs of one person that are verified.
    """

    probes: np.ndarray
    gallery: np.ndarray
    comparable: np.ndarray
    mates: np.ndarray

    def figures(
        self, distances: np.ndarray, thresholds: Mapping[str, float], people: int
    ) -> dict[str, Tally]:
        """Tallies by figure. A face that was not found neither matches nor is found."""
        places = metrics.ranks(distances, self.probes, self.gallery, self.comparable)
        probe, mate = np.nonzero(self.mates)
        genuine, owners = distances[probe, mate], self.probes[probe]
        return {
            RANK_1: metrics.tally(places <= 1, self.probes, people),
            RANK_5: metrics.tally(places <= 5, self.probes, people),
            **{
                figure: metrics.tally(genuine <= threshold, owners, people)
                for figure, threshold in thresholds.items()
            },
        }


def _compared(study: Study, recogniser: Recogniser, condition: str, seen: _Seen) -> list[Finding]:
    probe_people = [person for person, _ in study.probes]
    pad_people = [person for person, _ in study.padding]
    names = tuple(sorted({*study.people, *probe_people, *pad_people}))
    owners, pads = _numbers([p.person for p in study.published], names), _numbers(pad_people, names)
    probe_owners = _numbers(probe_people, names)
    thresholds = _thresholds(
        recogniser,
        np.concatenate([seen.clean, seen.probes, seen.padding]),
        np.concatenate([owners, probe_owners, pads]),
    )
    if study.probes:
        outside, outside_owners = seen.probes, probe_owners
        comparable = np.ones((len(outside), len(owners)), bool)
    else:
        # Leave one out: a photo is never searched for in itself, nor in a duplicate of it.
        outside, outside_owners = seen.clean, owners
        _, content = np.unique(seen.clean, axis=0, return_inverse=True)
        content = content.reshape(-1)  # NumPy 2.0 gives a column
        comparable = content[:, np.newaxis] != content
    # A probe counts when it has a mate that is found while uncloaked. A cloaked face that is not
    # found then counts for the cloak.
    mates = comparable & (outside_owners[:, np.newaxis] == owners)
    mates &= np.outer(_faces(outside), _faces(seen.clean))
    there, asked = mates.any(axis=1), mates.any(axis=0)
    forward = _Search(
        outside_owners[there],
        np.concatenate([owners, pads]),
        _padded(comparable, len(pads), True)[there],
        _padded(mates, len(pads), False)[there],
    )
    reverse = _Search(
        owners[asked],
        np.concatenate([outside_owners, pads]),
        _padded(comparable.T, len(pads), True)[asked],
        _padded(mates.T, len(pads), False)[asked],
    )

    def results(files: np.ndarray) -> dict[tuple[str, str], Tally]:
        gallery = np.concatenate([files, seen.padding])
        online = np.concatenate([outside, seen.padding])
        found = {
            FORWARD: forward.figures(
                recogniser.distance(outside[there], gallery), thresholds, len(names)
            ),
            REVERSE: reverse.figures(
                recogniser.distance(files[asked], online), thresholds, len(names)
            ),
        }
        moved = 1.0 - (unit(files) * unit(seen.clean)).sum(axis=1)
        known = np.isfinite(moved)
        found[FORWARD][COSINE_SHIFT] = metrics.tally(moved[known], owners[known], len(names))
        return {
            (way, name): value for way, values in found.items() for name, value in values.items()
        }

    cloaked, uncloaked = results(seen.cloaked), results(seen.uncloaked)
    return [
        Finding(
            recogniser.name,
            recogniser.white_box,
            way,
            condition,
            figure,
            names,
            value,
            uncloaked[way, figure],
        )
        for (way, figure), value in cloaked.items()
    ]


def _thresholds(recogniser: Recogniser, clean: np.ndarray, owners: np.ndarray) -> dict[str, float]:
    """Return the thresholds of a tracker by figure, which it sets on clean faces, once.

    A rate that there are too few pairs of different people to tell is left out.
    """
    distances = recogniser.distance(clean, clean)
    first, second = np.triu_indices(len(clean), 1)
    pairs = distances[first, second]
    impostors = pairs[(owners[first] != owners[second]) & np.isfinite(pairs)]
    found = {
        figure: metrics.false_match_threshold(impostors, rate)
        for figure, rate in FALSE_MATCHES.items()
        if len(impostors) * rate >= 1
    }
    if recogniser.threshold is not None:
        found[OWN_THRESHOLD] = recogniser.threshold
    return found


def _numbers(people: Sequence[str], names: Sequence[str]) -> np.ndarray:
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[person] for person in people], int)


def _faces(embeddings: np.ndarray) -> np.ndarray:
    return np.isfinite(embeddings).all(axis=1)


def _padded(pairs: np.ndarray, padding: int, value: bool) -> np.ndarray:
    return np.pad(pairs, [(0, 0), (0, padding)], constant_values=value)
