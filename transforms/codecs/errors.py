"""Errors of reading and writing a photo's bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from photoveil.transforms.reasons import Reason

DAMAGED = Reason.DAMAGED


class CodecError(ValueError):
    """A photo that cannot be read or written; the message is one of `transforms.reasons`.

    detail: a library's message about the file, or which part is wrong, for the log alone.
    """

    def __init__(self, reason: str, detail: BaseException | str | None = None) -> None:
        super().__init__(str(reason))
        self.detail = repr(detail) if isinstance(detail, BaseException) else detail


class UnsupportedFormat(CodecError):
    """An intact file of a kind that this version does not write."""


class MissingPackage(UnsupportedFormat):
    """A kind of file that needs an optional package; the message says which."""


class TooMuch(CodecError):
    """A photo that takes more time or memory than allowed; it need not be damaged."""


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


@contextmanager
def explained(reason: Reason) -> Iterator[None]:
    """Raise what a library raises on a damaged file as a `CodecError` with this reason.

    Errors of the operating system, such as a full disk, are passed on.
    """
    try:
        yield
    except CodecError:
        raise
    except (*DAMAGE, RuntimeError, StopIteration, AssertionError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise CodecError(reason, error) from error
