"""Bytes of a file that no reader of its format reads."""

from __future__ import annotations

_LEAST = 64  # bytes; nobody is to be seen in fewer
_FILLER = b"\0\xff \r\n"


def may_show(rest: bytes) -> bool:
    """Return False for bytes that are filler, or too few for a picture."""
    return len(rest.translate(None, _FILLER)) > _LEAST
