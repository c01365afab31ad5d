"""What the codecs take and return."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile

from photoveil.transforms.codecs.change import PhotoChange, kept_off, moved_planes
from photoveil.transforms.codecs.errors import CodecError, explained
from photoveil.transforms.codecs.orientation import Orientation, upright
from photoveil.transforms.reasons import Reason

NO_CREDENTIALS = "content credentials (C2PA) removed: they vouch for the original"  # a note
NO_LIMIT = 1 << 62  # pixels, where `decode` has checked the size already


@dataclass(frozen=True)
class DecodedPhoto:
    """The visible part of a photo.

    pixels: uint8 (H, W, 3) RGB, as most viewers show them.
    orientation: by which they are turned from what is stored, 1..8.
    others: orientations by which some programs turn it otherwise.
    """

    format: str
    pixels: np.ndarray
    orientation: int
    others: tuple[int, ...] = ()

    @property
    def turns(self) -> tuple[int, ...]:
        """Orientations that turn `pixels` to what other programs show."""
        return Orientation(self.orientation, self.others).turns


@dataclass(frozen=True)
class EncodedPhoto:
    """A new file.

    notes: what was rebuilt or removed besides the change of the faces, in plain words.
    """

    data: bytes
    notes: tuple[str, ...]


def open_image(data: bytes, formats: tuple[str, ...], max_pixels: int) -> Image.Image:
    """Load a Pillow image in stored orientation.

    Raises:
        CodecError: damaged, cut off, or with more pixels than `max_pixels`.
    """
    with explained(Reason.DAMAGED):
        image = opened(data, formats)
        check_size(image.width * image.height, max_pixels)
        image.load()
    return image


def opened(data: bytes, formats: tuple[str, ...] | None = None) -> Image.Image:
    """Open a Pillow image without loading its pixels.

    Raises:
        DAMAGE: it is not a picture.
    """
    image = Image.open(io.BytesIO(data), formats=formats)
    # Pillow hands a file to its decoder in blocks of 64 KiB, and libjpeg can stop at the end of
    # one only where the coding is Huffman's, not where it is arithmetic.
    image.decodermaxblock = max(len(data), ImageFile.MAXBLOCK)
    return image


def check_size(pixels: int, most: int) -> None:
    """Refuse a picture with more pixels than the limit.

    Raises:
        CodecError: it has more.
    """
    if pixels > most:
        raise CodecError(Reason.TOO_MANY_PIXELS.of(pixels / 1e6, most / 1e6))


def decoded(name: str, rgb: np.ndarray, found: Orientation) -> DecodedPhoto:
    """Turn stored pixels, uint8 (H, W, 3), to the photo as it is seen."""
    seen = np.ascontiguousarray(upright(rgb, found.shown))
    return DecodedPhoto(name, seen, found.shown, found.others)


def with_change(
    pixels: np.ndarray,
    change: PhotoChange,
    colours: int = 3,
    depth: int = 8,
    moving: int | None = None,
    hidden: np.ndarray | None = None,
) -> np.ndarray:
    """Apply a change to pixels; where it is 0 they stay exactly the same.

    Args:
        pixels: unsigned (H, W) or (H, W, channels), 0 to 2**depth - 1.
        change: of a photo of this size.
        colours: how many of the first channels take the change's levels.
        depth: bits of a channel.
        moving: how many of the first channels move; None for as many as `colours`. Alpha and the
            like stay.
        hidden: bool (H, W), pixels that are fully transparent; None without any. See
            `change.kept_off`.

    Returns:
        Pixels of the same shape and type.

    Raises:
        ValueError: the change is of another size.
    """
    if pixels.shape[:2] != change.shape:
        raise ValueError(f"a change of {change.shape} for pixels of {pixels.shape}")
    most = (1 << depth) - 1
    layers = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    changed = layers.copy()
    for patch in change.patches:
        nearest = None
        if hidden is not None:
            patch, nearest = kept_off(patch, hidden)
        levels = patch.levels * np.float32(most / 255)
        count = min(moving or colours, layers.shape[2])
        planes = [layers[..., channel] for channel in range(count)]
        for channel, values in enumerate(moved_planes(planes, patch, nearest)):
            if channel < colours:
                values += levels
            changed[patch.rows, patch.columns, channel] = np.clip(np.rint(values), 0, most)
    return changed.reshape(pixels.shape)


def with_key(before: np.ndarray, after: np.ndarray, key: tuple[int, ...] | None) -> np.ndarray:
    """Give `after` the same transparent pixels as `before`.

    Args:
        before, after: uint8 or uint16 (H, W) or (H, W, n).
        key: the grey or colour that stands for transparent; None without one.
    """
    if key is None:
        return after
    colour = np.array(key, before.dtype)
    shape = (*before.shape[:2], len(key))
    old, new = before.reshape(shape), after.reshape(shape).copy()
    was = (old == colour).all(axis=2)
    new[was] = colour
    # One level beside the key, on the side where the channel that differs most comes from.
    rows, columns = np.nonzero((new == colour).all(axis=2) & ~was)
    differs = old[rows, columns].astype(np.int32) - colour
    channel = np.abs(differs).argmax(axis=1)
    step = np.sign(differs[np.arange(len(channel)), channel])
    new[rows, columns, channel] = (colour[channel] + step).astype(before.dtype)
    return new.reshape(after.shape)
