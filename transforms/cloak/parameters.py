"""The knobs of the cloak, with their ranges; presets for them lie in `configs/`."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class CloakParameters:
    """How strongly and how visibly a face is changed.

    Pixel lengths are in the 112 px aligned crop; levels are 8-bit luminance levels.
    """

    surrogates: Annotated[tuple[str, ...], Field(min_length=1)] = ("mobilefacenet", "faceres")
    """Recognisers to move away from, by their names in `transforms.cloak.surrogates`."""
    dssim_budget: Annotated[float, Field(gt=0, le=0.1)] = 0.012
    """Most structural dissimilarity a face may get."""
    max_change: Annotated[float, Field(gt=0, le=64)] = 15.0
    """Most levels any pixel may change."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 60
    learning_rate: Annotated[float, Field(gt=0, le=20)] = 1.5
    """Adam step in levels."""
    low_frequency_weight: Annotated[float, Field(ge=0, le=10)] = 0.01
    low_frequency_sigma: Annotated[float, Field(gt=0, le=20)] = 5.0
    jitter_rotation: Annotated[float, Field(ge=0, le=0.5)] = 0.04
    """Standard deviation in radians; with the next two, the spread of other recognisers' crops."""
    jitter_scale: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    jitter_shift: Annotated[float, Field(ge=0, le=20)] = 2.0
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 8
    """Faces optimised at once."""
