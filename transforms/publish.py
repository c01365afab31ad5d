"""Write the output of one photo: apply the cloaks, encode, check, place it atomically."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import flip_evaluator
import numpy as np
from PIL import Image

from transforms import codecs, storage
from transforms.cloak.faces import Cloak
from transforms.discover import PhotoRef, printable
from transforms.duplicates import Published
from transforms.faces.align import crop_face, face_to_crop, lay_back
from transforms.faces.detect import Face
from transforms.scan import ScannedPhoto

_FLIP_MAX_SIDE = 300  # pixels: a face at the size it is looked at


@dataclass(frozen=True)
class Destination:
    """Where outputs go.

    root: the output tree. scratch: folder for unfinished files on the same file system.
    """

    root: str
    scratch: str


@dataclass(frozen=True)
class Written:
    """One row of the manifest in the making: an input file and what became of it.

    clean, written: uint8 (n, 112, 112, 3) aligned crops of the faces in the original and in the
        written file, for the measurement that follows.
    flip: per face. steps: optimiser steps per face.
    """

    ref: PhotoRef
    status: str
    scan: ScannedPhoto
    reason: str | None = None
    output: str | None = None
    output_sha256: str | None = None
    output_size: int | None = None
    duplicate_of: str | None = None
    notes: tuple[str, ...] = ()
    faces: tuple[Face, ...] = ()
    steps: tuple[int, ...] = ()
    flip: tuple[float, ...] = ()
    clean: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0, 3), np.uint8))
    written: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0, 3), np.uint8))
    finished: float = 0.0


def publish(
    photo: ScannedPhoto, cloaks: Mapping[int, Cloak], destination: Destination
) -> list[Written]:
    """Write the photo and its copies; whatever goes wrong becomes a status and a reason.

    Args:
        cloaks: by index of the face in `photo.faces`.

    Returns:
        One row for the photo and one for each of its copies.
    """
    refs = (photo.ref, *photo.copies)
    if photo.status is not None:
        return [_row(ref, photo.status, photo, reason=photo.reason) for ref in refs]
    if photo.published is not None:
        return [_duplicate(ref, photo, photo.published, destination) for ref in refs]
    first = _guarded(photo.ref, photo, lambda: _first(photo, cloaks, destination))
    if first.output is None or first.output_sha256 is None:
        rest = [_row(ref, first.status, photo, reason=first.reason) for ref in photo.copies]
    else:
        made = Published(
            first.output, first.output_sha256, photo.ref.source, photo.width, photo.height
        )
        rest = [_duplicate(ref, photo, made, destination) for ref in photo.copies]
    return [first, *rest]


def change_map(
    cloaks: Sequence[Cloak], faces: Sequence[Face], height: int, width: int
) -> np.ndarray:
    """The cloaks of all faces as one float32 (height, width) luminance change in levels."""
    change = np.zeros((height, width), np.float32)
    for cloak, face in zip(cloaks, faces, strict=True):
        matrix = face_to_crop(face.landmarks)
        top, left, patch = lay_back(cloak.change, matrix, height, width)
        region = change[top : top + patch.shape[0], left : left + patch.shape[1]]
        # Where crops of neighbours overlap the stronger change counts, not the sum: each face's
        # own limit holds.
        stronger = np.abs(patch) > np.abs(region)
        region[stronger] = patch[stronger]
    return change


def face_flip(
    clean: np.ndarray, written: np.ndarray, box: tuple[float, float, float, float]
) -> float:
    """Mean FLIP (Andersson et al. 2020, HPG) over a face, 0 (equal) to 1, as seen on a screen.

    Args:
        clean, written: uint8 (H, W, 3) RGB photos.
        box: left, top, right, bottom in pixels.
    """
    height, width = clean.shape[:2]
    left, top = max(0, int(box[0])), max(0, int(box[1]))
    right, bottom = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if right <= left or bottom <= top:
        return 0.0
    pair = []
    for pixels in (clean, written):
        face = Image.fromarray(pixels[top:bottom, left:right])
        face.thumbnail((_FLIP_MAX_SIDE, _FLIP_MAX_SIDE), Image.Resampling.LANCZOS)
        pair.append(np.asarray(face, np.float32) / 255)
    # FLIP's default viewing distance: a 0.7 m wide 4K monitor seen from 0.7 m.
    _, mean, _ = flip_evaluator.evaluate(*pair, "LDR", applyMagma=False)
    return float(mean)


def _first(photo: ScannedPhoto, cloaks: Mapping[int, Cloak], destination: Destination) -> Written:
    data = storage.read_bytes(photo.ref.path)
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        return _row(photo.ref, "failed", photo, reason="the file changed while it was being read")
    tiny = _tiny_faces(photo)
    if not photo.faces:
        status = "unchanged" if tiny else "no_face"
        return _placed(photo.ref, status, photo, data, destination, reason=tiny)
    original = codecs.decode(data, photo.width * photo.height).pixels
    chosen = [cloaks[index] for index in range(len(photo.faces))]
    encoded = codecs.encode(data, change_map(chosen, photo.faces, photo.height, photo.width))
    # What counts is the file: decode what was encoded, refuse it if it is not the same photo.
    written = codecs.decode(encoded.data, photo.width * photo.height).pixels
    if written.shape != original.shape:
        return _row(photo.ref, "failed", photo, reason="the cloaked file has another size")
    matrices = [face_to_crop(face.landmarks) for face in photo.faces]
    return _placed(
        photo.ref,
        "cloaked",
        photo,
        encoded.data,
        destination,
        reason=tiny,
        notes=encoded.notes,
        faces=photo.faces,
        steps=tuple(cloak.steps for cloak in chosen),
        flip=tuple(face_flip(original, written, face.box) for face in photo.faces),
        clean=np.stack([crop_face(original, matrix) for matrix in matrices]),
        written=np.stack([crop_face(written, matrix) for matrix in matrices]),
    )


def _tiny_faces(photo: ScannedPhoto) -> str | None:
    if not photo.tiny_faces:
        return None
    return f"{photo.tiny_faces} faces too small for a recogniser (detector.min_face) left as is"


def _duplicate(
    ref: PhotoRef, photo: ScannedPhoto, published: Published, destination: Destination
) -> Written:
    def place() -> Written:
        data = storage.read_bytes(storage.join(destination.root, published.output))
        if hashlib.sha256(data).hexdigest() != published.output_sha256:
            reason = f"its cloaked form, {printable(published.output)}, was changed by someone else"
            return _row(ref, "failed", photo, reason=reason)
        source = published.source
        return _placed(ref, "duplicate", photo, data, destination, duplicate_of=source)

    return _guarded(ref, photo, place)


def _placed(
    ref: PhotoRef, status: str, photo: ScannedPhoto, data: bytes, to: Destination, **more
) -> Written:
    storage.write_atomic(storage.join(to.root, ref.relative), data, to.scratch, ref.mtime)
    return _row(
        ref,
        status,
        photo,
        output=ref.relative,
        output_sha256=hashlib.sha256(data).hexdigest(),
        output_size=len(data),
        **more,
    )


def _guarded(ref: PhotoRef, photo: ScannedPhoto, work) -> Written:
    try:
        return work()
    except codecs.UnsupportedFormat as error:
        return _row(ref, "unsupported", photo, reason=str(error))
    except codecs.CodecError as error:
        return _row(ref, "failed", photo, reason=str(error))
    except OSError as error:
        return _row(ref, "failed", photo, reason=f"cannot be written: {storage.explain(error)}")
    except MemoryError:
        return _row(ref, "failed", photo, reason="not enough memory to cloak it")


def _row(ref: PhotoRef, status: str, photo: ScannedPhoto, **more) -> Written:
    return Written(ref, status, photo, finished=time.time(), **more)
