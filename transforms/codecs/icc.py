"""Colour profiles (ICC.1): numbers, texts and tables, in which no picture belongs."""

from __future__ import annotations

from photoveil.transforms.codecs import carve

_HEAD = 128  # bytes; the first four tell the profile's size


def without_pictures(profile: bytes) -> tuple[bytes, bool]:
    """Remove pictures from a profile, and bytes behind its end.

    Tables of numbers may look like the beginning of a picture, so only a complete one counts.

    Returns:
        The profile, and whether anything was removed.
    """
    size = int.from_bytes(profile[:4], "big")
    clean = profile
    if _HEAD <= size < len(profile) and profile[size:].strip(b"\0"):
        clean = profile[:size]
    block = bytearray(clean)
    for found in (*carve.pictures(clean), *carve.coded_pictures(clean)):
        if found.is_sure:
            block[found.start : found.end] = bytes(found.end - found.start)
    return bytes(block), bytes(block) != profile
