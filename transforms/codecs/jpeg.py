"""JPEG: only the coefficients under the cloak change, the rest of the file is kept.

The blocks under a patch and around it are decoded from their own coefficients, moved and coded
with the file's own quantisation tables: decoded pixels outside of the blocks that a patch touches
equal the original's bit for bit. All components move, each at its own sampling. The levels are
added to the luminance, or to each colour where there is none (RGB, CMYK).
"""

from __future__ import annotations

import hashlib
import math
import struct
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import jpegio
import mozjpeg_lossless_optimization
import numpy as np
from PIL import Image, JpegImagePlugin
from scipy.fft import dctn, idctn

from photoveil.transforms.codecs import (
    app_data,
    carve,
    exif,
    gainmap,
    icc,
    mpf,
    names,
    orientation,
    photoshop,
    restarts,
    segments,
    trailers,
    whole,
    xmp,
)
from photoveil.transforms.codecs.change import Patch, PhotoChange, moved
from photoveil.transforms.codecs.errors import DAMAGE, CodecError, UnsupportedFormat, explained
from photoveil.transforms.codecs.orientation import Orientation
from photoveil.transforms.codecs.photo import (
    DecodedPhoto,
    EncodedPhoto,
    decoded,
    open_image,
    opened,
)
from photoveil.transforms.codecs.segments import APP0, APP1, APP2, APP13, APP14, STRAY, Segment
from photoveil.transforms.reasons import Reason

MAGIC = segments.MAGIC

