"""The records that cross a stage: what is known of a photo on its way through the pipeline.

A photo is a `PhotoRef` when it is listed, a `ReadPhoto` when it is read, a `ScannedPhoto` when its
faces are known and a `WrittenPhoto` when its output is there. A face is a `Face` in a photo, an
`AlignedFace` on its way to the optimiser, and gets a `Perturbation`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from photoveil.transforms.io import storage
from photoveil.transforms.io.storage import printable


@dataclass(frozen=True)
class PhotoRef:
    """A file of the input tree that may be a photo.

    root, relative: where it lies; see `storage.Entry` for names that are no UTF-8.
    size: bytes. mtime: seconds since the epoch.
    problem: why it cannot be opened, if that is known already.
    naming: of its output; it tells nothing of the file itself, so it does not count in comparisons.
    """

    root: str
    relative: str
    size: int
    mtime: float
    problem: str | None = None
    naming: Naming | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> str:
        """Where to read it."""
        return storage.join(self.root, self.relative)

    @property
    def source(self) -> str:
        """`relative` as valid UTF-8 for people and manifests; odd bytes as \\xNN."""
        return printable(self.relative)

    @property
    def output(self) -> str:
        """Where its output lies, below OUT."""
        return self.relative if self.naming is None else self.naming.path

    @property
    def key(self) -> str:
        """A short ASCII name of the reference, safe as a Beam key whatever the file's name."""
        return hashlib.sha256(os.fsencode(self.relative)).hexdigest()[:32]


@dataclass(frozen=True)
class ContentGroup:
    """All files that hold the same bytes.

    ref: the one that is cloaked. copies: the others; they get its output.
    """

    ref: PhotoRef
    copies: tuple[PhotoRef, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why there is no result. retry: another try may fare better with the same file."""

    reason: str
    retry: bool


@dataclass(frozen=True)
class Face:
    """A detected face, in pixels of the upright photo.

    box: left, top, right, bottom; may reach beyond the frame.
    landmarks: five (x, y) points: left eye, right eye, nose, left and right mouth corner, left
        and right as seen with the face upright.
    score: detector confidence, 0..1.
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]
    score: float

    @property
    def size(self) -> float:
        """Mean side of the box in pixels."""
        left, top, right, bottom = self.box
        return ((right - left) + (bottom - top)) / 2

    def moved(self, x: float, y: float) -> Face:
        """The same face in a frame whose origin lies elsewhere."""
        left, top, right, bottom = self.box
        landmarks = tuple((x + px, y + py) for px, py in self.landmarks)
        return replace(self, box=(left + x, top + y, right + x, bottom + y), landmarks=landmarks)


@dataclass(frozen=True)
class ReadPhoto:
    """A file that was read.

    status: None for a sound photo; else UNSUPPORTED (no photo that this version writes) or FAILED,
        with the reason; or the kind of a file that is no photo.
    retry: another try may fare better with the same file.
    sha256: hex, of the file's bytes; None when they could not be read.
    format: by its first bytes. pixels: uint8 (H, W, 3) RGB, upright; None unless decoded.
    quarters: quarter turns anticlockwise that make of the pixels what some programs show, where
        the file's tags do not agree on how it is turned.
    orientation: as most programs show it, 1..8. hidden: the other pictures inside the file, where
        they were looked for.
    taken: when, as the camera's clock said.
    """

    ref: PhotoRef
    sha256: str | None = None
    format: str | None = None
    pixels: np.ndarray | None = None
    orientation: int = 1
    hidden: tuple[EmbeddedPicture, ...] = ()
    status: Status | FileKind | None = None
    reason: str | None = None
    retry: bool = False
    taken: dt.datetime | None = None
    quarters: tuple[int, ...] = ()


CROP_SIZE = 112


@dataclass(frozen=True)
class PersonPrior:
    """What is kept of a person for the next cloak.

    start: float16 (S, S) luminance change in levels, the mean of some cloaks of other photos; None
        while there are few.
    target: float16 (192,) of unit length, where `poison` moves the person's faces to: an embedding
        of `surrogates.WHO`.
    """

    start: np.ndarray | None
    target: np.ndarray


def _no_crops() -> np.ndarray:
    return np.zeros((0, CROP_SIZE, CROP_SIZE, 3), np.uint8)


@dataclass(frozen=True)
class ScannedPhoto:
    """A photo without its pixels.

    status, reason, retry: as in `ReadPhoto`; no status for a photo that can be cloaked or copied.
    width, height: pixels, upright; 0 when it was not decoded.
    faces: those to cloak. crops: uint8 (n, 112, 112, 3), their aligned crops.
    tiny_faces: how many more were found that are too small for any recogniser.
    inside: what its file holds beside the photo that shows faces, or cannot be looked at.
    copies: its exact duplicates.
    pdq: 32 bytes, see `near_duplicates`; None where it is not looked for or shows too little.
    duplicate_of, distance: source of the photo that it is a near duplicate of, and how near.
    embeddings: float32 (n, 192), who is who; none once that is settled.
    taken: when, as the camera's clock said.
    spared: how many faces are left as they are because of who they are.
    known: per face, what is kept of the person, None for one met first; empty before that is
        looked up.
    """

    ref: PhotoRef
    sha256: str | None
    format: str | None
    width: int = 0
    height: int = 0
    faces: tuple[Face, ...] = ()
    crops: np.ndarray = field(default_factory=_no_crops)
    tiny_faces: int = 0
    status: Status | FileKind | None = None
    reason: str | None = None
    retry: bool = False
    copies: tuple[PhotoRef, ...] = ()
    pdq: bytes | None = None
    duplicate_of: str | None = None
    distance: int | None = None
    embeddings: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    taken: dt.datetime | None = None
    spared: int = 0
    known: tuple[PersonPrior | None, ...] = ()
    inside: tuple[Leak, ...] = ()


