"""TIFF: only the strips or tiles under the cloak are written again, all else stays in place.

Every page is cloaked: a scan of several photos is shown to the detector as one picture with its
pages stacked vertically. Reduced copies of a page and Photoshop's layers are removed.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from photoveil.transforms.codecs import (
    carve,
    orientation,
    photoshop,
    rests,
    tiff_jpeg,
    tiff_layout,
    xmp,
)
from photoveil.transforms.codecs.change import Patch, PhotoChange, moved
from photoveil.transforms.codecs.errors import DAMAGE, CodecError, UnsupportedFormat
from photoveil.transforms.codecs.orientation import as_stored, combined, inverse, upright
from photoveil.transforms.codecs.palette import dithered
from photoveil.transforms.codecs.photo import (
    NO_LIMIT,
    DecodedPhoto,
    EncodedPhoto,
    check_size,
    with_change,
)
from photoveil.transforms.reasons import Reason

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_STRIP_OFFSETS, _STRIP_COUNTS = 273, 279
_ORIENTATION, _SUB_IFDS, _XMP, _PHOTOSHOP, _LAYERS = 274, 330, 700, 34377, 37724
_DNG_VERSION, _MAKE = 50706, 271
_ALPHA = (1, 2)  # kinds of extra samples: associated and unassociated alpha
_MOST_MISSING = 1 << 16  # bytes by which a page may count more than there are
_MOST_SAMPLES = 5  # CMYK and alpha; a guard against bombs of a thousand channels a pixel

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_RAW_PHOTOMETRICS = {32803, 34892}  # a colour filter array, linear raw
_RAW_MAKES = {"NIKON": "NEF", "SONY": "ARW", "PENTAX": "PEF", "SAMSUNG": "SRW", "EPSON": "ERF"}
_TO_YCBCR = np.array(  # ITU-T T.871
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
_NONE, _LZW, JPEG, _DEFLATE, _OLD_DEFLATE, _PACKBITS, _LZMA, _ZSTD = (
    1, 5, 7, 8, 32946, 32773, 34925, 50000,
)  # fmt: skip
_PACKERS = {
    _NONE: lambda rows: rows.tobytes(),
    _LZW: lambda rows: imagecodecs.lzw_encode(rows.tobytes()),
    _DEFLATE: lambda rows: imagecodecs.zlib_encode(rows.tobytes(), 9),
    _OLD_DEFLATE: lambda rows: imagecodecs.zlib_encode(rows.tobytes(), 9),
    _PACKBITS: lambda rows: b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in rows),
    _LZMA: lambda rows: imagecodecs.lzma_encode(rows.tobytes()),
    _ZSTD: lambda rows: imagecodecs.zstd_encode(rows.tobytes(), 19),
}
_UNPACKERS: dict[int, Callable[[bytes], bytes | bytearray]] = {
    _NONE: bytes,
    _LZW: imagecodecs.lzw_decode,
    _DEFLATE: imagecodecs.zlib_decode,
    _OLD_DEFLATE: imagecodecs.zlib_decode,
    _PACKBITS: imagecodecs.packbits_decode,
    _LZMA: imagecodecs.lzma_decode,
    _ZSTD: imagecodecs.zstd_decode,
}


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    with _opened(data, max_pixels) as file:
        pages = [upright_rgb(page) for page in _photos(file)]
        turned = _turned(_photos(file))
    width = max(page.shape[1] for page in pages)
    padded = [np.pad(p, [(0, 0), (0, width - p.shape[1]), (0, 0)]) for p in pages]
    return DecodedPhoto("TIFF", np.ascontiguousarray(np.concatenate(padded)), *turned)


def encode(
    data: bytes, change: PhotoChange | None, rebuild_thumbnails: bool = True
) -> EncodedPhoto:
    """See `transforms.codecs.encode` and `transforms.codecs.alone`.

    Args:
        change: as tall as all pages together.
    """
    buffer = io.BytesIO(data)
    notes: list[str] = []
    with _opened(data, NO_LIMIT, buffer) as file:
        photos, top, has_grown = _photos(file), 0, False
        for page in photos:
            if any(map(rests.may_show, _behind_rows(page))):
                _cut_rows(page)
                notes.append("data behind the last row removed")
        for page in photos:
            if change is None:
                break
            width, height = _upright_size(page)
            stored = change.part(top, 0, height, width).stored(_orientation(page))
            has_grown |= _rewrite(page, stored)
            top += height
        _remove_copies(file, buffer, photos, notes)
    buffer.seek(0)
    segments: list[tuple[int, int]] = []
    with _opened(data, NO_LIMIT, buffer) as file:
        for page in _photos(file):
            segments += zip(page.dataoffsets, page.databytecounts, strict=True)
            segments += _clean_metadata(page, rebuild_thumbnails, notes)
    if any(rests.may_show(data[start:end]) for start, end in tiff_layout.unread(data)):
        notes.append("data that no tag points to removed")
    cleaned, found = _blanked_between(_without_unread(buffer.getvalue()), segments)
    notes += ["pictures in metadata removed"] if found else []
    if has_grown:
        cleaned = tiff_layout.without_holes(cleaned)
    return EncodedPhoto(cleaned, tuple(dict.fromkeys(notes)))


def unread(data: bytes) -> list[bytes]:
    """See `transforms.codecs.unread`."""
    found = [data[start:end] for start, end in tiff_layout.unread(data)]
    with _opened(data, NO_LIMIT) as file:
        for page in _photos(file):
            found += _behind_rows(page)
    return found


def _without_unread(data: bytes) -> bytes:
    """Blank what no tag points to, such as the directory of a copy that is removed."""
    block = bytearray(data)
    for start, end in tiff_layout.unread(data):
        if rests.may_show(data[start:end]):
            block[start:end] = bytes(end - start)
    return bytes(block)


def without_rows(data: bytes) -> bytes:
    """Replace the compressed rows of a file's pages by zeros; a damaged file stays as it is."""
    block = bytearray(data)
    with suppress(CodecError), _opened(data, NO_LIMIT) as file:
        for page in _photos(file):
            if page.compression == _NONE:
                continue
            for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                block[start : start + count] = bytes(len(block[start : start + count]))
    return bytes(block)


