"""What goes in and out of a codec."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from transforms.codecs.errors import DAMAGE, CodecError
from transforms.codecs.orientation import read_orientation, upright

NO_CREDENTIALS = "content credentials (C2PA) removed: they vouch for the original"  # a note
NO_LIMIT = 1 << 62  # pixels, where `decode` has checked the size already


@dataclass(frozen=True)
class DecodedPhoto:
    """pixels: uint8 (H, W, 3) RGB, upright. orientation: EXIF, 1..8."""

    format: str
    pixels: np.ndarray
    orientation: int


@dataclass(frozen=True)
class EncodedPhoto:
    """data: the new file. notes: what else than the face was rebuilt or removed, in plain words."""

    data: bytes
    notes: tuple[str, ...]


def open_image(data: bytes, formats: tuple[str, ...], max_pixels: int) -> Image.Image:
    """A fully loaded Pillow image in stored orientation.

    Raises:
        CodecError: damaged, cut off, or larger than `max_pixels`.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
        width, height = image.size
        if width * height > max_pixels:
            raise CodecError(
                f"{width} x {height} pixels are more than the limit of "
                f"{max_pixels / 1e6:g} megapixels (limits.max_megapixels)"
            )
        image.load()
    except CodecError:
        raise
    except DAMAGE as error:
        raise CodecError(f"damaged or cut off ({error})") from error
    return image


def decoded(image: Image.Image, name: str, rgb: np.ndarray) -> DecodedPhoto:
    """`image` with its stored uint8 (H, W, 3) pixels turned upright."""
    orientation = read_orientation(image)
    return DecodedPhoto(name, np.ascontiguousarray(upright(rgb, orientation)), orientation)


def with_change(
    pixels: np.ndarray, change: np.ndarray, colours: int = 3, depth: int = 8
) -> np.ndarray:
    """`pixels` with a luminance change added to their colours, of the same type.

    Args:
        pixels: unsigned (H, W) or (H, W, channels), 0 to 2**depth - 1.
        change: float32 (H, W), in levels of 8 bits.
        colours: how many of the first channels are colours; alpha and the like stay.
    """
    most = (1 << depth) - 1
    layers = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    scaled = change[..., np.newaxis] * np.float32(most / 255)
    changed = layers.copy()
    changed[..., :colours] = np.clip(np.rint(layers[..., :colours] + scaled), 0, most)
    return changed.reshape(pixels.shape)
