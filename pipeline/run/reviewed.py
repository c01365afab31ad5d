"""Carries a review out: what a run makes of the marks of photos, faces and people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from photoveil.pipeline.library.manifest import RunStamp
from photoveil.pipeline.settings import Settings
from photoveil.pipeline.state.review import NO_WISH, Level, Review, Wish
from photoveil.transforms.photo.scan import without_faces
from photoveil.transforms.records import Face, ScannedPhoto


@dataclass(frozen=True)
class Reviewed:
    """A review, and what it needs to be carried out.

    levels: settings and stamp of the photos that are cloaked less or more than others.
    people: the persons of each photo of the library, by its sha256.
    """

    review: Review = field(default_factory=Review)
    levels: Mapping[Level, tuple[Settings, RunStamp]] = field(default_factory=dict)
    people: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def asks_nothing(self) -> bool:
        """True where no photo and no person has a mark."""
        return not self.review.photos and not self.review.people

    def wish(self, sha256: str | None) -> Wish:
        """Return what is asked for a photo of the library."""
        if self.asks_nothing:  # as of most, by the million
            return NO_WISH
        return self.review.wish(sha256, self.people.get(sha256 or "", ()))

    def stamp(self, wish: Wish, normal: RunStamp) -> RunStamp:
        """Return the stamp that the row of a photo should have."""
        return self.levels[wish.level][1] if wish.level in self.levels else normal

    def differs(self, row: Mapping[str, Any]) -> bool:
        """True for a row with an output that was made with other marks."""
        wish = self.wish(row["source_sha256"])
        asked = None if wish is NO_WISH else wish.fingerprint
        return row["output"] is not None and row["review"] != asked

    def applied(
        self, photos: Sequence[ScannedPhoto], whose: Callable[[ScannedPhoto], list[str | None]]
    ) -> Applied:
        """Leave out the faces that are to stay as they are.

        Args:
            whose: tells the person of each face of a photo.
        """
        done = Applied([])
        for photo in photos:
            wish = NO_WISH
            if self.review != NOTHING:
                people = whose(photo)
                wish = self.review.wish(photo.sha256, people)
            if wish != NO_WISH:
                faces = zip(photo.faces, people, strict=True)
                kept = [not wish.leaves(face, person) for face, person in faces]
                left = [
                    face for face, is_kept in zip(photo.faces, kept, strict=True) if not is_kept
                ]
                done.left[photo.ref.key] = left
                done.levels[photo.ref.key] = wish.level
                photo = replace(without_faces(photo, kept), left=len(left), review=wish.fingerprint)
            done.photos.append(photo)
        return done


@dataclass(frozen=True)
class Applied:
    """The photos of a wave after a review.

    levels: how much those are cloaked that it speaks of. left: their faces that are left. Both by
    `ref.key`.
    """

    photos: list[ScannedPhoto]
    levels: dict[str, Level] = field(default_factory=dict)
    left: dict[str, list[Face]] = field(default_factory=dict)

    def of_level(self, level: Level, photos: Sequence[ScannedPhoto]) -> list[ScannedPhoto]:
        """Return those of some photos that are cloaked so much."""
        return [p for p in photos if self.levels.get(p.ref.key, Level.NORMAL) == level]

    def still(self, photo: ScannedPhoto) -> ScannedPhoto:
        """Leave a photo's faces out again that it got back from the photo that it is like."""
        left = self.left.get(photo.ref.key)
        if not left:
            return photo
        kept = [not any(_is_in(face, other) for other in left) for face in photo.faces]
        return without_faces(replace(photo, embeddings=photo.embeddings[:0]), kept)


def _is_in(face: Face, other: Face) -> bool:
    """True if the middle of a face lies in the box of another."""
    left, top, right, bottom = face.box
    x, y = (left + right) / 2, (top + bottom) / 2
    return other.box[0] <= x <= other.box[2] and other.box[1] <= y <= other.box[3]


NOTHING = Review()
NOT_REVIEWED = Reviewed()
