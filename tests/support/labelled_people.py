"""Which labelled people settings are chosen on, and which they are reported on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping


def by_person(labels: Mapping[str, str]) -> dict[str, list[str]]:
    """List the files of each person, people and files in order of name.

    Args:
        labels: person by file.
    """
    photos = defaultdict(list)
    for name, person in labels.items():
        photos[person].append(name)
    return {person: sorted(photos[person]) for person in sorted(photos)}


def people_of_half(photos: Mapping[str, list[str]], half: str) -> list[str]:
    """Choose every other person who has two or more photos.

    Args:
        photos: files by person.
        half: "a", "b", or "all" for both halves.
    """
    several = [person for person, files in photos.items() if len(files) > 1]
    return several if half == "all" else several["ab".index(half) :: 2]
