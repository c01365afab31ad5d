"""Compressed streams inside bytes, recognised by their first bytes.

They are gzip, zlib, the members of a ZIP archive, bzip2 and xz.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_BEGINNINGS = re.compile(
    rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|PK\x03\x04[\x00-\xff]{4}\x08\0|BZh[1-9]1AY&SY|\xfd7zXZ\0",
    re.DOTALL,
)
MOST = 1 << 26
"""Bytes that are unpacked of one stream."""

_ZIP_HEAD = 30  # bytes before a member's name
_LEAST = 64  # bytes; less is a chance match, and no picture
_FIRST, _BLOCK = 1024, 1 << 16  # bytes that are read at once
_LZMA_MEMORY = 1 << 27  # bytes


@dataclass(frozen=True)
class Stream:
    """A compressed stream: where it is, and what it unpacks to.

    is_whole: False if the stream is cut off.
    is_all: False if it unpacks to more than `data`, which ends at the limit.
    """

    start: int
    end: int
    data: bytes
    is_whole: bool
    is_all: bool


def streams(data: bytes) -> Iterator[Stream]:
    """Find every compressed stream that begins in `data`, and each member of an archive."""
    view, position = memoryview(data), 0
    while match := _BEGINNINGS.search(data, position):
        position = match.start() + 1
        found = _unpacked(view, match.start(), match[0])
        if found is not None:
            yield found
            position = max(position, found.end)


def _unpacked(view: memoryview, start: int, head: bytes) -> Stream | None:
    body = start
    new: Callable[[], Any]
    if head.startswith(b"PK"):
        if start + _ZIP_HEAD > len(view):
            return None
        name, extra = struct.unpack_from("<HH", view, start + 26)
        body = start + _ZIP_HEAD + name + extra
        new = _raw_deflate
    elif head.startswith(b"BZ"):
        new = bz2.BZ2Decompressor
    elif head.startswith(b"\xfd"):
        new = _xz
    else:
        new = _zlib
    unpacker, out, position = new(), bytearray(), body
    while position < len(view) and not unpacker.eof and len(out) <= MOST:
        block = view[position : position + (_BLOCK if out else _FIRST)]
        try:
            out += unpacker.decompress(block, MOST + 1 - len(out))
        except (zlib.error, lzma.LZMAError, OSError, ValueError):
            break
        position += len(block)
    if len(out) < _LEAST:
        return None
    end = position - len(unpacker.unused_data) if unpacker.eof else position
    return Stream(start, end, bytes(out[:MOST]), unpacker.eof, len(out) <= MOST)


def _zlib() -> Any:
    return zlib.decompressobj(32 + zlib.MAX_WBITS)  # with either header


def _raw_deflate() -> Any:
    return zlib.decompressobj(-zlib.MAX_WBITS)


def _xz() -> Any:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, _LZMA_MEMORY)
