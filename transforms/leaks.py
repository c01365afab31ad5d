"""The leak scanner: every other picture inside a photo's file, and whether it shows a clean face.

`hidden` carves: it trusts no container's own list of its parts but looks for how pictures begin,
at any offset, in base64 text and in compressed text, and takes TIFF directories and HEIF items one
by one. `leaks` then asks of each face in what was found: is it nearer to the original's face or to
the cloaked one, both brought down to its size?
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tifffile
from PIL import Image, ImageFile

from transforms import codecs
from transforms.codecs import bmff, carve, segments
from transforms.codecs import tiff as tiff_codec
from transforms.codecs.errors import DAMAGE
from transforms.codecs.orientation import upright
from transforms.faces.align import CROP_SIZE, crop_face, face_to_crop
from transforms.faces.detect import Face

_DEPTH = 4  # a picture in a picture in a picture
_SMALLEST_SIDE = 16  # pixels of a picture, and of a face in it, below which nobody is to be seen
_MOST_PIXELS = 1 << 28

_TIFF_HEADS = re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+")
_HEX_PROFILE = re.compile(rb"\n\w+\n *\d+\n([0-9a-fA-F\n]{40,})")
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_HEADS = {_EXTENDED_XMP: 75, b"Photoshop 3.0\0": 14, b"Exif\0\0": 6}
_PHOTOSHOP_LAYERS, _REDUCED_OR_MASK = 37724, 0b101

_SAME_FRAMING = 0.9  # least correlation of two pictures that show the same
_SAME_FACE = 0.4  # least cosine of two embeddings of one face, at the size of a thumbnail
_NOISE = 0.02  # cosines of one face that differ by less are equal
_KNOWABLE_SIDE = 40  # pixels of a face, below which it cannot be said that it is somebody else's


@dataclass(frozen=True)
class Hidden:
    """A picture inside a file that is not the file's own.

    where: in plain words, such as "JPEG at byte 1,234". pixels: uint8 (H, W, 3) RGB as stored;
        None for what holds pictures that cannot be looked at. what: "picture", "video", "layers".
    """

    where: str
    pixels: np.ndarray | None
    what: str = "picture"


@dataclass(frozen=True)
class Leak:
    """What an output file should not hold.

    what: "clean face", nearer to the original's than to the cloaked one; "other face", of nobody
        in the photo; "video" or "layers", which may hold faces and cannot be looked at.
    similarity: cosine of a clean face's embedding with that of the original's.
    """

    where: str
    what: str
    similarity: float | None = None


def hidden(data: bytes) -> list[Hidden]:
    """Every picture inside a file but its own, each once."""
    found: dict[bytes, Hidden] = {}
    for one in _hidden(data):
        key = one.where.encode() if one.pixels is None else one.pixels.tobytes()
        found.setdefault(key, one)
    return list(found.values())


def leaks(
    data: bytes,
    original: codecs.DecodedPhoto,
    faces: Sequence[Face],
    detect: Callable[[np.ndarray], Sequence[Face]],
    embed: Callable[[np.ndarray], np.ndarray],
) -> list[Leak]:
    """Clean faces in the pictures hidden in an output file, and what may hold some.

    Args:
        data: the output file. original: the source file's pixels. faces: found in them.
        detect: from uint8 (H, W, 3) RGB to faces.
        embed: from uint8 (n, 112, 112, 3) aligned crops to (n, d) embeddings of unit length.

    Raises:
        CodecError: the output cannot be decoded.
    """
    pictures = hidden(data)
    found = [Leak(one.where, one.what) for one in pictures if one.pixels is None]
    shown = codecs.decode(data, original.pixels.shape[0] * original.pixels.shape[1]).pixels
    reference = _Reference(original.pixels, shown, faces, embed)
    for one in pictures:
        if one.pixels is None:
            continue
        turned = {1, original.orientation}
        views = [np.ascontiguousarray(upright(one.pixels, way)) for way in sorted(turned)]
        faces_in = [face for view in views for face in reference.uncloaked(view, detect)]
        if faces_in:
            what, similarity = min(faces_in, key=lambda one: (one[0], -(one[1] or 0)))
            found.append(Leak(one.where, what, similarity))
    return found


class _Reference:
    """The original and the written photo, to compare a hidden picture with."""

    def __init__(
        self,
        original: np.ndarray,
        written: np.ndarray,
        faces: Sequence[Face],
        embed: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self._photos, self._faces, self._embed = (original, written), faces, embed
        matrices = [face_to_crop(face.landmarks) for face in faces]
        self._crops = [[crop_face(p, m) for m in matrices] for p in self._photos]

    def uncloaked(
        self, picture: np.ndarray, detect: Callable[[np.ndarray], Sequence[Face]]
    ) -> list[tuple[str, float | None]]:
        """(what, similarity) of each face in `picture` that is no cloaked one; see `Leak`."""
        framed = self._framed(picture)
        if framed is not None:
            return self._clean_in_frame(*framed)
        found: list[tuple[str, float | None]] = []
        for face in detect(picture):
            if face.size < _SMALLEST_SIDE:
                continue
            crop = crop_face(picture, face_to_crop(face.landmarks))
            pairs = [
                self._cosines(crop, index, face.size / known.size)
                for index, known in enumerate(self._faces)
            ]
            nearest = max(pairs, key=max, default=(0.0, 0.0))
            if max(nearest) < _SAME_FACE:
                if face.size >= _KNOWABLE_SIDE:
                    found.append(("other face", None))
            elif nearest[0] > nearest[1] + _NOISE:
                found.append(("clean face", nearest[0]))
        return found

    def _framed(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """The hidden picture, the original and the written photo at one size, as float32; None
        unless it shows the whole photo, be it between black bars."""
        height, width = self._photos[0].shape[:2]
        scale = min(picture.shape[1] / width, picture.shape[0] / height)
        size = (round(width * scale), round(height * scale))
        if abs(width * picture.shape[0] / (height * picture.shape[1]) - 1) <= 0.05:
            size = (picture.shape[1], picture.shape[0])
        left, top = (picture.shape[1] - size[0]) // 2, (picture.shape[0] - size[1]) // 2
        inner = picture[top : top + size[1], left : left + size[0]]
        small = [
            Image.fromarray(p).resize(size, Image.Resampling.LANCZOS, None, 3.0)
            for p in self._photos
        ]
        three = [np.asarray(p, np.float32) for p in (Image.fromarray(inner), *small)]
        grey = [p.mean(axis=2).ravel() for p in three]
        if min(float(p.std()) for p in grey) < 1:
            return None
        correlation = max(float(np.corrcoef(grey[0], other)[0, 1]) for other in grey[1:])
        return (three[0], three[1], three[2]) if correlation >= _SAME_FRAMING else None

    def _clean_in_frame(
        self, picture: np.ndarray, original: np.ndarray, written: np.ndarray
    ) -> list[tuple[str, float | None]]:
        """As `uncloaked`, with the faces where they are in the photo.

        Whether the change is there is measured on the pixels, by projection on it: 1 where a face
        shows all of the change, 0 where it shows none. At 20 pixels no embedding could tell.
        """
        height, width = self._photos[0].shape[:2]
        scale = np.array([picture.shape[1] / width, picture.shape[0] / height])
        found: list[tuple[str, float | None]] = []
        for index, face in enumerate(self._faces):
            corners = np.asarray(face.box).reshape(2, 2) * scale
            (left, top), (right, bottom) = corners.clip(0).round().astype(int)
            size = face.size * float(scale.mean())
            place = (slice(top, bottom), slice(left, right))
            change = written[place] - original[place]
            power = float((change**2).sum())
            if size < _SMALLEST_SIDE or power == 0:
                continue
            shows = float(((picture[place] - original[place]) * change).sum()) / power
            if shows < 0.5:
                matrix = face_to_crop([(x, y) for x, y in face.landmarks * scale])
                crop = crop_face(picture.clip(0, 255).round().astype(np.uint8), matrix)
                found.append(("clean face", self._cosines(crop, index, float(scale.mean()))[0]))
        return found

    def _cosines(self, crop: np.ndarray, index: int, scale: float) -> tuple[float, float]:
        """With the original's and the cloaked face, both as coarse as a picture of `scale`."""
        size = face_size_in_crop(self._faces[index], scale)
        references = [_coarse(crops[index], size) for crops in self._crops]
        one, original, cloaked = self._embed(np.stack([crop, *references]))
        return float(one @ original), float(one @ cloaked)


