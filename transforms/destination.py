"""Where a library's files go."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Destination:
    """Where outputs go.

    root: the output tree. scratch: folder for unfinished files on the same file system.
    """

    root: str
    scratch: str