def _behind_rows(page: tifffile.TiffPage) -> list[bytes]:
    """Find what the strips of a page hold behind its last row.

    That is strips without a row, and the rest of those with the last ones.
    """
    if page.is_tiled:
        return []
    found = []
    stream, size = page.parent.filehandle, _bytes_of_rows(page)
    strips = list(_segments(page))
    for index, (start, count) in enumerate(_strips(page)):
        stream.seek(start)
        coded = stream.read(count)
        if index >= len(strips):
            found.append(coded)
        elif strips[index][1].stop >= page.imagelength:
            found.append(_unpacked(page, coded)[size(strips[index][1]) :])
    return found


def _cut_rows(page: tifffile.TiffPage) -> None:
    """Blank what the strips of a page hold behind its last row."""
    stream, size = page.parent.filehandle, _bytes_of_rows(page)
    strips = list(_segments(page))
    for index, (start, count) in enumerate(_strips(page)):
        stream.seek(start)
        coded, kept = stream.read(count), b""
        if index < len(strips):
            rows = _unpacked(page, coded)
            kept = coded
            if len(rows) > size(strips[index][1]):
                kept = _packed_again(page, rows[: size(strips[index][1])])
        if len(kept) > count:
            raise CodecError(Reason.NOT_REWRITTEN, "a strip would grow")
        stream.seek(start)
        stream.write(kept.ljust(count, b"\0"))


def _strips(page: tifffile.TiffPage) -> list[tuple[int, int]]:
    """Return offset and length of each listed strip, also of those without a row."""
    starts, counts = (page.tags.valueof(code, ()) for code in (_STRIP_OFFSETS, _STRIP_COUNTS))
    starts, counts = ((one,) if isinstance(one, int) else one for one in (starts, counts))
    return list(zip(starts, counts, strict=False))


def _bytes_of_rows(page: tifffile.TiffPage) -> Callable[[slice], int]:
    """Return a function that counts the bytes of some rows of a strip before compression."""
    separate = page.planarconfig == 2
    samples = 1 if separate else page.samplesperpixel
    stride = (page.imagewidth * samples * page.bitspersample + 7) // 8
    return lambda rows: stride * (min(rows.stop, page.imagelength) - rows.start)


def _unpacked(page: tifffile.TiffPage, coded: bytes) -> bytes:
    """Decompress the rows of a strip; nothing if it is damaged or its coding is not supported."""
    unpack = _UNPACKERS.get(int(page.compression))
    try:
        return bytes(unpack(coded)) if unpack else b""
    except (*DAMAGE, RuntimeError):
        return b""