def face_size_in_crop(face: Face, scale: float) -> int:
    """Pixels that a photo reduced by `scale` has for the aligned crop of a face."""
    matrix = face_to_crop(face.landmarks)
    pixels = CROP_SIZE / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    return max(8, round(pixels * scale))


def _coarse(crop: np.ndarray, size: int) -> np.ndarray:
    if size >= CROP_SIZE:
        return crop
    small = Image.fromarray(crop).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(small.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BICUBIC))


def _hidden(data: bytes) -> Iterator[Hidden]:
    kind = codecs.sniff(data)
    # The file's own picture begins at its first byte.
    yield from _in_bytes(data, 1, "", 0)
    yield from _in_directories(data, "", kind == "TIFF")
    if kind == "JPEG":
        yield from _in_segments(data)
    elif kind == "PNG":
        yield from _in_text(data)
    elif kind in ("HEIC", "AVIF"):
        yield from _in_items(data)
    yield from _in_frames(data, kind)


def _in_bytes(data: bytes, start: int, inside: str, depth: int) -> Iterator[Hidden]:
    """Pictures at any offset from `start` on, in the clear and as base64."""
    for match in carve.VIDEO.finditer(data, start):
        yield Hidden(f"byte {match.start():,}{inside}", None, "video")
    for way, pictures in (
        ("", carve.pictures(data[start:])),
        ("base64 of a ", carve.base64_pictures(data)),
    ):
        for found in pictures:
            at = found.start + (0 if way else start)
            kind = codecs.sniff(found.data) or "picture"
            where = f"{way}{kind} at byte {at:,}{inside}"
            pixels = _pixels(found.data)
            if pixels is not None:
                yield Hidden(where, pixels)
            if depth < _DEPTH:
                yield from _in_bytes(found.data, 1, f" of the {where}", depth + 1)
                yield from _in_directories(found.data, f" of the {where}", False)


