"""How much a photo may take to open."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ReadLimits:
    """What is too large to open, or takes too much: a guard against image bombs, stray disk images
    and files made to hang a program. Memory is limited on Linux alone."""

    max_megapixels: Annotated[float, Field(gt=0)] = 250.0
    max_megabytes: Annotated[float, Field(gt=0)] = 500.0
    max_seconds: Annotated[float, Field(gt=0)] = 300.0
    """Of each decoding and encoding."""
    max_memory_gigabytes: Annotated[float, Field(gt=0)] = 8.0
    """For each decoding and encoding, in the process that does it."""