def _packed_again(page: tifffile.TiffPage, rows: bytes) -> bytes:
    # PackBits is coded row by row, and decoded in one.
    return bytes(_PACKERS[int(page.compression)](np.frombuffer(rows, np.uint8)[np.newaxis]))


@contextmanager
def _opened(
    data: bytes, max_pixels: int, buffer: io.BytesIO | None = None
) -> Iterator[tifffile.TiffFile]:
    """Parse a file, and raise what tifffile raises on it as a `CodecError`.

    Raises:
        UnsupportedFormat: a camera's raw file.
        CodecError: damaged, or with more pixels than `max_pixels`.
    """
    try:
        with tifffile.TiffFile(buffer or io.BytesIO(data), mode="r+b" if buffer else None) as file:
            _refuse_raw(file, data)
            pixels = sum(map(_area, _photos(file)))
            check_size(pixels, max_pixels)
            yield file
    except CodecError:
        raise
    except (*DAMAGE, RuntimeError) as error:  # imagecodecs' own errors are RuntimeErrors
        raise CodecError(Reason.DAMAGED, error) from error


def _area(page: tifffile.TiffPage) -> int:
    """Count the pixels of a page.

    Raises:
        CodecError: a side is not a number, as when a damaged tag holds several.
    """
    width, height = page.imagewidth, page.imagelength
    if not (isinstance(width, int) and isinstance(height, int)):
        raise CodecError(Reason.DAMAGED, "a side is no number")
    return width * height


def _refuse_raw(file: tifffile.TiffFile, data: bytes) -> None:
    kind = None
    first = file.pages.first
    if data[8:10] == b"CR":
        kind = "CR2"
    elif _DNG_VERSION in first.tags:
        kind = "DNG"
    elif any(int(page.photometric or 0) in _RAW_PHOTOMETRICS for page in _all_pages(file)):
        make = str(first.tags.valueof(_MAKE, "")).upper()
        kind = next((raw for name, raw in _RAW_MAKES.items() if make.startswith(name)), "TIFF")
    if kind:
        raise UnsupportedFormat(Reason.NOT_A_FORMAT_WRITTEN.of(format=f"camera raw ({kind})"))


