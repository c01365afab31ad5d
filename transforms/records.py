"""The records that cross a stage: what is known about a photo on its way through the pipeline.

A photo is a `PhotoRef` when it is listed, a `ReadPhoto` when it is read, a `ScannedPhoto` when its
faces are known and a `WrittenPhoto` when its output exists. A face is a `Face` in a photo, an
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


@dataclass(frozen=True, slots=True)
class PhotoRef:
    """A file of the input tree that may be a photo.

    root, relative: where it is; see `storage.Entry` for names that are not UTF-8.
    size: bytes. mtime: seconds since the epoch.
    problem: why it cannot be opened, if that is known already.
    naming: of its output; it says nothing about the file itself, so it is ignored in comparisons.
    """

    root: str
    relative: str
    size: int
    mtime: float
    problem: str | None = None
    naming: Naming | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> str:
        """The path to read it from."""
        return storage.join(self.root, self.relative)

    @property
    def source(self) -> str:
        r"""`relative` as valid UTF-8 for people and manifests; other bytes as \xNN."""
        return printable(self.relative)

    @property
    def output(self) -> str:
        """The path of its output below OUT."""
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
    """Why there is no result. retry: another try may succeed with the same file."""

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
        """Return the same face in a frame with another origin."""
        left, top, right, bottom = self.box
        landmarks = tuple((x + px, y + py) for px, py in self.landmarks)
        return replace(self, box=(left + x, top + y, right + x, bottom + y), landmarks=landmarks)


@dataclass(frozen=True)
class ReadPhoto:
    """A file that was read.

    status: None for an intact photo; else UNSUPPORTED (not a photo that this version writes) or
        FAILED, with the reason; or the kind of a file that is not a photo.
    retry: another try may succeed with the same file.
    sha256: hex, of the file's bytes; None if they could not be read.
    format: by its first bytes. pixels: uint8 (H, W, 3) RGB, upright; None unless decoded.
    quarters: quarter turns anticlockwise that turn the pixels to what some programs show, if the
        file's tags disagree about the orientation.
    orientation: as most programs show it, 1..8. hidden: the embedded pictures, if the file was
        searched for them.
    taken: date by the camera's clock.
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
    """What is kept of a person for the next perturbation.

    start: float16 (S, S, 3) warm start, as `Perturbation.stacked`: the mean of the perturbations of
        some other photos; None while there are few.
    target: float16 (192,) of unit length, an embedding of `surrogates.WHO` that `poison` moves the
        person's faces towards; None for a new person.
    prototype: float16 (D,), the mean of what `Optimizer.embed` gives for some photos of the person;
        None while there is none.
    group: name of the faces, among those on their way to the optimiser, whose mean the prototype is
        to be; None if it is there, or if the face stands alone.
    """

    start: np.ndarray | None = None
    target: np.ndarray | None = None
    prototype: np.ndarray | None = None
    group: str | None = None


def _no_crops() -> np.ndarray:
    return np.zeros((0, CROP_SIZE, CROP_SIZE, 3), np.uint8)


