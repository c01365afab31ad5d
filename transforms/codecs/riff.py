"""RIFF chunks, the container of WebP (WebP Container Specification)."""

from __future__ import annotations

from photoveil.transforms.codecs.errors import DAMAGED, CodecError

_HEAD = 12  # "RIFF", size, form type
_METADATA = {b"EXIF", b"XMP "}
_SHOWN = {b"VP8 ", b"VP8L", b"ANMF"}


def split(data: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """Split a WebP file into its chunks.

    The size in the file's header may be wrong, and the last byte of padding missing, so the chunks
    decide where it ends. Behind the end in the header, only what the picture needs is read.

    Returns:
        (name, body) of each chunk, and the offset just after the last one.

    Raises:
        CodecError: no picture is complete.
    """
    told = 8 + int.from_bytes(data[4:8], "little")
    chunks: list[tuple[bytes, bytes]] = []
    position = _HEAD
    while position + 8 <= len(data):
        is_shown = any(name in _SHOWN for name, _ in chunks)
        name = data[position : position + 4]
        if is_shown and position >= told and (position == told or name not in _METADATA):
            break
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if position + 8 + size > len(data):
            break
        chunks.append((name, data[position + 8 : position + 8 + size]))
        position += 8 + size + size % 2
    if not any(name in _SHOWN for name, _ in chunks):
        raise CodecError(DAMAGED, "no picture is whole")
    return chunks, min(position, len(data))


def join(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Build a WebP file of these chunks."""
    packed = b"".join(
        name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
        for name, body in chunks
    )
    return b"RIFF" + (len(packed) + 4).to_bytes(4, "little") + b"WEBP" + packed
