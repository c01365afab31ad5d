"""The codecs, but for photos that say after their end how they kill the process that opens them."""

from __future__ import annotations

import ctypes
import os
import signal

import numpy as np

from photoveil.transforms import codecs
from photoveil.transforms.codecs import (
    DecodedPhoto,
    EncodedPhoto,
    alone,
    oddities,
    without_names,
    without_video,
)
from photoveil.transforms.leaks import embedded_images
from photoveil.transforms.records import EmbeddedPicture

__all__ = ["alone", "decode", "encode", "hidden", "oddities", "without_names", "without_video"]


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    _die(data)
    return codecs.decode(data, max_pixels)


def hidden(data: bytes) -> list[EmbeddedPicture]:
    if data.endswith(b"carving."):
        _die(b"segfault")
    return embedded_images.hidden(data)


def _die(data: bytes) -> None:
    how = data[-8:].lstrip(b".")
    if how == b"segfault":
        ctypes.string_at(0)
    elif how == b"hang":
        ctypes.CDLL(None).select(0, None, None, None, None)  # in C, where no Python signal comes
    elif how == b"memory":
        np.ones(2_000_000_000, np.uint8)
    elif how == b"killed":
        os.kill(os.getpid(), signal.SIGKILL)


def encode(data: bytes, change: codecs.PhotoChange, rebuild_thumbnails: bool) -> EncodedPhoto:
    if data.endswith(b"encoding"):
        ctypes.string_at(0)
    return codecs.encode(data, change, rebuild_thumbnails)