def _in_directories(data: bytes, inside: str, is_tiff: bool) -> Iterator[Hidden]:
    """Pictures of the TIFF directories, EXIF's among them, that begin anywhere."""
    for match in _TIFF_HEADS.finditer(data):
        own = is_tiff and match.start() == 0
        try:
            with tifffile.TiffFile(io.BytesIO(data[match.start() :])) as file:
                for number, page in enumerate(tiff_codec.directories(file)):
                    where = f"TIFF directory {number} at byte {match.start():,}{inside}"
                    if not own or page.subfiletype & _REDUCED_OR_MASK:
                        yield from _in_page(page, where)
                    if _PHOTOSHOP_LAYERS in page.tags:
                        yield Hidden(where, None, "layers")
                    for sub in page.pages if page.subifds else ():
                        yield from _in_page(sub, f"sub-image of {where}")
        except (*DAMAGE, RuntimeError):
            continue


def _in_page(page: tifffile.TiffPage, where: str) -> Iterator[Hidden]:
    try:
        if not page.dataoffsets or page.imagewidth * page.imagelength > _MOST_PIXELS:
            return
        pixels = _large_enough(tiff_codec.upright_rgb(page))
    except (*DAMAGE, RuntimeError):
        return
    if pixels is not None:
        yield Hidden(where, pixels)


def _in_segments(data: bytes) -> Iterator[Hidden]:
    """What goes on over several segments of a JPEG, and JFIF's uncompressed thumbnails."""
    try:
        parts, _ = segments.split(data)
    except codecs.CodecError:
        return
    joined: dict[tuple[int, bytes], list[bytes]] = {}
    for part in parts:
        if not part.is_metadata:
            continue
        head = next((h for h in _HEADS if part.payload.startswith(h)), b"")
        joined.setdefault((part.marker, head), []).append(part.payload[_HEADS.get(head, 0) :])
        if part.payload.startswith(b"JFIF\0"):
            yield from _uncompressed(part.payload[12:14], part.payload[14:], "JFIF thumbnail")
        elif part.payload.startswith(b"JFXX\0\x13"):
            yield from _uncompressed(part.payload[6:8], part.payload[8:], "JFXX thumbnail")
        elif part.payload.startswith(b"JFXX\0\x11"):
            table = np.frombuffer(part.payload[8 : 8 + 768], np.uint8).reshape(-1, 3)
            if len(table) == 256:
                indices = np.frombuffer(part.payload[776:], np.uint8)
                body = table[indices].tobytes()
                yield from _uncompressed(part.payload[6:8], body, "JFXX thumbnail")
    for (marker, _), payloads in joined.items():
        if len(payloads) > 1:
            where = f" of the joined APP{marker - 0xE0} segments"
            yield from _in_bytes(b"".join(payloads), 0, where, 1)


