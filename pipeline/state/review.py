"""What the owner said in a review of the photos: `review.json` in the private state.

Marks of photos hang on the hash of the original's bytes, so they outlive another name. Marks of
people hold for the photos that they are in, now and later. A run applies them; each row of the
manifest has the fingerprint of the marks that it was made with, so that a changed mind is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from photoveil.pipeline.library.identity import LibraryError
from photoveil.transforms.faces.identity import Change
from photoveil.transforms.io import storage
from photoveil.transforms.records import Face

FILE = "review.json"
_LONGEST = 100_000_000  # bytes of a file that may be one


class Level(StrEnum):
    """How much a photo is cloaked, beside the others."""

    NORMAL = ""
    WEAKER = "weaker"
    STRONGER = "stronger"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FaceMark(_Part):
    """A face that is left as it is. x, y: a point in its box, in pixels of the upright photo."""

    x: int
    y: int
    mark: Literal["leave", "no face"]


class PhotoMarks(_Part):
    """source: its path below IN when it was marked. mark: "original" for no cloak at all."""

    source: str
    mark: Literal["", "weaker", "stronger", "original"] = ""
    faces: tuple[FaceMark, ...] = ()


class PersonMarks(_Part):
    """name: by which the owner calls the person. mark: "leave" for no cloak."""

    name: str = ""
    mark: Literal["", "weaker", "stronger", "leave"] = ""


class Wish(_Part):
    """What is asked for one photo.

    level: how much it is cloaked. original: not at all. faces: those to leave. left: people whose
    faces are left.
    """

    level: Level = Level.NORMAL
    original: bool = False
    faces: tuple[FaceMark, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str | None:
        """8 hex digits for the row of the photo; None where nothing is asked for."""
        if self == NO_WISH:
            return None
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]

    def leaves(self, face: Face, person: str | None) -> bool:
        """True for a face that is to stay as it is."""
        if self.original or (person is not None and person in self.left):
            return True
        left, top, right, bottom = face.box
        return any(left <= at.x <= right and top <= at.y <= bottom for at in self.faces)


NO_WISH = Wish()


class Review(_Part):
    """All marks. photos: by sha256. people: by id. library: its id."""

    format: Literal[1] = 1
    library: str = ""
    photos: Mapping[str, PhotoMarks] = {}
    people: Mapping[str, PersonMarks] = {}

    def then(self, later: Review) -> Review:
        """Return this with what a later review says: an entry without a mark takes one away."""
        photos = {**self.photos, **later.photos}
        people = {**self.people, **later.people}
        return self.model_copy(
            update={
                "photos": {k: one for k, one in photos.items() if one.mark or one.faces},
                "people": {k: one for k, one in people.items() if one.mark or one.name},
            }
        )

    def wish(self, sha256: str | None, people: Iterable[str | None]) -> Wish:
        """Return what is asked for a photo.

        Args:
            people: who is in it, as far as that is known.
        """
        marks = self.photos.get(sha256 or "", PhotoMarks(source=""))
        if marks.mark == "original":
            return Wish(original=True)
        persons = {
            person: self.people[person].mark
            for person in people
            if person is not None and person in self.people
        }
        # Of two wishes, that of who finds the cloak too visible counts.
        levels = [one for one in (Level.WEAKER, Level.STRONGER) if one in persons.values()]
        return Wish(
            level=Level(marks.mark) or next(iter(levels), Level.NORMAL),
            faces=marks.faces,
            left=tuple(sorted(person for person, mark in persons.items() if mark == "leave")),
        )

    def named(self, names: Iterable[str], known: Collection[str]) -> tuple[list[str], list[str]]:
        """Return the ids of the people of these names or ids, and the names of nobody known."""
        ids: list[str] = []
        unknown: list[str] = []
        for name in names:
            called = {
                person
                for person, one in self.people.items()
                if one.name.casefold() == name.casefold()
            }
            found = [name] if name in known else sorted(called.intersection(known))
            ids += found
            unknown += [] if found else [name]
        return ids, unknown

    def following(self, change: Change) -> Review:
        """Return this after people were merged: what was said of one holds for the other."""
        people = dict(self.people)
        for old, new in change.merged:
            before = people.pop(old, PersonMarks())
            now = people.get(new, PersonMarks())
            joined = PersonMarks(name=now.name or before.name, mark=now.mark or before.mark)
            if joined != PersonMarks():
                people[new] = joined
        return self.model_copy(update={"people": people})


def read(state: str) -> Review:
    """Return the review in a private state; an empty one where nothing was ever marked.

    Raises:
        OSError: it is damaged, or cannot be read.
    """
    path = storage.join(state, FILE)
    if not storage.exists(path):
        return Review()
    try:
        return Review.model_validate_json(storage.read_bytes(path))
    except ValidationError as error:
        raise OSError(
            f"{path} is damaged. Delete that file and run the same command again: what you marked "
            "in it is lost, and photos that it left as they were are cloaked"
        ) from error


def write(state: str, review: Review) -> None:
    """Keep a review in a private state.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps(review.model_dump(mode="json"), indent=1)
    storage.write_private(storage.join(state, FILE), text.encode())


def read_file(path: str, library: str) -> Review:
    """Return a review that the page of a report exported.

    Args:
        library: id of the library that it has to be of.

    Raises:
        LibraryError: it cannot be read, or is another file, or another library's.
    """
    try:
        found = Review.model_validate_json(storage.read_bytes(path, _LONGEST))
    except OSError as error:
        raise LibraryError(
            f"{path} cannot be read: {storage.explain(error)}; export a review from the page of "
            "`photoveil report`"
        ) from error
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise LibraryError(
            f"{path} is no review{f' (at {where})' if where else ''}; export one from the page of "
            "`photoveil report`"
        ) from error
    if found.library != library:
        raise LibraryError(
            f"{path} is the review of another library; export one from the report of this one"
        )
    return found