@dataclass(frozen=True)
class ScannedPhoto:
    """A photo without its pixels.

    status, reason, retry: as in `ReadPhoto`; no status for a photo that can be cloaked or copied.
    width, height: pixels, upright; 0 if it was not decoded.
    faces: those to cloak. crops: uint8 (n, 112, 112, 3), their aligned crops.
    tiny_faces: how many more were found that are too small for any recogniser.
    inside: what its file holds beside the photo that shows faces or cannot be searched.
    copies: its exact duplicates.
    pdq: 32 bytes, see `perceptual_hash`; None if it is not needed or the photo has too little
        detail.
    duplicate_of, distance: source of its canonical photo if it is a near duplicate, and the number
        of bits that differ.
    embeddings: float32 (n, 192), for identifying people; none once that is done.
    taken: date by the camera's clock.
    spared, left: how many faces are left as they are because of who they are, and because a review
        says so. review: fingerprint of what that asks for the photo; None for nothing.
    known: per face, what is kept of the person, None for a new person; empty before that is looked
        up.
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
    left: int = 0
    review: str | None = None


@dataclass(frozen=True)
class AlignedFace:
    """A face on its way to the optimiser.

    index: which face of its photo. crop: uint8 (S, S, 3) RGB.
    origin: what its perturbation is derived from, see `transforms.photo.scan.origin`.
    known: what is kept of the person; None for a new person.
    embedding: float32 (D,), what `Optimizer.embed` gives for it; None if that is not computed yet.
    """

    index: int
    crop: np.ndarray
    origin: str
    known: PersonPrior | None = None
    embedding: np.ndarray | None = None

    @property
    def has_start(self) -> bool:
        """True if earlier perturbations of the person give a warm start."""
        return self.known is not None and self.known.start is not None

    @property
    def seed(self) -> int:
        """Seed of the jitter: a face gets the same perturbation in any batch and on any machine."""
        return int.from_bytes(hashlib.sha256(self.origin.encode()).digest()[:8], "big")


@dataclass(frozen=True)
class Perturbation:
    """The result for one face.

    change: float32 (S, S) luminance change in levels. shift: float32 (S, S, 2) displacement (x, y)
        in pixels of the crop: from where, relative to itself, a pixel is fetched. Both are 0 at the
        crop's edge.
    dssim: of the luminance change on the clean crop, 0..1.
    steps: optimiser steps spent.
    """

    change: np.ndarray
    shift: np.ndarray
    dssim: float
    steps: int

    @property
    def stacked(self) -> np.ndarray:
        """The shift and the change as one array, float32 (S, S, 3)."""
        return np.concatenate([self.shift, self.change[..., np.newaxis]], axis=-1)


@dataclass(frozen=True)
class Visibility:
    """How visible the perturbation of one face is.

    What is drawn on the face is told from what is only moved: flip, delta_e (means at viewing
    size), dssim (of the crop) and contrast (`contrast.drawn_contrast`, levels) compare the written
    face with the original as it was bent.
    shift_peak, shift_rms: of the displacement over the crop, in percent of the interocular
        distance.
    stretch: largest singular value of its Jacobian matrix.
    """

    flip: float
    delta_e: float
    dssim: float
    contrast: float
    shift_peak: float = 0.0
    shift_rms: float = 0.0
    stretch: float = 0.0


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

    retry: another try may succeed with the same file.
    clean, written: uint8 (n, 112, 112, 3) aligned crops of the faces in the original and in the
        written file, for the measurement that follows.
    steps: optimiser steps per face. seen: visibility of each face's change in the written file.
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
    """An exact duplicate that got the output of the cloaked file.

    reason: why it did not, if so. retry: another try may succeed.
    """

    ref: PhotoRef
    reason: str | None = None
    retry: bool = True


@dataclass(frozen=True)
class Measured:
    """Measurement of one face. cosine_shift: 1 - cosine, 0..2, by surrogate."""

    cosine_shift: Mapping[str, float]


@dataclass(frozen=True)
class HashedPhoto:
    """A photo to compare.

    key: its name. pdq: 32 bytes. path: where to read it. known: it is in the library already.
    """

    key: str
    pdq: bytes
    path: str
    known: bool = False


@dataclass(frozen=True)
class NearDuplicatePair:
    """Two photos with similar hashes; the key of `one` sorts first. distance: bits that differ."""

    one: HashedPhoto
    other: HashedPhoto
    distance: int


@dataclass(frozen=True)
class CanonicalPhoto:
    """The photo whose faces and perturbations its near duplicates share.

    source: its name in the manifest. width, height: pixels, upright.
    faces: in its pixels. crops: uint8 (n, 112, 112, 3).
    """

    source: str
    width: int
    height: int
    faces: Sequence[Face]
    crops: np.ndarray


class Status(StrEnum):
    """What became of a file, as in the manifest (docs/manifest.md)."""

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
    """A file that belongs to a photo and is not a photo."""

    SIDECAR = "sidecar"
    VIDEO = "video"


@dataclass(frozen=True)
class Naming:
    """Where the output of a file is when OUT cannot hold the file's own path, and why.

    path: below OUT.
    """

    path: str
    why: str


class EmbeddedKind(StrEnum):
    """What a file holds beside its own picture, or what that shows.

    The values are text in the table of scans, in notes of the manifest and in reports.
    """

    PICTURE = "picture"
    """Any picture; as a `Leak`, one that is too large to be searched or cannot be decoded."""
    DATA = "data"
    """Bytes that no reader of the format looks at, in which anything may lie."""
    VIDEO = "video"
    LAYERS = "layers"
    """Photoshop's; neither they, nor a video, nor such data can be searched for faces."""
    CLEAN_FACE = "clean face"
    """A face closer to the original's than to the cloaked one."""
    OTHER_FACE = "other face"
    """A face of nobody in the photo."""


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture inside a file that is not the file's own.

    where: in plain words, such as "JPEG at byte 1,234". pixels: uint8 (H, W, 3) RGB as stored;
        None for what holds pictures that cannot be looked at. what: PICTURE, DATA, VIDEO or LAYERS.
    orientation: by its own EXIF, 1..8.
    """

    where: str
    pixels: np.ndarray | None
    what: EmbeddedKind = EmbeddedKind.PICTURE
    orientation: int = 1


@dataclass(frozen=True)
class Leak:
    """What an output file should not hold.

    what: a face, or what may hold faces and cannot be searched.
    similarity: cosine of a clean face's embedding with that of the original's.
    """

    where: str
    what: EmbeddedKind
    similarity: float | None = None


@dataclass(frozen=True)
class FoundFaces:
    """The faces in a photo, and what else its file shows.

    faces: in the photo. inside: what its file holds beside it that shows faces too, or cannot be
        searched.
    """

    faces: list[Face]
    inside: tuple[Leak, ...]
