"""Parameters of face detection, with their ranges."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DetectorParameters:
    """What counts as a face.

    A missed face loses protection and a false one hardly costs anything (it gets a change that
    nobody notices), so the defaults favour recall.
    """

    model: Literal["retinaface", "retinaface-resnet50"] = "retinaface"
    """The detector. retinaface-resnet50 needs the extra `retina-face`."""
    long_sides: Annotated[tuple[int, ...], Field(min_length=1)] = (256, 640, 1600)
    """Long side in pixels of each level of the image pyramid."""
    smallest_face: Annotated[int, Field(ge=4)] = 40
    """Side in pixels of the photo of the smallest face that is found however large the photo is:
    finer levels are added to the pyramid until it is 20 pixels there."""
    turned_levels: Annotated[int, Field(ge=0)] = 2
    """How many levels of the pyramid, from the smallest, are searched at the three other quarter
    turns where the photo as it is shows nobody without doubt."""
    min_score: Annotated[float, Field(ge=0.02, le=1)] = 0.6
    """Least confidence. What scores less is looked at again, enlarged."""
    min_face: Annotated[int, Field(ge=4)] = 12
    """Least mean side of a face's box, in pixels of the photo; smaller ones are left and told."""
    max_overlap: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Boxes that overlap more are one face (intersection over union)."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PeopleParameters:
    """Who is cloaked, by the names that `photoveil people` lists."""

    only: tuple[str, ...] = ()
    """If not empty, nobody else is cloaked."""
    spare: tuple[str, ...] = ()
    """These people are not cloaked."""
