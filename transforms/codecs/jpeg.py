"""JPEG: only the luminance coefficients under the cloak change, the rest of the file stays.

The change is added to the luminance blocks themselves, with the file's own quantisation table:
decoded pixels outside those blocks are the original's bit for bit, and chroma is untouched.
Colour spaces without a luminance plane (RGB, CMYK) are encoded anew with the original's tables.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jpeglib
import mozjpeg_lossless_optimization
import numpy as np
from PIL import Image, JpegImagePlugin
from scipy.fft import dctn, idctn

from transforms.codecs import exif, segments
from transforms.codecs.errors import DAMAGE, CodecError, UnsupportedFormat
from transforms.codecs.orientation import as_stored, read_orientation
from transforms.codecs.photo import DecodedPhoto, EncodedPhoto, decoded, open_image
from transforms.codecs.segments import APP0, APP1, APP2, APP13, APP14, Segment

MAGIC = b"\xff\xd8\xff"

_FORMATS = ("JPEG", "MPO")
_BLOCK = 8
_PROGRESSIVE = {0xC2}
_LOSSLESS_OR_ARITHMETIC = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_XMP_THUMBNAIL = re.compile(rb"(<xmpGImg:image>)[^<]+|(xmpGImg:image=\")[^\"]+")
_XMP_PICTURES = (b"GImage:Data", b"GDepth:Data", b"GDepth:Image", b"xmpGImg:image")
_PHOTOSHOP = b"Photoshop 3.0\0"
_PHOTOSHOP_THUMBNAILS = {0x0409, 0x040C}


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    image = open_image(data, _FORMATS, max_pixels)
    return decoded(image, "JPEG", np.asarray(image.convert("RGB")))


def encode(data: bytes, change: np.ndarray) -> EncodedPhoto:
    """See `transforms.codecs.encode`."""
    original, end = segments.split(data)
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        orientation, mode = read_orientation(image), image.mode
    stored_change = as_stored(change, orientation)
    if _has_luminance_plane(original, mode):
        coded = _spliced(original, stored_change)
    else:
        coded = _encoded_anew(data, stored_change)
    body = [segment for segment in segments.split(coded)[0] if not segment.is_metadata]
    if mode == "CMYK":  # Pillow may code the four inks another way than the original did
        original = [s for s in original if s.marker != APP14]
        body = [s for s in segments.split(coded)[0] if s.marker == APP14] + body
    with Image.open(io.BytesIO(coded)) as cloaked:
        cloaked.draft("RGB", (512, 512))  # all a thumbnail needs
        metadata, notes = _without_pictures(
            [segment for segment in original if segment.is_metadata], cloaked
        )
    if end < len(data.rstrip(b"\0")):
        notes.append("data after the end of the image removed")
    return EncodedPhoto(segments.join(metadata + body), tuple(dict.fromkeys(notes)))


def _has_luminance_plane(original: list[Segment], mode: str) -> bool:
    adobe = next((s.payload for s in original if s.marker == APP14), b"")
    is_adobe_rgb = mode == "RGB" and adobe.startswith(b"Adobe") and adobe[11:12] == b"\0"
    ids = next(s.payload for s in original if 0xC0 <= s.marker <= 0xC2)[6::3]
    return mode == "L" or (mode == "RGB" and not is_adobe_rgb and ids[:3] != b"RGB")


def _spliced(original: list[Segment], change: np.ndarray) -> bytes:
    """The image with the change added to its luminance coefficients, without metadata.

    change: float32 (H, W) in stored orientation.
    """
    frame = next((s for s in original if s.marker in _LOSSLESS_OR_ARITHMETIC), None)
    if frame is not None:
        raise UnsupportedFormat("arithmetic or lossless JPEG")
    # libjpeg reads the colour space off these two; all else could only confuse it.
    bare = [s for s in original if not s.is_metadata or s.marker in (APP0, APP14)]
    with tempfile.TemporaryDirectory(prefix="photoveil-") as folder:
        source, target = Path(folder, "source.jpg"), Path(folder, "target.jpg")
        source.write_bytes(segments.join(bare))
        try:
            coefficients = jpeglib.read_dct(source)
            blocks = coefficients.Y
            table = coefficients.qt[coefficients.quant_tbl_no[0]].astype(np.float32)
            _add_to_blocks(blocks, table, change)
            # The original's Huffman tables may lack a code for a new coefficient.
            coefficients.write_dct(target, flags=["+OPTIMIZE_CODING"])
        except DAMAGE as error:
            raise CodecError(f"the JPEG cannot be rewritten ({error})") from error
        coded = target.read_bytes()
    if any(segment.marker in _PROGRESSIVE for segment in original):
        coded = mozjpeg_lossless_optimization.optimize(coded)
    return coded


def _add_to_blocks(blocks: np.ndarray, table: np.ndarray, change: np.ndarray) -> None:
    """Add `change` in place to quantised DCT blocks.

    Args:
        blocks: int16 (rows, columns, 8, 8).
        table: float32 (8, 8) quantisation steps.
        change: float32 (H, W), H <= 8 * rows, W <= 8 * columns.
    """
    rows, columns = blocks.shape[:2]
    height, width = change.shape
    padded = np.pad(change, [(0, rows * _BLOCK - height), (0, columns * _BLOCK - width)], "edge")
    tiles = padded.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
    touched = np.abs(tiles).max(axis=(2, 3)) > 0
    # T.81 A.3.3: the orthonormal 8 x 8 DCT-II of samples shifted by 128.
    levels = idctn(blocks[touched].astype(np.float32) * table, axes=(1, 2), norm="ortho") + 128
    changed = np.clip(levels + tiles[touched], 0, 255) - 128
    blocks[touched] = np.rint(dctn(changed, axes=(1, 2), norm="ortho") / table).astype(np.int16)


def _encoded_anew(data: bytes, change: np.ndarray) -> bytes:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        pixels = np.asarray(image).astype(np.float32)
        if image.mode == "CMYK":
            # Red is (255 - C)(255 - K) / 255, and so on: less ink is lighter, the more so the
            # less black lies over it.
            paper = np.maximum(255 - pixels[..., 3:], 32) / 255
            pixels[..., :3] -= change[..., np.newaxis] / paper
        else:
            pixels += change[..., np.newaxis]
        changed = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8), image.mode)
        out = io.BytesIO()
        changed.save(
            out,
            "JPEG",
            qtables=image.quantization,
            subsampling=max(0, JpegImagePlugin.get_sampling(image)),
            progressive=bool(image.info.get("progressive")),
            optimize=True,
            keep_rgb=image.mode == "RGB",
        )
    return out.getvalue()


def _without_pictures(
    metadata: list[Segment], cloaked: Image.Image
) -> tuple[list[Segment], list[str]]:
    """The metadata segments, byte for byte but for pictures of the photo in them."""
    extended = b"".join(s.payload for s in metadata if s.payload.startswith(_EXTENDED_XMP))
    drop_extended = any(name in extended for name in _XMP_PICTURES)
    kept: list[Segment] = []
    notes: list[str] = []
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
        elif marker == APP2 and payload.startswith(b"MPF\0"):
            notes.append("preview pictures removed")
            continue
        elif marker == APP1 and payload.startswith(_EXTENDED_XMP) and drop_extended:
            notes.append("pictures in extended XMP removed")
            continue
        elif marker == APP1 and payload.startswith(_XMP):
            payload, count = _XMP_THUMBNAIL.subn(rb"\1\2", payload)
            if count:
                notes.append("XMP thumbnail removed")
        elif marker == APP13 and payload.startswith(_PHOTOSHOP):
            payload, count = _without_photoshop_thumbnails(payload)
            if count:
                notes.append("Photoshop thumbnail removed")
        elif MAGIC in payload:
            notes.append(f"picture in APP{marker - APP0} removed")
            continue
        kept.append(Segment(marker, payload))
    return kept, notes


def _without_photoshop_thumbnails(payload: bytes) -> tuple[bytes, int]:
    kept, removed = _PHOTOSHOP, 0
    for number, resource in _photoshop_resources(payload):
        if number in _PHOTOSHOP_THUMBNAILS or MAGIC in resource:
            removed += 1
        else:
            kept += resource
    return (kept, removed) if removed else (payload, 0)


def _photoshop_resources(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, all bytes) of each image resource block; what is no resource comes as number 0."""
    position = len(_PHOTOSHOP)
    while payload[position : position + 4] == b"8BIM":
        number = int.from_bytes(payload[position + 4 : position + 6], "big")
        name = 1 + payload[position + 6] if position + 6 < len(payload) else 1
        size_at = position + 6 + name + name % 2
        size = int.from_bytes(payload[size_at : size_at + 4], "big")
        end = size_at + 4 + size + size % 2
        yield number, payload[position:end]
        position = end
    if position < len(payload):
        yield 0, payload[position:]