_FORMATS = ("JPEG", "MPO")
_BLOCK = 8
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_PROGRESSIVE, _ARITHMETIC = {0xC2, 0xCA}, {0xC9, 0xCA}
_DQT = 0xDB
_YCCK = b"\2"  # colour transform in an Adobe segment
_LOSSLESS_OR_LAYERED = {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENDED_XMP_HEAD = len(_EXTENDED_XMP) + 32 + 4 + 4  # GUID, full length, offset
_PHOTOSHOP = b"Photoshop 3.0\0"
_ICC = b"ICC_PROFILE\0"  # numbers that may look like a picture and never are one
_ICC_HEAD = len(_ICC) + 2  # with the number of the segment and how many there are
_UNDERSTOOD = (
    *(exif.HEADER, b"JFIF\0", b"JFXX\0", mpf.HEAD, _ICC, _XMP, _EXTENDED_XMP, _PHOTOSHOP),
    gainmap.ISO,
)
_MOST_PAYLOAD = 65533
_MOST_STRAY = 64  # bytes; no face is to be seen in fewer


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    image = open_image(whole.readable(data), _FORMATS, max_pixels)
    seen = image if image.mode == "RGB" else image.convert("RGB")  # which would copy it
    return decoded("JPEG", np.asarray(seen), _orientation(image))


def encode(
    data: bytes, change: PhotoChange | None, rebuild_thumbnails: bool = True
) -> EncodedPhoto:
    """See `transforms.codecs.encode` and `transforms.codecs.alone`."""
    found, end = segments.split(data)
    if any(segment.marker in _LOSSLESS_OR_LAYERED for segment in found):
        raise UnsupportedFormat(Reason.LOSSLESS_JPEG)
    original, notes = whole.mended(found, segments.is_ended(data, end))
    stray = [segment for segment in original if segment.marker == STRAY]
    original = [segment for segment in original if segment.marker != STRAY]
    image = _checked(whole.readable(data))
    body = [segment for segment in original if not segment.is_metadata]
    behind = _Behind.of(data, end, original, rebuild_thumbnails)
    gain_map = b""
    has_more = bool(whole.behind_rows(original))
    notes += ["data behind the last row removed"] if has_more else []
    if change is None:
        behind = replace(behind, gain_map=None)  # it may show what made the others go
        if has_more:
            body = _coded_again(original, lambda bare: _rewritten(bare, lambda *_: None))
    else:
        stored = change.stored(_orientation(image).shown)
        body = _cloaked(image, original, stored)
        gain_map, done = _smooth_map(behind, stored) if behind.gain_map else (b"", [])
        notes += done
    shown = [s for s in original if s.marker in (APP0, APP14)] + body
    with opened(segments.join(shown)) as cloaked:
        widths, heights = zip((512, 512), *(one.size for one in behind.previews), strict=True)
        cloaked.draft("RGB", (max(widths), max(heights)))  # all that thumbnails need
        made = _made_anew(behind.previews, data, cloaked)
        notes += ["preview pictures rebuilt"] if made else []
        if gain_map and behind.gain_map and behind.gain_map.number is not None:
            made = {behind.gain_map.number: gain_map, **made}
        metadata, done = _without_pictures(
            [segment for segment in original if segment.is_metadata],
            cloaked if rebuild_thumbnails else None,
            behind.listing if made else b"",
        )
    kept = trailers.keep(behind.without(made, bool(gain_map)), end)
    notes += [*done, *kept.notes]
    if kept.rest.strip(b"\0"):
        notes.append("data after the end of the image removed")
    still = behind.gain_map if gain_map else None
    if kept.rest.strip(b"\0") or kept.notes:
        told = _telling(metadata, still, still.end - still.start if still else 0)
        if told != metadata:
            notes.append("metadata that announced removed parts removed")
        metadata = told
    if still:
        metadata = _telling(metadata, still, len(gain_map))
    harmless = [one for one in stray if _is_harmless(one.payload)]
    if len(harmless) < len(stray):
        notes.append("bytes between the segments removed")
    # A file has to begin with a segment, or few programs take it for a JPEG.
    coded = segments.join(metadata + body[:1] + harmless + body[1:])
    listed = bool(behind.gain_map and behind.gain_map.number in made)
    if made:
        coded = mpf.with_previews(coded, behind.listing, made, b"" if listed else gain_map)
    else:
        coded += gain_map
    coded += trailers.joined(kept.trailers, len(coded))
    return EncodedPhoto(coded, tuple(dict.fromkeys(notes)))


def _checked(data: bytes) -> Image.Image:
    """Open a JPEG and see that it is not cut off; its size and pixels may be reduced.

    Raises:
        CodecError: it is damaged.
    """
    with explained(Reason.DAMAGED):
        image = opened(data, _FORMATS)
        if image.mode != "CMYK":  # whose pixels are needed
            image.draft(None, (1, 1))
        image.load()
    return image


def _is_harmless(stray: bytes) -> bool:
    """Return True for bytes that are too few for a picture and do not begin one."""
    return len(stray) <= _MOST_STRAY and not begins_picture(stray)


def _orientation(image: Image.Image) -> Orientation:
    """Read the orientation: the first EXIF segment; some programs use a later one, or else XMP."""
    parts = [part for name, part in getattr(image, "applist", ()) if name == "APP1"]
    found = [orientation.in_exif(part) for part in parts if part.startswith(exif.HEADER)]
    packets = [orientation.in_xmp(part) for part in parts if part.startswith(_XMP)]
    return orientation.chosen(found[0][0] if found else None, [*(f[1] for f in found), *packets])


def _cloaked(image: Image.Image, original: list[Segment], change: PhotoChange) -> list[Segment]:
    """Return the segments of the picture itself, with the change, in stored orientation."""
    changes = _component_changes(image, original, change)
    return _coded_again(original, lambda bare: with_changes(bare, changes))


def _coded_again(original: list[Segment], write: Callable[[list[Segment]], bytes]) -> list[Segment]:
    """Return the segments of the picture itself, as `write` makes them from those that it needs."""
    # libjpeg reads the colour space off these two; all else could only confuse it.
    bare = [s for s in original if not s.is_metadata or s.marker in (APP0, APP14)]
    body = [one for one in segments.split(write(bare))[0] if not one.is_metadata]
    return _with_tables(body, original)


@dataclass(frozen=True)
class _Behind:
    """What follows a photo in its file and may be rebuilt.

    data: the file.
    end: offset of the end of the photo.
    listing: payload of the MPF segment, or nothing.
    """

    data: bytes
    end: int
    listing: bytes
    previews: list[mpf.Preview]
    gain_map: gainmap.GainMap | None

    @classmethod
    def of(cls, data: bytes, end: int, parts: list[Segment], is_wanted: bool) -> _Behind:
        listing = next((s.payload for s in parts if _is_mpf(s)), b"") if is_wanted else b""
        packet = next((s.payload for s in parts if _is_xmp(s)), b"")
        found = gainmap.find(data, end, listing, packet) if is_wanted else None
        previews = mpf.previews(listing, data) if listing else []
        previews = [one for one in previews if found is None or one.number != found.number]
        return cls(data, end, listing, previews, found)

    def without(self, made: Collection[int], has_map: bool) -> bytes:
        """Return the bytes after the photo, with zeros in place of what is rebuilt."""
        rest = bytearray(self.data)
        spans = [(one.start, one.end) for one in self.previews if one.number in made]
        if self.gain_map and has_map:
            spans.append((self.gain_map.start, self.gain_map.end))
        for start, stop in spans:
            rest[start:stop] = bytes(stop - start)
        return bytes(rest[self.end :])


def _smooth_map(behind: _Behind, change: PhotoChange) -> tuple[bytes, list[str]]:
    """Remove the detail of the gain map under a change, in stored orientation.

    Returns:
        The map in its own coding, or nothing if that fails; and what was done.
    """
    found = behind.gain_map
    assert found is not None
    where = gainmap.regions(change.touched)
    try:
        light = whole.readable(behind.data[found.start : found.end])
        parts = [one for one in segments.split(light)[0] if one.marker != STRAY]

        def smooth(planes: list[np.ndarray], steps: list[np.ndarray]) -> None:
            for plane, (height, width), table in zip(planes, _sizes(parts), steps, strict=True):
                levels = _levels(plane, table)[:height, :width]
                added = Patch(0, 0, gainmap.smoothed(levels, where) - levels)
                _add_to_plane(plane, table, added, (height, width))

        with opened(light, _FORMATS) as picture:
            if not gainmap.fits((picture.height, picture.width), change.shape):
                return b"", ["gain map removed: it has other proportions than the photo"]
        coded = _rewritten([s for s in parts if not s.is_metadata], smooth)
    except (*DAMAGE, CodecError):
        return b"", ["gain map removed: it cannot be read"]
    body = [segment for segment in segments.split(coded)[0] if not segment.is_metadata]
    metadata, _ = _without_pictures([s for s in parts if s.is_metadata], None, b"")
    return segments.join(metadata + _with_tables(body, parts)), ["gain map rebuilt"]


def _telling(metadata: list[Segment], found: gainmap.GainMap | None, size: int) -> list[Segment]:
    """Reduce what the metadata announce to a gain map of this size behind the photo."""
    kept = []
    for segment in metadata:
        if segment.marker == APP2 and segment.payload.startswith(gainmap.ISO) and not found:
            continue
        if _is_xmp(segment):
            packet = xmp.without_motion(segment.payload)
            lengths = {} if found is None or found.item is None else {found.item: size}
            packet = xmp.with_items(packet, lengths)
            segment = Segment(APP1, packet if found else xmp.without_gain_map(packet))
        kept.append(segment)
    return kept


def _is_mpf(segment: Segment) -> bool:
    return segment.marker == APP2 and segment.payload.startswith(mpf.HEAD)


def _is_xmp(segment: Segment) -> bool:
    return segment.marker == APP1 and segment.payload.startswith(_XMP)


def _made_anew(previews: list[mpf.Preview], data: bytes, cloaked: Image.Image) -> dict[int, bytes]:
    """Rebuild previews, as far as that works.

    Returns:
        JPEG files by the numbers of the previews.
    """
    made = {}
    for one in previews:
        old = data[one.start : one.end]
        if new := exif.fitting_thumbnail(old, cloaked, len(old)):
            made[one.number] = new
    return made


def oddities(data: bytes) -> tuple[str, ...]:
    """See `transforms.codecs.oddities`."""
    found, end = segments.split(data)
    return tuple(whole.mended(found, segments.is_ended(data, end))[1])


def unread(data: bytes) -> list[bytes]:
    """See `transforms.codecs.unread`."""
    found, end = segments.split(data)
    parts, _ = whole.mended(found, segments.is_ended(data, end))
    stray = [s.payload for s in found if s.marker == STRAY and not _is_harmless(s.payload)]
    behind = trailers.keep(data[end:], end).rest
    return [behind, *stray, whole.behind_rows([s for s in parts if s.marker != STRAY])]


def without_video(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """See `transforms.codecs.without_video`."""
    parts, end = segments.split(data)
    kept = trailers.keep(data[end:], end)
    video = carve.VIDEO.search(kept.rest)
    if video is None and not (kept.notes and carve.VIDEO.search(data, end)):
        return data, ()
    still = segments.rejoined([_without_motion(part) for part in parts], data[:end], end)
    still += kept.rest[: video.start()] if video else kept.rest
    notes = ("embedded video removed", *kept.notes)
    return still + trailers.joined(kept.trailers, len(still)), notes


def _without_motion(segment: Segment) -> Segment:
    """Remove the announcement of a video.

    The length stays, because parts behind the photo may be located by their offsets.
    """
    return Segment(APP1, xmp.blank_motion(segment.payload)) if _is_xmp(segment) else segment


def without_names(data: bytes) -> tuple[bytes, int]:
    """See `transforms.codecs.without_names`."""
    parts, end = segments.split(data)
    extended = [
        at for at, s in enumerate(parts) if s.marker == APP1 and s.payload.startswith(_EXTENDED_XMP)
    ]
    whole = b"".join(parts[at].payload[_EXTENDED_XMP_HEAD:] for at in extended)
    known = names.people(whole).union(*(names.people(s.payload) for s in parts if s.is_metadata))
    whole, count = names.without_names(whole, known)
    for at in extended:
        payload = parts[at].payload
        room = len(payload) - _EXTENDED_XMP_HEAD
        parts[at] = Segment(APP1, payload[:_EXTENDED_XMP_HEAD] + whole[:room])
        whole = whole[room:]
    for at, segment in enumerate(parts):
        if segment.marker in (APP1, APP13) and not segment.payload.startswith(_EXTENDED_XMP):
            payload, found = names.without_names(segment.payload, known)
            parts[at] = Segment(segment.marker, payload)
            count += found
    rest, found = names.without_names(data[end:], known)
    count += found
    return (segments.rejoined(parts, data[:end] + rest, end), count) if count else (data, 0)


def _component_changes(
    image: Image.Image, original: list[Segment], change: PhotoChange
) -> list[PhotoChange]:
    """Compute the change of each component, with levels of its own.

    A luminance component takes all levels. Red, green and blue take them each. So do the inks of
    CMYK, of which less is lighter: black scales what an ink does by (255 - K) / 255, so the levels
    are divided by that. All components move.
    """
    count = len(image.getbands())
    adobe = next((s.payload for s in original if _is_adobe(s)), b"")
    lit = 1 if count == 1 or _has_luminance_plane(original, adobe) else 3
    if image.mode == "CMYK":
        # Red is (255 - C)(255 - K) / 255, and so on.
        black = np.asarray(image.getchannel("K"))
        is_ycck = adobe[11:12] == _YCCK  # whose luminance is that of the inks
        lit = 1 if is_ycck else 3
        sign = -255 if is_ycck else 255  # the inks themselves are stored the other way round
        change = change.with_levels(
            lambda patch: patch.levels * sign / np.maximum(255 - moved(black, patch), 32)
        )
    return [change] * lit + [change.without_levels()] * (count - lit)


def _has_luminance_plane(original: list[Segment], adobe: bytes) -> bool:
    # The order in which libjpeg believes them.
    if any(s.marker == APP0 and s.payload.startswith(b"JFIF\0") for s in original):
        return True
    if adobe:
        return adobe[11:12] != b"\0"
    frame = next((s.payload for s in original if s.marker in _FRAMES), b"")
    return frame[6::3] != b"RGB"


def _is_adobe(segment: Segment) -> bool:
    return segment.marker == APP14 and segment.payload.startswith(b"Adobe")


class NoCode(CodecError):
    """The given Huffman tables lack a code for a new coefficient."""


def with_changes(
    parts: list[Segment], changes: Sequence[PhotoChange], own_tables: bool = True
) -> bytes:
    """Change the first components of a JPEG.

    Args:
        parts: all segments of the image.
        changes: of each component, in stored orientation and in pixels of the image; blocks beyond
            the change's height and width are not visible.
        own_tables: True to make Huffman tables for the result, False to keep those of the file.

    Raises:
        NoCode: the tables of the file lack a code.
        CodecError: damaged.
    """
    samplings = _samplings(parts)
    resized = cache(PhotoChange.resized)  # both components of colour often have one sampling

    def alter(planes: list[np.ndarray], steps: list[np.ndarray]) -> None:
        for plane, table, sampling, change in zip(planes, steps, samplings, changes, strict=False):
            small = resized(change, *sampling)
            size = small.shape
            # All of them first: a patch fetches from where another one may lie.
            added = [_difference(plane, table, patch, size) for patch in small.patches]
            for patch in added:
                _add_to_plane(plane, table, patch, size)

    return _rewritten(parts, alter, own_tables)


def _rewritten(
    parts: list[Segment],
    alter: Callable[[list[np.ndarray], list[np.ndarray]], None],
    own_tables: bool = True,
) -> bytes:
    """Let a function change the coefficients of a JPEG.

    Args:
        parts: all segments of the image.
        alter: changes the first argument in place: of each component the coefficients, int32
            planes; the second has the quantisation steps, float32 (8, 8).
        own_tables: as of `with_changes`.
    """
    markers = {segment.marker for segment in parts}
    progressive = bool(markers & _PROGRESSIVE)
    with tempfile.TemporaryDirectory(prefix="photoveil-") as folder:
        source, target = Path(folder, "source.jpg"), Path(folder, "target.jpg")
        source.write_bytes(segments.join(parts))
        with explained(Reason.NOT_REWRITTEN):  # libjpeg's own errors are RuntimeErrors
            with Image.open(source, formats=("JPEG",)) as header:
                assert isinstance(header, JpegImagePlugin.JpegImageFile)
                tables = header.quantization
            coded = jpegio.read(source)
            planes = coded.coef_arrays
            steps = [
                np.reshape(tables[one.quant_tbl_no], (_BLOCK, _BLOCK)).astype(np.float32)
                for one in coded.comp_info
            ]
            alter(planes, steps)
            for number, component in enumerate(coded.comp_info if own_tables else ()):
                # Unset where the first scan of a progressive file leaves a component out.
                component.dc_tbl_no = component.ac_tbl_no = min(number, 1)
            coded.optimize_coding = own_tables
            # mozjpeg finds better scans than libjpeg, but knows no restart markers.
            by_mozjpeg = progressive and not coded.restart_interval and not markers & _ARITHMETIC
            coded.progressive_mode = progressive and not by_mozjpeg

            def write(interval: int) -> bytes:
                coded.restart_interval = interval
                coded.write(target)
                return target.read_bytes()

            if rows := restarts.rows(parts):
                data = restarts.in_rows(rows, write)
            else:
                data = write(coded.restart_interval)
            # libjpeg-turbo does not look whether a given table has a code for all that it writes.
            if not own_tables and not _holds(target, planes):
                raise NoCode(Reason.NOT_REWRITTEN, "the JPEG's Huffman tables lack a code")
    return mozjpeg_lossless_optimization.optimize(data) if by_mozjpeg else data


def _holds(path: Path, planes: list[np.ndarray]) -> bool:
    try:
        written = jpegio.read(path).coef_arrays
    except RuntimeError:
        return False
    return all(np.array_equal(new, wanted) for new, wanted in zip(written, planes, strict=True))


def _with_tables(coded: list[Segment], original: list[Segment]) -> list[Segment]:
    """Keep the original's quantisation tables; the rewritten file lacks those that are not used."""
    tables = [s for s in original if s.marker == _DQT]
    frames = [[s.payload for s in found if s.marker in _FRAMES] for found in (coded, original)]
    if frames[0] != frames[1]:
        return coded
    return tables + [s for s in coded if s.marker != _DQT]


def _difference(plane: np.ndarray, steps: np.ndarray, patch: Patch, size: tuple[int, int]) -> Patch:
    """Express a patch of a component as levels to add, without a shift.

    Args:
        plane, steps: see `_add_to_plane`.
        patch: in samples of the component.
        size: height and width of the component.
    """
    if patch.shift is None:
        return patch
    rows, columns = patch.around(*size)
    top, left = (one.start // _BLOCK * _BLOCK for one in (rows, columns))
    bottom, right = (-(-one.stop // _BLOCK) * _BLOCK for one in (rows, columns))
    levels = _levels(plane[top:bottom, left:right], steps)[: size[0] - top, : size[1] - left]
    near = patch.placed(-top, -left)
    before = levels[near.rows, near.columns]
    after = np.where(near.moving, np.clip(moved(levels, near), 0, 255), before)
    return Patch(patch.top, patch.left, after - before + patch.levels)


def _add_to_plane(
    plane: np.ndarray, steps: np.ndarray, patch: Patch, size: tuple[int, int]
) -> None:
    """Add the levels of a patch in place to the quantised DCT blocks of a component.

    Args:
        plane: int32 (8 * rows, 8 * columns).
        steps: float32 (8, 8) quantisation steps.
        size: height and width of the component, at most those of the plane. Blocks that reach
            beyond take the levels at its border there.

    Raises:
        CodecError: a step is zero.
    """
    if not steps.all():
        raise CodecError(Reason.NOT_REWRITTEN, "a quantisation step of zero")
    if not patch.levels.any():
        return
    missing, sides = [], []
    for start, length, whole_side in zip(
        (patch.top, patch.left), patch.levels.shape, size, strict=True
    ):
        stop = start + length
        sides.append(slice(start // _BLOCK, -(-stop // _BLOCK)))
        missing.append((start % _BLOCK, -stop % _BLOCK, stop == whole_side))
    added = patch.levels
    for axis, (before, after, is_last) in enumerate(missing):
        widths = [(0, 0), (0, 0)]
        widths[axis] = (before, 0)
        added = np.pad(added, widths)
        widths[axis] = (0, after)
        added = np.pad(added, widths, "edge" if is_last else "constant")
    blocks = _blocks(plane)[sides[0], sides[1]]
    added = _blocks(added)
    touched = added.any(axis=(2, 3))
    # T.81 A.3.3: the orthonormal 8 x 8 DCT-II of samples shifted by 128.
    levels = idctn(blocks[touched].astype(np.float32) * steps, axes=(1, 2), norm="ortho") + 128
    changed = np.clip(levels + added[touched], 0, 255) - 128
    blocks[touched] = np.rint(dctn(changed, axes=(1, 2), norm="ortho") / steps).astype(np.int32)


def _levels(plane: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Decode the levels of a component.

    Returns:
        float32 (8 * rows, 8 * columns), from 0 to 255 and a little beyond.
    """
    coded = _blocks(plane).astype(np.float32) * steps
    levels = idctn(coded, axes=(2, 3), norm="ortho").astype(np.float32) + 128
    return levels.swapaxes(1, 2).reshape(plane.shape)


def _sizes(parts: list[Segment]) -> list[tuple[int, int]]:
    """Return the visible height and width of each component; its blocks may reach beyond."""
    height, width = struct.unpack_from(">HH", _frame(parts), 1)
    return [
        (math.ceil(height / down), math.ceil(width / across)) for down, across in _samplings(parts)
    ]


def _samplings(parts: list[Segment]) -> list[tuple[float, float]]:
    """Return how many pixels, down and across, a sample of each component stands for."""
    factors = [(one & 15, one >> 4) for one in _frame(parts)[7::3]]
    most = [max(sides) for sides in zip(*factors, strict=True)]
    return [(most[0] / down, most[1] / across) for down, across in factors]


def _frame(parts: list[Segment]) -> bytes:
    return next(s.payload for s in parts if s.marker in _FRAMES)


def _blocks(plane: np.ndarray) -> np.ndarray:
    """View a plane (8 * rows, 8 * columns) as blocks (rows, columns, 8, 8)."""
    height, width = plane.shape
    tiles = plane.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    return tiles.swapaxes(1, 2)


def _without_pictures(
    metadata: list[Segment], cloaked: Image.Image | None, listing: bytes
) -> tuple[list[Segment], list[str]]:
    """Remove the pictures of the photo from its metadata segments; all other bytes stay.

    Args:
        metadata: the segments.
        cloaked: the cloaked photo; None to remove thumbnails.
        listing: MPF payload of the previews that are rebuilt; any other is removed.
    """
    kept: list[Segment] = []
    metadata, notes = app_data.without_pictures(metadata, _is_understood)
    for segment in metadata:
        payload, marker = segment.payload, segment.marker
        if marker == APP1 and payload.startswith(exif.HEADER):
            tiff, done = exif.cloak_pictures(payload[len(exif.HEADER) :], cloaked)
            notes += done
            payload = exif.HEADER + tiff
        elif marker == APP0 and payload.startswith(b"JFXX\0"):
            notes.append("JFIF thumbnail removed")
            continue
        elif marker == APP0 and payload.startswith(b"JFIF\0") and len(payload) > 14:
            notes.append("JFIF thumbnail removed")
            payload = payload[:12] + b"\0\0"
        elif _is_mpf(segment) and payload != listing:
            notes.append("preview pictures removed")
            continue
        kept.append(Segment(marker, payload))
    kept, in_profile = _without_profile_pictures(kept)
    notes += in_profile
    kept, in_xmp = _without_xmp_pictures(kept)
    kept, in_photoshop = _without_photoshop_pictures(kept, cloaked)
    return kept, notes + in_xmp + in_photoshop


def begins_picture(payload: bytes) -> bool:
    """Return True if a segment's payload holds the start of a picture."""
    return MAGIC in payload or carve.holds_pictures(payload)


def _is_understood(segment: Segment) -> bool:
    return segment.payload.startswith(_UNDERSTOOD)


def _without_profile_pictures(metadata: list[Segment]) -> tuple[list[Segment], list[str]]:
    """Remove pictures from the colour profile, which may span several segments (ICC.1, B.4)."""
    parts = [s for s in metadata if s.marker == APP2 and s.payload.startswith(_ICC)]
    profile = b"".join(part.payload[_ICC_HEAD:] for part in parts)
    clean, found = icc.without_pictures(profile)
    if not found:
        return metadata, []
    at = metadata.index(parts[0])
    count = max(1, math.ceil(len(clean) / (_MOST_PAYLOAD - _ICC_HEAD)))
    room = _MOST_PAYLOAD - _ICC_HEAD
    new = _segmented(APP2, lambda start: _ICC + bytes((1 + start // room, count)), clean)
    others = [s for s in metadata[at:] if s not in parts]
    return metadata[:at] + new + others, ["picture in the colour profile removed"]


def _without_photoshop_pictures(
    metadata: list[Segment], cloaked: Image.Image | None
) -> tuple[list[Segment], list[str]]:
    # Image resources go on from one segment to the next without regard to where one ends.
    parts = [s for s in metadata if s.marker == APP13 and s.payload.startswith(_PHOTOSHOP)]
    whole = b"".join(part.payload[len(_PHOTOSHOP) :] for part in parts)
    kept, notes = photoshop.without_pictures(whole, cloaked)
    if not notes:
        return metadata, notes
    new = _segmented(APP13, lambda _: _PHOTOSHOP, kept)
    at = metadata.index(parts[0])
    return metadata[:at] + new + [s for s in metadata[at:] if s not in parts], notes


def _without_xmp_pictures(metadata: list[Segment]) -> tuple[list[Segment], list[str]]:
    """Empty the pictures in the main XMP packet and the extended one (XMP part 3, 1.1.3.1)."""
    parts = [s for s in metadata if s.marker == APP1 and s.payload.startswith(_EXTENDED_XMP)]
    whole = b"".join(part.payload[_EXTENDED_XMP_HEAD:] for part in parts)
    emptied, extended = xmp.without_pictures(whole)
    # An extended packet is known by its own digest, which the main packet names.
    old_guid = parts[0].payload[len(_EXTENDED_XMP) :][:32] if parts else b""
    new_guid = hashlib.md5(emptied, usedforsecurity=False).hexdigest().upper().encode()
    emptied_depth = b"GDepth:" in whole or b"GImage:" in whole
    notes = ["pictures in extended XMP removed"] if extended else []
    kept: list[Segment] = []
    for segment in metadata:
        payload = segment.payload
        if segment.marker == APP1 and payload.startswith(_XMP):
            payload, found = xmp.without_pictures(payload)
            notes += ["XMP thumbnail removed"] if found else []
            if extended:
                payload = payload.replace(old_guid, new_guid)
                payload = xmp.without_depth(payload) if emptied_depth else payload
        elif extended and segment in parts:
            if segment is parts[0]:
                kept += _segmented(
                    APP1,
                    lambda offset: (
                        _EXTENDED_XMP
                        + new_guid
                        + len(emptied).to_bytes(4, "big")
                        + offset.to_bytes(4, "big")
                    ),
                    emptied,
                )
            continue
        kept.append(Segment(segment.marker, payload))
    return kept, notes


def _segmented(marker: int, head: Callable[[int], bytes], body: bytes) -> list[Segment]:
    """Split a body into as many segments as it needs.

    Args:
        marker: of the segments.
        head: from an offset in `body` to the header of the segment that begins there.
        body: without headers.
    """
    room = _MOST_PAYLOAD - len(head(0))
    return [
        Segment(marker, head(start) + body[start : start + room])
        for start in range(0, len(body), room)
    ]
