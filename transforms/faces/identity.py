"""Names of people that stay the same from run to run."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Change:
    """What new faces did to the known people.

    merged: person that is gone, and the one that it was merged into. split: new person, and the one
        that it was split from.
    """

    merged: tuple[tuple[str, str], ...] = ()
    split: tuple[tuple[str, str], ...] = ()

    def then(self, later: Change, known: Collection[str]) -> Change:
        """Combine this and a later change, of which only what concerns these people counts."""
        merged = tuple(pair for pair in later.merged if pair[0] in known)
        split = tuple(pair for pair in later.split if pair[1] in known)
        return Change(self.merged + merged, self.split + split)


def name_people(
    faces: Sequence[str], labels: np.ndarray, known: Mapping[str, str]
) -> tuple[dict[str, str], Change]:
    """Name the person of each face by the name that most of the group's faces had before.

    Args:
        faces: keys.
        labels: int (n,), their groups.
        known: persons of faces of earlier runs.

    Returns:
        Persons by face, and what changed for known people. A new person is named after its first
        face by key, so the order of the photos does not matter.
    """
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for face, label in zip(faces, labels, strict=True):
        groups[int(label)].append(face)
    votes = {
        label: Counter(known[face] for face in members if face in known)
        for label, members in groups.items()
    }
    claims = sorted(
        (-count, person, min(groups[label]), label)
        for label, counted in votes.items()
        for person, count in counted.items()
    )
    names: dict[int, str] = {}
    given: set[str] = set()
    for _, person, _, label in claims:
        if label not in names and person not in given:
            names[label] = person
            given.add(person)
    return _renamed(groups, votes, names)


def _renamed(
    groups: Mapping[int, Sequence[str]], votes: Mapping[int, Counter[str]], names: dict[int, str]
) -> tuple[dict[str, str], Change]:
    taken = set(names.values())
    split, merged = [], []
    for label, members in groups.items():
        if label not in names:
            names[label] = _new_name(min(members), taken)
            taken.add(names[label])
            split += [(names[label], person) for person, _ in votes[label].most_common(1)]
    for label, counted in votes.items():
        merged += [
            (person, names[label])
            for person in counted
            if person != names[label] and person not in taken
        ]
    people = {face: names[label] for label, members in groups.items() for face in members}
    return people, Change(tuple(sorted(merged)), tuple(sorted(split)))


def _new_name(face: str, taken: set[str]) -> str:
    digest = hashlib.sha256(face.encode()).hexdigest()
    length = next(n for n in range(6, 65) if f"p{digest[:n]}" not in taken)
    return f"p{digest[:length]}"
