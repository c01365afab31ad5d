"""What can go wrong with a photo's bytes."""

from __future__ import annotations

import struct
import zlib


class CodecError(ValueError):
    """A photo that cannot be read or written; the message is a reason in plain words."""


class UnsupportedFormat(CodecError):
    """A sound file of a kind that this version does not write."""


class MissingPackage(UnsupportedFormat):
    """A kind of file that needs an optional package; the message says which."""


class TooMuch(CodecError):
    """A photo that takes more time or memory than it may; it need not be damaged."""


# What Pillow, piexif and struct are known to raise on damaged files.
DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    ZeroDivisionError,
    struct.error,
    zlib.error,
)
