"""A small picture of a photo for a person to look at. Runs in the codec process."""

from __future__ import annotations

import io
import math

from PIL import Image, ImageOps

from photoveil.transforms import codecs

_WHOLE = (0.0, 0.0, 1.0, 1.0)
_QUALITY = 82  # of the WebP


def preview(
    data: bytes,
    side: int,
    max_pixels: int,
    box: tuple[float, float, float, float] = _WHOLE,
) -> bytes:
    """Draw a photo, or a part of it, small and upright.

    A JPEG is decoded at the coarsest scale that suffices, as that takes a tenth of the time.

    Args:
        data: the photo's file. side: the longer side of the picture in pixels, at most.
        max_pixels: of a photo that is decoded whole.
        box: left, top, right and bottom of the part, as shares of the upright photo's sides.

    Returns:
        A WebP with the photo's colour profile and no other metadata.

    Raises:
        codecs.CodecError: it cannot be decoded.
    """
    image = _decoded(data, _needed(side, box), max_pixels)
    width, height = image.size
    left, top, right, bottom = box
    if box != _WHOLE:
        image = image.crop(
            (
                math.floor(max(left, 0) * width),
                math.floor(max(top, 0) * height),
                math.ceil(min(right, 1) * width),
                math.ceil(min(bottom, 1) * height),
            )
        )
    profile = image.info.get("icc_profile")
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2)
    out = io.BytesIO()
    more = {"icc_profile": profile} if profile and image.mode == "RGB" else {}
    image.convert("RGB").save(out, "WEBP", quality=_QUALITY, method=2, **more)
    return out.getvalue()


def _needed(side: int, box: tuple[float, float, float, float]) -> int:
    """Return the pixels that the whole photo's shorter side must have for a part of `side`."""
    left, top, right, bottom = box
    share = max(min(right - left, 1.0), min(bottom - top, 1.0), 0.001)
    return math.ceil(side / share)


def _decoded(data: bytes, needed: int, max_pixels: int) -> Image.Image:
    if data.startswith(b"\xff\xd8"):
        try:
            with Image.open(io.BytesIO(data)) as image:
                image.draft(None, (needed, needed))
                return ImageOps.exif_transpose(image)
        except (OSError, ValueError, SyntaxError):
            pass  # the codecs read some that Pillow alone does not
    return Image.fromarray(codecs.decode(data, max_pixels).pixels)