def _uncompressed(size: bytes, body: bytes, where: str) -> Iterator[Hidden]:
    width, height = size
    if len(body) >= width * height * 3 > 0:
        pixels = np.frombuffer(body[: width * height * 3], np.uint8).reshape(height, width, 3)
        if _large_enough(pixels) is not None:
            yield Hidden(where, pixels)


def _in_text(data: bytes) -> Iterator[Hidden]:
    """Compressed text of a PNG, and metadata blocks that text holds in hex."""
    position = 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        name, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length
        if name not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        where = f" of the {name.decode()} chunk"
        for start in [0, *(match.end() for match in re.finditer(rb"\0", body[:300]))]:
            try:
                text = zlib.decompressobj().decompress(body[start:], _MOST_PIXELS)
            except zlib.error:
                text = body if start == 0 else b""
            yield from _in_bytes(text, 0, where, 1)
            for match in _HEX_PROFILE.finditer(text):
                digits = match[1].replace(b"\n", b"")
                block = bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
                yield from _in_bytes(block, 0, where, 1)
                yield from _in_directories(block, where, False)


def _in_items(data: bytes) -> Iterator[Hidden]:
    """Every other picture item of a HEIF file, decoded from a file of its own."""
    try:
        file = bmff.parse(data)
    except codecs.CodecError:
        return
    for number in sorted(file.items.keys() - file.derived_from(file.primary)):
        parts = file.derived_from(number) & file.items.keys()
        # A reader shows no picture that says it is auxiliary.
        plain = tuple(p for p in file.items[number].properties if p.kind != b"auxC")
        items = {part: file.items[part] for part in sorted(parts)}
        alone = bmff.HeifFile(
            file.ftyp,
            number,
            items | {number: replace(file.items[number], properties=plain, hidden=False)},
            tuple(r for r in file.references if r.kind == b"dimg" and r.source in parts),
            file.handler,
        )
        try:
            pixels = codecs.decode(bmff.build(alone), _MOST_PIXELS).pixels
        except codecs.CodecError:
            continue
        if _large_enough(pixels) is not None:
            yield Hidden(f"HEIF item {number}", pixels)


def _in_frames(data: bytes, kind: str | None) -> Iterator[Hidden]:
    """Further frames of a GIF, a WebP or a PNG."""
    if kind not in ("GIF", "WebP", "PNG"):
        return
    try:
        with Image.open(io.BytesIO(data)) as image:
            for number in range(1, getattr(image, "n_frames", 1)):
                image.seek(number)
                yield Hidden(f"frame {number + 1}", np.asarray(image.convert("RGB")))
    except DAMAGE:
        return


def _pixels(picture: bytes) -> np.ndarray | None:
    """uint8 (H, W, 3) of a picture, even if it breaks off; None where nothing can be seen."""
    try:
        if codecs.sniff(picture) in ("HEIC", "AVIF"):
            return _large_enough(codecs.decode(picture, _MOST_PIXELS).pixels)
        with Image.open(io.BytesIO(picture)) as image:
            if image.width * image.height > _MOST_PIXELS:
                return None
            tolerant, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
            try:
                return _large_enough(np.asarray(image.convert("RGB")))
            finally:
                ImageFile.LOAD_TRUNCATED_IMAGES = tolerant
    except (*DAMAGE, codecs.CodecError):
        return None


def _large_enough(pixels: np.ndarray) -> np.ndarray | None:
    return pixels if min(pixels.shape[:2]) >= _SMALLEST_SIDE else None
