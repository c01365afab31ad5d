"""The plan: what a run will do and why; `comparison` makes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from photoveil.pipeline.run.chosen import Chosen
from photoveil.pipeline.run.reviewed import NOT_REVIEWED, Reviewed
from photoveil.transforms.records import ContentGroup, PhotoRef


@dataclass(frozen=True)
class Selection:
    """Which photos a run takes on beside what is new or changed, and which it leaves.

    recloak: do anew what was done with another mode, settings, models or output version.
    retry: try photos again that failed, though nothing about them changed.
    reviewed: what the owner asked for in a review.
    since: leave files alone that were modified before, in seconds since the epoch. A file keeps its
        time when it is moved, so sources that are older than that and are no longer there may lie
        elsewhere, unread: they do not count as gone.
    chosen: all else in IN is left as it is, and as the library has it; None for the whole of IN.
    """

    recloak: bool = False
    retry: bool = False
    since: float | None = None
    reviewed: Reviewed = NOT_REVIEWED
    chosen: Chosen | None = None

    def has(self, source: str) -> bool:
        """True for what is chosen, by its path below IN."""
        return self.chosen is None or source in self.chosen


WHAT_IS_NEW = Selection()


class Relation(StrEnum):
    """How a file relates to the row of the manifest that its own row is made of."""

    MOVED = "moved"
    """The file of that row is no longer there."""
    DUPLICATE = "duplicate"
    """It is still there."""
    RESTORED = "restored"
    """The row is the file's own, and only the output was lost."""


@dataclass(frozen=True)
class KnownFile:
    """A file whose bytes the library holds in their cloaked form: nothing is cloaked for it.

    row: source of the manifest row that its own row is made of. output: path of the cloaked file,
        below the library's root.
    """

    ref: PhotoRef
    row: str
    output: str
    how: Relation


@dataclass(frozen=True)
class Plan:
    """What a run will do, and what it will leave.

    todo: photos to open and cloak, each with its exact duplicates. originals: those that get their
    originals, likewise, as a review asks. why: how many of these files
        for which reason. known: files that get what the library holds.
    unchanged: files that are done. left_out, failed: files that an earlier run left out or could
        not do, and that would fare no better now.
    stale: files that were done otherwise and are left so, by what differs.
    older: files to work on that are left for another run, being older than it asks for.
    not_chosen: files of the archive that the run is not about.
    gone: sources that are no longer there; their outputs are kept. newly_gone, back: those whose
        mark in the manifest has to change. dropped: gone, and never had an output.
    hashes: sha256 of those files to work on for which it had to be known.
    photos: cloaked photos in the library, without sidecars. present: those whose originals are in
        the archive as they were, by name, size and date or by their bytes.
    gone_photos: those in `gone`. bare: folders of the archive in which there were photos and are
        no files now, the topmost ones.
    """

    todo: tuple[ContentGroup, ...] = ()
    why: Counter[str] = field(default_factory=Counter)
    known: tuple[KnownFile, ...] = ()
    unchanged: int = 0
    left_out: int = 0
    failed: int = 0
    stale: Counter[str] = field(default_factory=Counter)
    older: int = 0
    gone: tuple[str, ...] = ()
    newly_gone: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    hashes: Mapping[PhotoRef, str] = field(default_factory=dict)
    photos: int = 0
    present: int = 0
    gone_photos: int = 0
    bare: tuple[str, ...] = ()
    originals: tuple[ContentGroup, ...] = ()
    not_chosen: int = 0

    @property
    def is_away(self) -> bool:
        """True when nothing of what was cloaked is there: another folder, or no disk."""
        return bool(self.gone and self.photos) and not self.present

    @property
    def refs(self) -> list[PhotoRef]:
        """All files that there is something to do for."""
        groups = (*self.todo, *self.originals)
        cloaked = [ref for group in groups for ref in (group.ref, *group.copies)]
        return [*cloaked, *(item.ref for item in self.known)]

    @property
    def files(self) -> int:
        """Files in `todo`, duplicates included."""
        return sum(1 + len(group.copies) for group in self.todo)

    @property
    def duplicates(self) -> int:
        """Files that get the output of another one."""
        placed = sum(item.how == Relation.DUPLICATE for item in self.known)
        return placed + sum(len(group.copies) for group in self.todo)

    @property
    def widest(self) -> int:
        """Files in the largest group of equal ones that are to be placed."""
        beside = Counter(item.row for item in self.known if item.how == Relation.DUPLICATE)
        groups = [1 + len(group.copies) for group in self.todo if group.copies]
        return max([*groups, *(1 + count for count in beside.values())], default=0)

    @property
    def largest_folder(self) -> tuple[str, int]:
        """The folder with most files that there is something to do for, and how many: "" for IN."""
        folders = Counter(ref.source.rpartition("/")[0] for ref in self.refs)
        return max(folders.items(), key=lambda pair: pair[1], default=("", 0))

    @property
    def moved(self) -> int:
        """Files that have a new name and keep their output."""
        return sum(item.how == Relation.MOVED for item in self.known)

    @property
    def room(self) -> int:
        """Bytes that new outputs will take, about: a cloaked photo is as large as its source."""
        moved = sum(item.ref.size for item in self.known if item.how == Relation.MOVED)
        return sum(ref.size for ref in self.refs) - moved
