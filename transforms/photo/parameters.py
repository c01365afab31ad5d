"""What is carried over beside the pixels, as a user may choose it, and all that writing needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated

from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.visibility.budget import Budget


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class MetadataParameters:
    """What becomes of thumbnails, people tags, and the files beside a photo."""

    thumbnails: Literal["rebuild", "remove"] = "rebuild"
    """Thumbnails of EXIF, Photoshop and HEIF, and the large ones behind a JPEG, are made anew from
    the cloaked photo or removed."""
    strip_names: bool = False
    """Remove face regions and names of people from XMP, Panasonic's MakerNotes and Google
    Takeout's files, and the keywords that repeat them."""
    sidecars: Literal["copy", "leave"] = "copy"
    """.xmp, .aae and Google Takeout's .json files."""
    videos: Literal["copy", "leave"] = "leave"
    """Videos, Live Photo's among them. The faces in them are not cloaked."""


@dataclass(frozen=True)
class WriteParameters:
    """What decides how a photo is written.

    budget: how much may be seen of a cloak. metadata: what is carried over beside the pixels.
    limits: of each decoding and encoding.
    """

    budget: Budget
    metadata: MetadataParameters
    limits: ReadLimits
