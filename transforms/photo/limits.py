"""How much a photo may take to open."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ReadLimits:
    """What a photo may take at most.

    A guard against image bombs, stray disk images and files that are made to hang a program.
    """

    max_megapixels: Annotated[float, Field(gt=0)] = 250.0
    """Million pixels of the picture, by its header."""
    max_megabytes: Annotated[float, Field(gt=0)] = 500.0
    """Million bytes of the file."""
    max_seconds: Annotated[float, Field(gt=0)] = 300.0
    """Seconds of the clock for each decoding and encoding."""
    max_memory_gigabytes: Annotated[float, Field(gt=0)] = 8.0
    """Memory of the process that decodes and encodes; on Linux only."""
