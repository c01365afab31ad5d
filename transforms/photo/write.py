"""Write the output of one photo, placed atomically; every error becomes its status and reason."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from photoveil.transforms import codecs
from photoveil.transforms.duplicates.exact import Placing, not_copied, place_copy
from photoveil.transforms.failures import failure, log_reason
from photoveil.transforms.io import storage
from photoveil.transforms.naming import output_names
from photoveil.transforms.photo import codec_process, sidecars
from photoveil.transforms.photo.composite import compose
from photoveil.transforms.photo.parameters import MetadataParameters, WriteParameters
from photoveil.transforms.photo.strip import stripped
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import (
    Destination,
    Failure,
    FileKind,
    Perturbation,
    PhotoRef,
    Placed,
    ScannedPhoto,
    Status,
    WrittenPhoto,
)

NO_SPACE = Reason.NOT_WRITTEN.of(system=storage.explain(OSError(errno.ENOSPC, "")))


def publish(
    photo: ScannedPhoto,
    cloaks: Mapping[int, Perturbation],
    destination: Destination,
    parameters: WriteParameters,
) -> WrittenPhoto:
    """Write the photo, not its exact duplicates; whatever goes wrong becomes status and reason.

    Args:
        cloaks: by index of the face in `photo.faces`.
    """
    if photo.status is None:
        return _guarded(photo, lambda: _photo(photo, cloaks, destination, parameters))
    if isinstance(photo.status, FileKind):
        kind = photo.status
        return _guarded(photo, lambda: _companion(photo, kind, destination, parameters.metadata))
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


def _photo(
    photo: ScannedPhoto,
    cloaks: Mapping[int, Perturbation],
    to: Destination,
    parameters: WriteParameters,
) -> WrittenPhoto:
    data = storage.read_bytes(photo.ref.path)
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        return _row(photo, Status.FAILED, reason=Reason.CHANGED.of(), retry=True)
    if not photo.faces:
        return _without_faces(photo, data, to, parameters)
    chosen = [cloaks[index] for index in range(len(photo.faces))]
    done = compose(data, photo, chosen, parameters)
    cloaked, people = _people(done.data, parameters)
    return _placed(
        photo,
        Status.CLOAKED,
        cloaked,
        to,
        reason=_left_as_is(photo),
        notes=(*done.notes, *people, *_over_budget(done.over)),
        faces=photo.faces,
        steps=tuple(cloak.steps for cloak in chosen),
        seen=done.seen,
        clean=done.clean,
        written=done.written,
    )


def _without_faces(
    photo: ScannedPhoto, data: bytes, to: Destination, parameters: WriteParameters
) -> WrittenPhoto:
    left = _left_as_is(photo)
    odd = codec_process.oddities(data, parameters.limits)
    rebuild = parameters.metadata.thumbnails == "rebuild"
    data, done = stripped(data, photo.inside, rebuild, parameters.limits)
    data, people = _people(data, parameters)
    status = Status.UNCHANGED if left else Status.NO_FACE
    notes = tuple(dict.fromkeys((*odd, *done, *people)))
    return _placed(photo, status, data, to, reason=left, notes=notes)


def _people(data: bytes, parameters: WriteParameters) -> tuple[bytes, tuple[str, ...]]:
    without, count = codec_process.without_names(data, parameters.limits)
    strip = parameters.metadata.strip_names
    return without if strip else data, sidecars.people_notes(count, strip)


def _over_budget(count: int) -> tuple[str, ...]:
    return (f"{count} faces show more than the visibility budget",) if count else ()


def _left_as_is(photo: ScannedPhoto) -> str | None:
    reasons = [
        (photo.tiny_faces, Reason.TINY_FACES),
        (photo.spared, Reason.SPARED_FACES),
        (photo.left, Reason.LEFT_FACES),
    ]
    return "; ".join(why.of(count) for count, why in reasons if count) or None


def _placed(
    photo: ScannedPhoto, status: Status, data: bytes, to: Destination, **more: Any
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


def _row(photo: ScannedPhoto, status: Status, **more: Any) -> WrittenPhoto:
    return WrittenPhoto(photo.ref, status, photo, finished=time.time(), **more)
