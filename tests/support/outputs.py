"""What two runs are compared by: the photos and the rows of a library."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from photoveil.pipeline.library import manifest


def photos_of(out: Path) -> dict[str, str]:
    """sha256 of every photo in a library, by its name there."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file() and "_photoveil" not in path.relative_to(out).parts
    }


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    """The manifest, by source, without the run's name and its times."""
    rows = manifest.read(str(out / "_photoveil/manifest")).drop(["run_id", "finished"])
    return {row["source"]: row for row in rows.to_pylist()}