def directories(file: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    """Yield the pages in the order of their links.

    Raises:
        CodecError: the last one links to an earlier one.
    """
    seen = set()
    for page in file.pages:
        if page.offset in seen:
            raise CodecError(Reason.DAMAGED, "its pages form a loop")
        seen.add(page.offset)
        yield page


def _all_pages(file: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    for page in directories(file):
        yield page
        if page.subifds:
            yield from page.pages


def _photos(file: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Return the pages that are not a reduced copy or mask of another."""
    pages = [page for page in directories(file) if not page.subfiletype & 0b101]
    if not pages:
        raise CodecError(Reason.DAMAGED, "no page")
    return pages


def _name(code: object) -> str:
    """Return the name of a number that TIFF defines, "unknown" of any other."""
    return str(getattr(code, "name", "unknown"))


def _orientation(page: tifffile.TiffPage) -> int:
    value = page.tags.valueof(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turned(pages: list[tifffile.TiffPage]) -> tuple[int, tuple[int, ...]]:
    """Read the orientation of all pages, which together make one picture.

    Returns:
        That of the first page, and those that turn its stored pixels to what programs may show that
        use XMP; the XMP of any page counts for all.
    """
    first, others = _orientation(pages[0]), []
    for page in pages:
        packet = page.tags.valueof(_XMP, b"")
        named = orientation.in_xmp(packet) if isinstance(packet, bytes) else None
        if named:
            turn = combined(inverse(_orientation(page)), named)
            others.append(combined(first, turn))
    found = orientation.chosen(first, others)
    return found.shown, found.others


def _upright_size(page: tifffile.TiffPage) -> tuple[int, int]:
    size = (page.imagewidth, page.imagelength)
    return size if _orientation(page) < 5 else (size[1], size[0])


def _samples(page: tifffile.TiffPage) -> np.ndarray:
    """Decode the samples as stored, (H, W, samples).

    Raises:
        UnsupportedFormat: not of 1, 8 or 16 bits, or not a flat picture.
    """
    if page.imagedepth != 1 or page.samplesperpixel > _MOST_SAMPLES:
        raise UnsupportedFormat(Reason.TIFF_CHANNELS.of(page.samplesperpixel))
    if page.samplesperpixel < {_RGB: 3, _YCBCR: 3, _CMYK: 4}.get(int(page.photometric), 1):
        raise CodecError(Reason.DAMAGED, "too few channels")
    if page.planarconfig not in (1, 2):
        raise CodecError(Reason.DAMAGED, "unknown order of channels")
    if page.dtype not in (np.dtype(bool), np.dtype(np.uint8), np.dtype(np.uint16)):
        if not isinstance(page.bitspersample, int):
            raise UnsupportedFormat(Reason.TIFF_MIXED_BITS, str(page.bitspersample))
        raise UnsupportedFormat(Reason.TIFF_BITS.of(page.bitspersample), str(page.dtype))
    # Where strips are missing, tifffile leaves what it is given: memory of who knows what.
    pixels = page.asarray(out=np.zeros(page.shape, page.dtype))
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels.reshape(page.imagelength, page.imagewidth, -1)


def upright_rgb(page: tifffile.TiffPage) -> np.ndarray:
    """Decode a page to uint8 (H, W, 3), upright."""
    pixels, kind = _samples(page), int(page.photometric)
    if kind == _PALETTE or page.bitspersample < 8:
        rgb = _table(page)[pixels[..., 0].astype(np.uint8)]
        return upright(rgb, _orientation(page))
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if kind in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        grey = 255 - pixels[..., :1] if kind == _WHITE_IS_ZERO else pixels[..., :1]
        rgb = np.repeat(grey, 3, axis=2)
    elif kind == _CMYK:
        ink = 255 - pixels[..., :4].astype(np.uint16)
        rgb = (ink[..., :3] * ink[..., 3:] // 255).astype(np.uint8)
    elif kind == _RGB or (kind == _YCBCR and page.compression == JPEG):
        rgb = pixels[..., :3]  # JPEG's own colours are turned into RGB by its decoder
    else:
        raise UnsupportedFormat(Reason.TIFF_COLOURS.of(code=_name(page.photometric)))
    return upright(rgb, _orientation(page))


def _table(page: tifffile.TiffPage) -> np.ndarray:
    """Return the colours of a palette, or of greys of less than 8 bits, uint8 (n, 3).

    Raises:
        UnsupportedFormat: neither of these.
    """
    kind, depth = int(page.photometric), page.bitspersample
    if page.samplesperpixel == 1 and depth <= 8:
        if kind == _PALETTE:
            return (np.moveaxis(page.colormap, 0, -1) >> 8).astype(np.uint8)
        if kind in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
            greys = np.arange(1 << depth) * 255 // ((1 << depth) - 1)
            shown = greys[::-1] if kind == _WHITE_IS_ZERO else greys
            return np.repeat(shown.astype(np.uint8)[:, np.newaxis], 3, axis=1)
    raise UnsupportedFormat(Reason.TIFF_BITS_AND_COLOURS.of(depth, code=_name(page.photometric)))


def _rewrite(page: tifffile.TiffPage, change: PhotoChange) -> bool:
    """Rewrite the strips or tiles that a change touches.

    Args:
        page: of the file to change.
        change: in stored orientation.

    Returns:
        True if one grew and was moved; its old place is blanked.
    """
    if change.is_empty:
        return False
    stream = page.parent.filehandle
    _refuse_cut(page)
    coded = _jpegs(page, change) if page.compression == JPEG else _packed(page, change)
    offsets, counts = list(page.dataoffsets), list(page.databytecounts)
    for index, packed in coded.items():
        stream.seek(offsets[index])
        if len(packed) <= counts[index]:
            stream.write(packed.ljust(counts[index], b"\0"))
        elif offsets[index] + counts[index] >= stream.seek(0, io.SEEK_END):
            stream.seek(offsets[index])  # the file's end: it grows where it is
            stream.write(packed)
        else:
            stream.seek(offsets[index])
            stream.write(bytes(counts[index]))
            offsets[index] = stream.seek(0, io.SEEK_END)
            offsets[index] += offsets[index] % 2
            stream.seek(offsets[index])
            stream.write(packed)
        counts[index] = len(packed)
    for names, values, old in (
        (("TileOffsets", "StripOffsets"), offsets, page.dataoffsets),
        (("TileByteCounts", "StripByteCounts"), counts, page.databytecounts),
    ):
        tag = next((page.tags[name] for name in names if name in page.tags), None)
        if tag is None:
            raise CodecError(Reason.DAMAGED, "it does not say where its pixels are")
        if tuple(values) != tuple(old):
            wide = max(values) > 0xFFFF and tag.dtype == 3
            tag.overwrite(values if len(values) > 1 else values[0], dtype=4 if wide else None)
    return tuple(offsets) != tuple(page.dataoffsets)


def _refuse_cut(page: tifffile.TiffPage) -> None:
    """Refuse a file that ends before its pixels do.

    It may end before the bytes that a page counts, because some writers round them up.

    Raises:
        CodecError: pixels are missing.
    """
    stream = page.parent.filehandle
    spans = zip(page.dataoffsets, page.databytecounts, strict=True)
    missing = max((offset + count for offset, count in spans), default=0) - stream.size
    if missing <= 0:
        return
    if missing <= _MOST_MISSING:
        stream.seek(0)
        data, seen = stream.read(), []
        for tail in (bytes(missing), b"\xff" * missing):
            with tifffile.TiffFile(io.BytesIO(data + tail)) as file:
                longer = next(one for one in directories(file) if one.offset == page.offset)
                seen.append(longer.asarray(out=np.zeros(longer.shape, longer.dtype)))
        if np.array_equal(*seen):
            return
    raise CodecError(Reason.DAMAGED, "pixels are missing")


def _jpegs(page: tifffile.TiffPage, change: PhotoChange) -> dict[int, bytes]:
    """Encode the touched strips or tiles of a page compressed as JPEG, by their number."""
    kind = int(page.photometric)
    seen = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR, _CMYK)
    if kind not in seen or page.bitspersample != 8:
        raise UnsupportedFormat(Reason.TIFF_JPEG_COLOURS.of(code=_name(page.photometric)))
    differences = _differences(page, change)
    changes = {}
    for index, (plane, rows, columns) in enumerate(_segments(page)):
        tall = min(rows.stop, page.imagelength) - rows.start
        wide = min(columns.stop, page.imagewidth) - columns.start
        parts = [one.part(rows.start, columns.start, tall, wide) for one in differences[plane]]
        if not all(part.is_empty for part in parts):
            changes[index] = parts
    stream, coded = page.parent.filehandle, []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        stream.seek(offset)
        coded.append(stream.read(count))
    return tiff_jpeg.changed(coded, page.jpegtables or b"", changes)


def _differences(page: tifffile.TiffPage, change: PhotoChange) -> list[PhotoChange]:
    """Express a change in each component of a page compressed as JPEG, as levels alone.

    A pixel may be fetched from a neighbouring strip or tile, which one strip or tile does not know.
    So the decoded page is moved, and each component gets the difference. That is off by what
    decoding rounds, at most a level, and chroma of fewer samples gets the mean of its pixels'
    differences.
    """
    kind, pixels = int(page.photometric), _samples(page)
    lit = 3 if kind in (_RGB, _CMYK) else 1  # components that take the levels
    moving = {_RGB: 3, _YCBCR: 3, _CMYK: 4}.get(kind, 1)
    # The decoder makes RGB of it, but cannot where each component lies in planes of its own.
    is_turned = kind == _YCBCR and page.planarconfig == 1
    if kind == _CMYK:
        change = _ink(pixels, change)
    elif kind == _WHITE_IS_ZERO:
        change = change.with_levels(lambda patch: -patch.levels)
    patches: list[list[Patch]] = [[] for _ in range(moving)]
    for patch in change.patches:
        before = pixels[patch.rows, patch.columns, :moving].astype(np.float32)
        after = [moved(pixels[..., n], patch) for n in range(moving)]
        difference = np.clip(np.stack(after, axis=2), 0, 255) - before
        if is_turned:
            difference = difference @ _TO_YCBCR.T
        difference[..., :lit] += patch.levels[..., np.newaxis]
        for n in range(moving):
            patches[n].append(Patch(patch.top, patch.left, difference[..., n]))
    return [PhotoChange(*change.shape, tuple(one)) for one in patches]


def _packed(page: tifffile.TiffPage, change: PhotoChange) -> dict[int, bytes]:
    """Encode the touched strips or tiles of a page compressed without loss, by their number."""
    pack = _PACKERS.get(int(page.compression))
    if pack is None:
        raise UnsupportedFormat(Reason.TIFF_COMPRESSION.of(code=_name(page.compression)))
    if page.predictor not in (1, 2) or page.fillorder != 1:
        raise UnsupportedFormat(Reason.TIFF_PREDICTOR)
    changed, touched, coded = _changed(page, change), change.touched, {}
    order = page.parent.byteorder
    for index, (plane, rows, columns) in enumerate(_segments(page)):
        if not touched[rows, columns].any():
            continue
        part = np.ascontiguousarray(changed[rows, columns, plane])
        if page.is_tiled:
            missing = (page.tilelength - part.shape[0], page.tilewidth - part.shape[1])
            part = np.pad(part, [(0, missing[0]), (0, missing[1]), (0, 0)], "edge")
        if page.predictor == 2:
            part[:, 1:] -= part[:, :-1].copy()
        if page.bitspersample < 8:
            part = _with_bits(part[..., 0], page.bitspersample)
        coded[index] = bytes(pack(part.astype(part.dtype.newbyteorder(order))))
    return coded


def _changed(page: tifffile.TiffPage, change: PhotoChange) -> np.ndarray:
    """Change the samples as stored, (H, W, samples)."""
    kind, depth, pixels = int(page.photometric), page.bitspersample, _samples(page)
    if depth == 1:
        raise UnsupportedFormat(Reason.TIFF_BLACK_AND_WHITE)
    if kind == _PALETTE or depth < 8:
        table, places = _table(page), pixels[..., 0].astype(np.uint8)
        before = table[places]
        after = with_change(before, change)
        differs = (after != before).any(axis=2)
        return np.where(differs, dithered(after, table), places)[..., np.newaxis]
    if depth not in (8, 16):
        raise UnsupportedFormat(
            Reason.TIFF_BITS_AND_COLOURS.of(depth, code=_name(page.photometric))
        )
    hidden = _hidden(page, pixels)
    if kind == _CMYK:
        return with_change(pixels, _ink(pixels, change), 3, depth, 4, hidden)
    if kind not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        raise UnsupportedFormat(Reason.TIFF_COLOURS.of(code=_name(page.photometric)))
    if kind == _WHITE_IS_ZERO:
        change = change.with_levels(lambda patch: -patch.levels)
    return with_change(pixels, change, 3 if kind == _RGB else 1, depth, hidden=hidden)


def _ink(pixels: np.ndarray, change: PhotoChange) -> PhotoChange:
    """Translate a change to levels of cyan, magenta and yellow, larger the more black there is."""
    most = np.iinfo(pixels.dtype).max

    def levels(patch: Patch) -> np.ndarray:
        black = np.clip(moved(pixels[..., 3], patch), 0, most)
        return -patch.levels * most / np.maximum(most - black, most // 8)

    return change.with_levels(levels)


def _hidden(page: tifffile.TiffPage, pixels: np.ndarray) -> np.ndarray | None:
    """Find the pixels that alpha makes fully transparent, bool (H, W)."""
    first = pixels.shape[2] - len(page.extrasamples)
    found = (n for n, what in enumerate(page.extrasamples, first) if what in _ALPHA)
    alpha = next(found, None)
    return None if alpha is None else pixels[..., alpha] == 0


def _with_bits(numbers: np.ndarray, depth: int) -> np.ndarray:
    """Pack numbers of less than 8 bits, uint8 (H, W), into rows of whole bytes."""
    bits = numbers[..., np.newaxis] >> np.arange(depth - 1, -1, -1, dtype=np.uint8) & 1
    return np.packbits(bits.reshape(len(numbers), -1), axis=1)


def _segments(page: tifffile.TiffPage) -> Iterator[tuple[slice, slice, slice]]:
    """Yield (samples, rows, columns) of each strip or tile, in the order of their offsets."""
    height, width = page.imagelength, page.imagewidth
    if page.is_tiled:
        tall, wide = page.tilelength, page.tilewidth
    else:
        tall, wide = min(page.rowsperstrip, height), width
    separate = page.planarconfig == 2 and page.samplesperpixel > 1
    planes = [slice(n, n + 1) for n in range(page.samplesperpixel)] if separate else [slice(None)]
    for plane in planes:
        for top in range(0, height, tall):
            for left in range(0, width, wide):
                yield plane, slice(top, top + tall), slice(left, left + wide)


def _clean_metadata(
    page: tifffile.TiffPage, rebuild_thumbnails: bool, notes: list[str]
) -> list[tuple[int, int]]:
    """Rebuild or empty the pictures in the metadata of a cloaked page; no value moves.

    Returns:
        Offset and length of metadata that holds a picture now.
    """
    tag = page.tags.get(_XMP)
    if tag is not None and isinstance(tag.value, bytes):
        packet, found = xmp.blank_pictures(tag.value)
        if found:
            tag.overwrite(packet)
            notes.append("XMP thumbnail removed")
    tag = page.tags.get(_PHOTOSHOP)
    if tag is None or not isinstance(tag.value, bytes):
        return []
    resources, done = photoshop.without_pictures(tag.value)
    if done and rebuild_thumbnails:
        cloaked = Image.fromarray(as_stored(upright_rgb(page), _orientation(page)))
        resources, done = photoshop.without_pictures(tag.value, cloaked)
    if done:
        tag.overwrite(resources.ljust(len(tag.value), b"\0"))
        notes += done
    return [(tag.valueoffset, tag.valuebytecount)] if photoshop.REBUILT in done else []


def _remove_copies(
    file: tifffile.TiffFile,
    buffer: io.BytesIO,
    photos: list[tifffile.TiffPage],
    notes: list[str],
) -> None:
    """Blank reduced copies, masks and Photoshop's layers, and cut the links to them."""
    kept = {page.offset for page in photos}
    for page in photos:
        for copy in page.pages if page.subifds else ():
            _blank_data(copy, buffer)
            notes.append("sub-image removed")
        for code in (_LAYERS, _SUB_IFDS):
            if (tag := page.tags.get(code)) is None:
                continue
            if code == _LAYERS:
                buffer.seek(tag.valueoffset)
                buffer.write(bytes(tag.valuebytecount))
                notes.append("Photoshop layers removed")
            _remove_entry(file, buffer, page.offset, code)
    last = None
    for page in directories(file):
        if page.offset in kept:
            if last is not None:
                _link(file, buffer, last, page.offset)
            last = page.offset
        else:
            _blank_data(page, buffer)
            notes.append("reduced copy removed")
    if last is not None:
        _link(file, buffer, last, 0)


def _blank_data(page: tifffile.TiffPage, buffer: io.BytesIO) -> None:
    end = len(buffer.getbuffer())
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        buffer.seek(offset)
        buffer.write(bytes(max(0, min(count, end - offset))))


def _entries(file: tifffile.TiffFile, buffer: io.BytesIO, offset: int) -> tuple[int, int]:
    """Return how many entries the directory at `offset` has, and the offset of the first one."""
    form = file.tiff
    buffer.seek(offset)
    (count,) = struct.unpack(form.tagnoformat, buffer.read(form.tagnosize))
    return count, offset + form.tagnosize


def _link(file: tifffile.TiffFile, buffer: io.BytesIO, offset: int, following: int) -> None:
    count, at = _entries(file, buffer, offset)
    buffer.seek(at + count * file.tiff.tagsize)
    buffer.write(struct.pack(file.tiff.offsetformat, following))


def _remove_entry(file: tifffile.TiffFile, buffer: io.BytesIO, offset: int, code: int) -> None:
    form = file.tiff
    count, at = _entries(file, buffer, offset)
    buffer.seek(at)
    entries = [buffer.read(form.tagsize) for _ in range(count)]
    following = buffer.read(form.offsetsize)
    left = [e for e in entries if struct.unpack_from(form.byteorder + "H", e)[0] != code]
    gone = count - len(left)
    buffer.seek(offset)
    buffer.write(struct.pack(form.tagnoformat, len(left)) + b"".join(left) + following)
    buffer.write(bytes(gone * form.tagsize))


def _blanked_between(data: bytes, segments: list[tuple[int, int]]) -> tuple[bytes, int]:
    """Blank the pictures outside of the strips and tiles of a file."""
    block, found, position = bytearray(data), 0, 0
    for start, count in [*sorted(segments), (len(data), 0)]:
        if position < start:
            block[position:start], blanked = carve.blanked(data[position:start])
            found += blanked
        position = max(position, start + count)
    return bytes(block), found
