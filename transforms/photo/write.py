"""Write the output of one photo: apply the cloaks, encode, check, place it atomically."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from photoveil.transforms import codecs
from photoveil.transforms.cloak.budget import TOLERANCE, Budget, scale_to_budget, visibility_of
from photoveil.transforms.duplicates.exact import Placing, not_copied, place_copy
from photoveil.transforms.faces.align import crop_face, face_to_crop, lay_back
from photoveil.transforms.failures import failure, log_reason
from photoveil.transforms.io import storage
from photoveil.transforms.naming import output_names
from photoveil.transforms.photo import codec_process, sidecars
from photoveil.transforms.photo.codec_process import ReadLimits
from photoveil.transforms.photo.parameters import MetadataParameters
from photoveil.transforms.photo.strip import stripped
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import (
    Destination,
    Face,
    Failure,
    FileKind,
    Perturbation,
    PhotoRef,
    Placed,
    ScannedPhoto,
    Status,
    WrittenPhoto,
)

_ENCODINGS = 3  # tries to keep the written file within the budget; one does nearly always


NO_SPACE = Reason.NOT_WRITTEN.of(system=storage.explain(OSError(errno.ENOSPC, "")))


def publish(
    photo: ScannedPhoto,
    cloaks: Mapping[int, Perturbation],
    destination: Destination,
    budget: Budget,
    metadata: MetadataParameters,
    limits: ReadLimits,
) -> WrittenPhoto:
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
    if isinstance(photo.status, FileKind):
        kind = photo.status
        return _guarded(photo, lambda: _companion(photo, kind, destination, metadata))
    return _row(photo, photo.status, reason=photo.reason, retry=photo.retry)


def retract(photo: WrittenPhoto, why: Failure, destination: Destination) -> WrittenPhoto:
    """The row of a photo with which something went wrong after it was written: no output stays.

    Raises:
        OSError: the output cannot be deleted.
    """
    if photo.output is not None:
        storage.remove([storage.inside(destination.root, photo.output)])
    return _row(photo.scan, Status.FAILED, **asdict(why))


def place(
    ref: PhotoRef, output: str | None, sha256: str | None, to: Destination, how: Placing
) -> Placed:
    """Give an exact duplicate the output of its twin, once that is written.

    Args:
        output, sha256: the twin's, as in `WrittenPhoto`; where it has none the duplicate has none.
        how: the duplicate gets that file.
    """
    if output is None or sha256 is None:
        return Placed(ref)
    try:
        place_copy(output, sha256, ref, to.root, to.scratch, how)
    except OSError as error:
        return not_copied(ref, error)
    except Exception as error:
        return Placed(ref, failure("writing", error, ref.source).reason)
    return Placed(ref)


def change_map(
    cloaks: Sequence[Perturbation],
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


def _companion(
    photo: ScannedPhoto, kind: FileKind, to: Destination, metadata: MetadataParameters
) -> WrittenPhoto:
    wanted = metadata.videos if kind is FileKind.VIDEO else metadata.sidecars
    if wanted == "leave":
        return _row(photo, Status.UNSUPPORTED, reason=sidecars.LEFT_OUT[kind])
    data = storage.read_bytes(photo.ref.path)
    notes: tuple[str, ...] = ()
    if kind is FileKind.SIDECAR:
        name = photo.ref.relative
        data, notes = sidecars.cleaned(name, data, metadata.strip_names)
    return _placed(photo, Status.COMPANION, data, to, notes=notes)


def _cloaked(
    photo: ScannedPhoto,
    cloaks: Mapping[int, Perturbation],
    destination: Destination,
    budget: Budget,
    metadata: MetadataParameters,
    limits: ReadLimits,
) -> WrittenPhoto:
    data = storage.read_bytes(photo.ref.path)
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        return _row(photo, Status.FAILED, reason=Reason.CHANGED.of(), retry=True)
    left = _left_as_is(photo)
    if not photo.faces:
        status = Status.UNCHANGED if left else Status.NO_FACE
        odd = codec_process.oddities(data, limits)
        rebuild = metadata.thumbnails == "rebuild"
        data, done = stripped(data, photo.inside, rebuild, limits)
        data, people = _people(data, metadata, limits)
        notes = tuple(dict.fromkeys((*odd, *done, *people)))
        return _placed(photo, status, data, destination, reason=left, notes=notes)
    pixels = photo.width * photo.height
    original = codec_process.decode(data, pixels, limits).pixels
    chosen = [cloaks[index] for index in range(len(photo.faces))]
    scales = [
        scale_to_budget(original, cloak, face, budget)
        for cloak, face in zip(chosen, photo.faces, strict=True)
    ]
    for _ in range(_ENCODINGS):
        change = change_map(chosen, photo.faces, scales, photo.height, photo.width)
        encoded = codec_process.encode(data, change, metadata.thumbnails == "rebuild", limits)
        # What counts is the file: decode what was encoded, refuse it if it is not the same photo.
        written = codec_process.decode(encoded.data, pixels, limits).pixels
        if written.shape != original.shape:
            return _row(photo, Status.FAILED, reason=Reason.OTHER_SIZE.of())
        seen = [visibility_of(original, written, face) for face in photo.faces]
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
        Status.CLOAKED,
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
    without, count = codec_process.without_names(data, limits)
    notes = sidecars.people_notes(count, metadata.strip_names)
    return without if metadata.strip_names else data, notes


def _over_budget(count: int) -> tuple[str, ...]:
    return (f"{count} faces show more than the visibility budget",) if count else ()


def _left_as_is(photo: ScannedPhoto) -> str | None:
    reasons = [
        (photo.tiny_faces, Reason.TINY_FACES),
        (photo.spared, Reason.SPARED_FACES),
    ]
    return "; ".join(why.of(count) for count, why in reasons if count) or None


def _placed(
    photo: ScannedPhoto, status: Status, data: bytes, to: Destination, **more
) -> WrittenPhoto:
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


def _guarded(photo: ScannedPhoto, work: Callable[[], WrittenPhoto]) -> WrittenPhoto:
    try:
        return work()
    except codecs.UnsupportedFormat as error:
        return _row(photo, Status.UNSUPPORTED, reason=log_reason(photo.ref.source, error))
    except codecs.CodecError as error:
        return _row(photo, Status.FAILED, reason=log_reason(photo.ref.source, error))
    except OSError as error:
        reason = Reason.NOT_WRITTEN.of(system=storage.explain(error))
        return _row(photo, Status.FAILED, reason=reason, retry=not storage.is_of_name(error))
    except MemoryError:
        return _row(photo, Status.FAILED, reason=Reason.NO_MEMORY_TO_CLOAK.of(), retry=True)
    except Exception as error:
        return _row(photo, Status.FAILED, **asdict(failure("writing", error, photo.ref.source)))


def _row(photo: ScannedPhoto, status: Status, **more) -> WrittenPhoto:
    return WrittenPhoto(photo.ref, status, photo, finished=time.time(), **more)
