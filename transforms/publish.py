"""Write the output of one photo: apply the cloaks, encode, check, place it atomically."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from transforms import apart, codecs, companions, output_names, storage
from transforms.apart import ReadLimits
from transforms.cloak.budget import TOLERANCE, Budget, Seen, look, scale_to_budget
from transforms.cloak.faces import Cloak
from transforms.destination import Destination
from transforms.discover import PhotoRef
from transforms.duplicates import Copied, Placing, not_copied, place_copy
from transforms.faces.align import crop_face, face_to_crop, lay_back
from transforms.faces.detect import Face
from transforms.guarded import Failure, failure, told
from transforms.metadata import MetadataParameters
from transforms.reasons import Reason
from transforms.scan import ScannedPhoto
from transforms.stripped import stripped

_ENCODINGS = 3  # tries to keep the written file within the budget; one does nearly always


NO_SPACE = Reason.NOT_WRITTEN.of(system=storage.explain(OSError(errno.ENOSPC, "")))


@dataclass(frozen=True)
class Written:
    """A photo and what became of it: its rows of the manifest in the making.

    retry: another try may fare better with the same file.
    clean, written: uint8 (n, 112, 112, 3) aligned crops of the faces in the original and in the
        written file, for the measurement that follows.
    steps: optimiser steps per face. seen: what the written file shows of each face's cloak.
    """

    ref: PhotoRef
    status: str
    scan: ScannedPhoto
    reason: str | None = None
    retry: bool = False
    output: str | None = None
    output_sha256: str | None = None
    output_size: int | None = None
    notes: tuple[str, ...] = ()
    faces: tuple[Face, ...] = ()
    steps: tuple[int, ...] = ()
    seen: tuple[Seen, ...] = ()
    clean: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0, 3), np.uint8))
    written: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0, 3), np.uint8))
    finished: float = 0.0


def publish(
    photo: ScannedPhoto,
    cloaks: Mapping[int, Cloak],
    destination: Destination,
    budget: Budget,
    metadata: MetadataParameters,
    limits: ReadLimits,
) -> Written:
    """Write the photo, not its exact duplicates; whatever goes wrong becomes status and reason.

    Args:
        cloaks: by index of the face in `photo.faces`.
        budget: how much may be seen of a cloak.
        metadata: what is carried over beside the pixels. limits: of each decoding and encoding.
    """
    if photo.status is None:
        return _guarded(
            photo, lambda: _cloaked(photo, cloaks, destination, budget, metadata, limits)
        )
    if photo.status in ("sidecar", "video"):
        return _guarded(photo, lambda: _companion(photo, destination, metadata))
    return _row(photo, photo.status, reason=photo.reason, retry=photo.retry)


def retract(photo: Written, why: Failure, destination: Destination) -> Written:
    """The row of a photo with which something went wrong after it was written: no output stays.

    Raises:
        OSError: the output cannot be deleted.
    """
    if photo.output is not None:
        storage.remove([storage.inside(destination.root, photo.output)])
    return _row(photo.scan, "failed", **asdict(why))


def place(
    ref: PhotoRef, output: str | None, sha256: str | None, to: Destination, how: Placing
) -> Copied:
    """Give an exact duplicate the output of its twin, once that is written.

    Args:
        output, sha256: the twin's, as in `Written`; where it has none the duplicate has none.
        how: the duplicate gets that file.
    """
    if output is None or sha256 is None:
        return Copied(ref)
    try:
        place_copy(output, sha256, ref, to.root, to.scratch, how)
    except OSError as error:
        return not_copied(ref, error)
    except Exception as error:
        return Copied(ref, failure("writing", error, ref.source).reason)
    return Copied(ref)


def change_map(
    cloaks: Sequence[Cloak],
    faces: Sequence[Face],
    scales: Sequence[float],
    height: int,
    width: int,
) -> np.ndarray:
    """The cloaks of all faces as one float32 (height, width) luminance change in levels."""
    change = np.zeros((height, width), np.float32)
    for cloak, face, scale in zip(cloaks, faces, scales, strict=True):
        matrix = face_to_crop(face.landmarks)
        top, left, patch = lay_back(cloak.change * np.float32(scale), matrix, height, width)
        region = change[top : top + patch.shape[0], left : left + patch.shape[1]]
        # Where crops of neighbours overlap the stronger change counts, not the sum: each face's
        # own limit holds.
        stronger = np.abs(patch) > np.abs(region)
        region[stronger] = patch[stronger]
    return change


def _companion(photo: ScannedPhoto, to: Destination, metadata: MetadataParameters) -> Written:
    kind: companions.Kind = "video" if photo.status == "video" else "sidecar"
    wanted = metadata.videos if kind == "video" else metadata.sidecars
    if wanted == "leave":
        return _row(photo, "unsupported", reason=companions.LEFT_OUT[kind])
    data = storage.read_bytes(photo.ref.path)
    notes: tuple[str, ...] = ()
    if kind == "sidecar":
        name = photo.ref.relative
        data, notes = companions.cleaned(name, data, metadata.strip_names)
    return _placed(photo, "companion", data, to, notes=notes)


def _cloaked(
    photo: ScannedPhoto,
    cloaks: Mapping[int, Cloak],
    destination: Destination,
    budget: Budget,
    metadata: MetadataParameters,
    limits: ReadLimits,
) -> Written:
    data = storage.read_bytes(photo.ref.path)
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        return _row(photo, "failed", reason=Reason.CHANGED.of(), retry=True)
    left = _left_as_is(photo)
    if not photo.faces:
        status = "unchanged" if left else "no_face"
        odd = apart.oddities(data, limits)
        rebuild = metadata.thumbnails == "rebuild"
        data, done = stripped(data, photo.inside, rebuild, limits)
        data, people = _people(data, metadata, limits)
        notes = tuple(dict.fromkeys((*odd, *done, *people)))
        return _placed(photo, status, data, destination, reason=left, notes=notes)
    pixels = photo.width * photo.height
    original = apart.decode(data, pixels, limits).pixels
    chosen = [cloaks[index] for index in range(len(photo.faces))]
    scales = [
        scale_to_budget(original, cloak, face, budget)
        for cloak, face in zip(chosen, photo.faces, strict=True)
    ]
    for _ in range(_ENCODINGS):
        change = change_map(chosen, photo.faces, scales, photo.height, photo.width)
        encoded = apart.encode(data, change, metadata.thumbnails == "rebuild", limits)
        # What counts is the file: decode what was encoded, refuse it if it is not the same photo.
        written = apart.decode(encoded.data, pixels, limits).pixels
        if written.shape != original.shape:
            return _row(photo, "failed", reason=Reason.OTHER_SIZE.of())
        seen = [look(original, written, face) for face in photo.faces]
        over = [figures for figures in seen if budget.spent(figures) > 1 + TOLERANCE]
        if not over:
            break
        scales = [
            budget.rescale(scale, figures) if budget.spent(figures) > 1 else scale
            for scale, figures in zip(scales, seen, strict=True)
        ]
    cloaked, people = _people(encoded.data, metadata, limits)
    matrices = [face_to_crop(face.landmarks) for face in photo.faces]
    return _placed(
        photo,
        "cloaked",
        cloaked,
        destination,
        reason=left,
        notes=(*encoded.notes, *people, *_over_budget(len(over))),
        faces=photo.faces,
        steps=tuple(cloak.steps for cloak in chosen),
        seen=tuple(seen),
        clean=np.stack([crop_face(original, matrix) for matrix in matrices]),
        written=np.stack([crop_face(written, matrix) for matrix in matrices]),
    )


def _people(
    data: bytes, metadata: MetadataParameters, limits: ReadLimits
) -> tuple[bytes, tuple[str, ...]]:
    without, count = apart.without_names(data, limits)
    notes = companions.people_notes(count, metadata.strip_names)
    return without if metadata.strip_names else data, notes


def _over_budget(count: int) -> tuple[str, ...]:
    return (f"{count} faces show more than the visibility budget",) if count else ()


def _left_as_is(photo: ScannedPhoto) -> str | None:
    reasons = [
        (photo.tiny_faces, Reason.TINY_FACES),
        (photo.spared, Reason.SPARED_FACES),
    ]
    return "; ".join(why.of(count) for count, why in reasons if count) or None


def _placed(photo: ScannedPhoto, status: str, data: bytes, to: Destination, **more) -> Written:
    ref = photo.ref
    target = output_names.place(to.root, ref.output)
    storage.write_atomic(target, data, to.scratch, ref.mtime, like=ref.path)
    return _row(
        photo,
        status,
        output=ref.output,
        output_sha256=hashlib.sha256(data).hexdigest(),
        output_size=len(data),
        **more,
    )


def _guarded(photo: ScannedPhoto, work: Callable[[], Written]) -> Written:
    try:
        return work()
    except codecs.UnsupportedFormat as error:
        return _row(photo, "unsupported", reason=told(photo.ref.source, error))
    except codecs.CodecError as error:
        return _row(photo, "failed", reason=told(photo.ref.source, error))
    except OSError as error:
        reason = Reason.NOT_WRITTEN.of(system=storage.explain(error))
        return _row(photo, "failed", reason=reason, retry=not storage.is_of_name(error))
    except MemoryError:
        return _row(photo, "failed", reason=Reason.NO_MEMORY_TO_CLOAK.of(), retry=True)
    except Exception as error:
        return _row(photo, "failed", **asdict(failure("writing", error, photo.ref.source)))


def _row(photo: ScannedPhoto, status: str, **more) -> Written:
    return Written(photo.ref, status, photo, finished=time.time(), **more)
