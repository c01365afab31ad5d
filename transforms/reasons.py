"""All reasons why a file has no output, in words that stay the same from version to version.

A library's message about a file goes to the log, never into a reason. `docs/manifest.md` has the
list for people; `tests/test_reasons.py` checks that the two agree and mutates files to find other
words.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from typing import Any


class Reason(StrEnum):
    """A reason; fields in braces stand for a number or a name."""

    # Failed: the file.
    DAMAGED = "damaged or cut off"
    CRASHES = "damaged in a way that crashes the library that reads it ({signal})"
    NOT_REWRITTEN = "cannot be written anew in its own format"
    NOT_ALONE = "cannot be written without the other pictures in its file"
    OTHER_SIZE = "the cloaked file has another size"
    EMPTY = "the file is empty"
    NO_PICTURE = "named as a photo but holds none"
    CHANGED = "the file changed while it was being read"
    # Failed: a limit.
    TOO_MANY_PIXELS = (
        "{number} megapixels are more than the limit of {number} megapixels (limits.max_megapixels)"
    )
    TOO_MANY_BYTES = "{number} MB is more than the limit of {number} MB (limits.max_megabytes)"
    TOO_SLOW = "takes more than {number} seconds to open or write (limits.max_seconds)"
    TOO_LARGE = "takes more memory than {number} GB (limits.max_memory_gigabytes) to open or write"
    KILLED = "takes more memory than there is to open or write: its process was killed"
    NO_MEMORY_TO_OPEN = "not enough memory to open it"
    NO_MEMORY_TO_CLOAK = "not enough memory to cloak it"
    # Failed: the system.
    NOT_READ = "cannot be read: {system}"
    NOT_WRITTEN = "cannot be written: {system}"
    NOT_REGULAR = "not a regular file"
    LINK_TO_FOLDER = "link to a folder: not followed"
    BROKEN_LINK = "broken link: {system}"
    NOT_LISTED = "folder cannot be listed: {system}"
    STEP_SYSTEM = "{step} failed: {system}"
    STEP_MEMORY = "{step} failed: not enough memory"
    STEP_UNEXPECTED = "{step} failed: unexpected error (--verbose shows it)"
    # Unsupported.
    NO_PHOTO = "not a photo"
    NO_KNOWN_FORMAT = "no picture format that is known here"
    NOT_A_FORMAT_WRITTEN = "{format}: a format that Photoveil does not write"
    NEEDS_HEIF = "HEIC needs the optional package pillow-heif"
    ANIMATED = "animated {format}"
    LOSSLESS_JPEG = "lossless or hierarchical JPEG"
    OTHER_HEIF_CODING = "HEIF in a coding other than HEVC and AV1"
    AVIF_APERTURE = "AVIF with a clean aperture"
    TIFF_CHANNELS = "TIFF of {number} channels"
    TIFF_BITS = "TIFF of {number} bits"
    TIFF_MIXED_BITS = "TIFF of channels that differ in their bits"
    TIFF_COLOURS = "TIFF in the colour space {code}"
    TIFF_BITS_AND_COLOURS = "TIFF of {number} bits in the colour space {code}"
    TIFF_JPEG_COLOURS = "TIFF of JPEGs in the colour space {code}"
    TIFF_JPEG_CODING = "TIFF of JPEGs that are not baseline"
    TIFF_COMPRESSION = "TIFF compressed with {code}"
    TIFF_PREDICTOR = "TIFF with an unusual predictor or order of bits"
    TIFF_BLACK_AND_WHITE = "TIFF of black and white alone, which has no shades to change"
    SIDECAR_LEFT = "sidecar: left out (metadata.sidecars)"
    VIDEO_LEFT = "video: left out, as the faces in it are not cloaked (metadata.videos)"
    # Skipped, and what a photo that was written says of faces left as they are.
    NEAR_DUPLICATE = "near duplicate of {source} (near_duplicates.policy)"
    TINY_FACES = "{number} faces too small for a recogniser (detector.min_face) left as is"
    SPARED_FACES = "{number} faces left as is because of who they are (people.only, people.spare)"
    LEFT_FACES = "{number} faces left as is because a review says so"
    LEFT_PHOTO = "left as the original is because a review says so"

    def of(self, *numbers: float | str, **fields: Any) -> str:
        """Fill in the fields; numbers in their order, as short as possible."""
        words = self.value.replace("{number}", "{}")
        return words.format(*(f"{n:.6g}" if isinstance(n, float) else n for n in numbers), **fields)


_FIELDS = {
    "number": r"\d+(?:\.\d+)?(?:e\+\d+)?",
    "format": r"[A-Z][A-Za-z0-9]+|camera raw \([A-Z0-9]+\)|Photoshop document|JPEG XL|JPEG 2000",
    "code": r"[A-Z][A-Z0-9_]*|unknown",
    "signal": r"SIG[A-Z0-9]+|exit status \d+",
    "step": r"reading|finding faces|aligning faces|embedding faces|cloaking|measuring|writing"
    r"|looking into it",
    "system": r"[^<>{}\[\]\"'*=]+",
    "source": r".+",
}


def is_listed(reason: str) -> bool:
    """True if `reason` is in the list, or is several of the list joined by semicolons."""
    return bool(_pattern().fullmatch(reason))


def matches(reason: Reason, text: str) -> bool:
    """True if a text of the manifest is this reason, or begins with it where it is several."""
    return bool(re.match(rf"{_expression(reason)}(?:$|; )", text, re.DOTALL))


@cache
def _pattern() -> re.Pattern[str]:
    one = "|".join(map(_expression, Reason))
    return re.compile(f"(?:{one})(?:; (?:{one}))*", re.DOTALL)


def _expression(reason: Reason) -> str:
    parts = re.split(r"\{(\w+)\}", reason.value)
    return "".join(f"(?:{_FIELDS[p]})" if n % 2 else re.escape(p) for n, p in enumerate(parts))
