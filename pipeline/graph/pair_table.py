"""The table of near-duplicate pairs that a wave finds."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from photoveil.transforms.records import NearDuplicatePair

PAIRS = pa.schema([("one", pa.string()), ("other", pa.string()), ("distance", pa.int32())])


def pair_to_row(pair: NearDuplicatePair) -> dict[str, Any]:
    """A pair as a dict that fits `PAIRS`."""
    return {"one": pair.one.key, "other": pair.other.key, "distance": pair.distance}