@dataclass(frozen=True)
class AlignedFace:
    """A face on its way to the optimiser.

    index: which face of its photo. crop: uint8 (S, S, 3) RGB.
    origin: what the cloak comes from, see `transforms.photo.scan.origin`.
    known: what is kept of the person; None for one met first.
    """

    index: int
    crop: np.ndarray
    origin: str
    known: PersonPrior | None = None

    @property
    def has_start(self) -> bool:
        """Whether earlier cloaks of the person give one."""
        return self.known is not None and self.known.start is not None

    @property
    def seed(self) -> int:
        """Of its jitter: a face gets the same cloak in any batch and on any machine."""
        return int.from_bytes(hashlib.sha256(self.origin.encode()).digest()[:8], "big")


@dataclass(frozen=True)
class Perturbation:
    """The result for one face.

    change: float32 (S, S) luminance change in levels, 0 at the crop's edge.
    dssim: of the changed crop against the clean one, 0..1.
    steps: optimiser steps spent.
    """

    change: np.ndarray
    dssim: float
    steps: int


@dataclass(frozen=True)
class Visibility:
    """What is seen of one face. flip, delta_e: means at viewing size. dssim: of the crop."""

    flip: float
    delta_e: float
    dssim: float


@dataclass(frozen=True)
class Destination:
    """Where outputs go.

    root: the output tree. scratch: folder for unfinished files on the same file system.
    """

    root: str
    scratch: str


@dataclass(frozen=True)
class WrittenPhoto:
    """A photo and what became of it: its rows of the manifest in the making.

    retry: another try may fare better with the same file.
    clean, written: uint8 (n, 112, 112, 3) aligned crops of the faces in the original and in the
        written file, for the measurement that follows.
    steps: optimiser steps per face. seen: what the written file shows of each face's cloak.
    """

    ref: PhotoRef
    status: Status
    scan: ScannedPhoto
    reason: str | None = None
    retry: bool = False
    output: str | None = None
    output_sha256: str | None = None
    output_size: int | None = None
    notes: tuple[str, ...] = ()
    faces: tuple[Face, ...] = ()
    steps: tuple[int, ...] = ()
    seen: tuple[Visibility, ...] = ()
    clean: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0, 3), np.uint8))
    written: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0, 3), np.uint8))
    finished: float = 0.0


@dataclass(frozen=True)
class Placed:
    """An exact duplicate that got the output of its twin.

    reason: why it did not, if so. retry: another try may fare better.
    """

    ref: PhotoRef
    reason: str | None = None
    retry: bool = True


@dataclass(frozen=True)
class Measured:
    """Of one face. cosine_shift: 1 - cosine, 0..2, by surrogate."""

    cosine_shift: Mapping[str, float]


@dataclass(frozen=True)
class HashedPhoto:
    """A photo to compare. key: its name. pdq: 32 bytes. path: where to read it. known: it is in
    the library already."""

    key: str
    pdq: bytes
    path: str
    known: bool = False


@dataclass(frozen=True)
class NearDuplicatePair:
    """Two photos with like hashes; the key of `one` sorts first. distance: bits that differ."""

    one: HashedPhoto
    other: HashedPhoto
    distance: int


@dataclass(frozen=True)
class CanonicalPhoto:
    """The photo whose cloaks its near duplicates get.

    source: its name in the manifest. width, height: pixels, upright.
    faces: in its pixels. crops: uint8 (n, 112, 112, 3).
    """

    source: str
    width: int
    height: int
    faces: Sequence[Face]
    crops: np.ndarray


class Status(StrEnum):
    """What became of a file, as the manifest tells it (docs/manifest.md)."""

    CLOAKED = "cloaked"
    NO_FACE = "no_face"
    UNCHANGED = "unchanged"
    """Copied with the faces it has: they are too small, or of people who are spared."""
    DUPLICATE = "duplicate"
    COMPANION = "companion"
    """Copied beside a photo: a sidecar, or the video of a Live Photo."""
    SKIPPED = "skipped"
    """A near duplicate that the settings leave out."""
    UNSUPPORTED = "unsupported"
    FAILED = "failed"
    REMOVED = "removed"
    """A row that takes an earlier one away; no reader of the manifest sees it."""


class FileKind(StrEnum):
    """A file that belongs to a photo and is none."""

    SIDECAR = "sidecar"
    VIDEO = "video"


@dataclass(frozen=True)
class Naming:
    """Where the output of a file lies when OUT does not take the file's own path; and why not.

    path: below OUT.
    """

    path: str
    why: str


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture inside a file that is not the file's own.

    where: in plain words, such as "JPEG at byte 1,234". pixels: uint8 (H, W, 3) RGB as stored;
        None for what holds pictures that cannot be looked at. what: "picture", "video", "layers".
    orientation: by its own EXIF, 1..8.
    """

    where: str
    pixels: np.ndarray | None
    what: str = "picture"
    orientation: int = 1


@dataclass(frozen=True)
class Leak:
    """What an output file should not hold.

    what: "clean face", nearer to the original's than to the cloaked one; "other face", of nobody
        in the photo; "video", "layers" or (too large a) "picture", which may hold faces and cannot
        be looked at.
    similarity: cosine of a clean face's embedding with that of the original's.
    """

    where: str
    what: str
    similarity: float | None = None


@dataclass(frozen=True)
class FoundFaces:
    """faces: in a photo. inside: what its file holds beside it that shows faces, too, or cannot be
    looked at."""

    faces: list[Face]
    inside: tuple[Leak, ...]
