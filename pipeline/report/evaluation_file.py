"""What `photoveil evaluate --report FILE.json` found, as far as a report shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from photoveil.pipeline.library.identity import LibraryError
from photoveil.transforms.io import storage

# As `transforms.evaluate.tracker` and `conditions` name them; to import these loads TensorFlow.
SHOWN = {
    "direction": "clean photos searched in cloaked ones",
    "condition": "as written",
    "figure": "rank-1",
    "person": None,
}


@dataclass(frozen=True)
class Found:
    """How often one recogniser found the right person first, as shares with their intervals.

    held_out: the cloak was never optimised against it.
    """

    recogniser: str
    held_out: bool
    cloaked: tuple[float, float, float]
    uncloaked: tuple[float, float, float]
    searches: int


@dataclass(frozen=True)
class Protection:
    """found: by recogniser, held-out ones first. caveat: what the figures do not show."""

    found: tuple[Found, ...]
    caveat: str


def read(path: str) -> Protection:
    """Read such a file.

    Raises:
        LibraryError: it cannot be read, or is another file.
    """
    try:
        content = json.loads(storage.read_bytes(path))
        rows = [row for row in content["findings"] if SHOWN.items() <= row.items()]
        found = [_found(row) for row in rows if row["cloaked"] is not None]
        return Protection(
            tuple(sorted(found, key=lambda one: not one.held_out)), str(content["caveat"])
        )
    except OSError as error:
        raise LibraryError(
            f"{path} cannot be read: {storage.explain(error)}; `photoveil evaluate` writes such a "
            "file with --report FILE.json"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LibraryError(
            f"{path} is no report of `photoveil evaluate`; make one with --report FILE.json"
        ) from error


def _found(row: Mapping[str, Any]) -> Found:
    cloaked, uncloaked = (_with_interval(row, name) for name in ("cloaked", "uncloaked"))
    count = int(row["cloaked_count"])
    return Found(row["recogniser"], not row["white_box"], cloaked, uncloaked, count)


def _with_interval(row: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    return float(row[name]), float(row[f"{name}_low"] or 0), float(row[f"{name}_high"] or 0)
