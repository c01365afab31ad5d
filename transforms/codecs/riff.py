"""RIFF chunks, the container of WebP (WebP Container Specification)."""

from __future__ import annotations

from transforms.codecs.errors import CodecError

_HEAD = 12  # "RIFF", size, form type


def split(data: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """(name, body) of each chunk, and the offset just after the last one.

    Raises:
        CodecError: a chunk breaks off.
    """
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    chunks, position = [], _HEAD
    while position + 8 <= end:
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        body = data[position + 8 : position + 8 + size]
        if len(body) < size:
            raise CodecError("the WebP breaks off")
        chunks.append((data[position : position + 4], body))
        position += 8 + size + size % 2
    return chunks, max(position, end)


def join(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A WebP file of these chunks."""
    packed = b"".join(
        name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
        for name, body in chunks
    )
    return b"RIFF" + (len(packed) + 4).to_bytes(4, "little") + b"WEBP" + packed
