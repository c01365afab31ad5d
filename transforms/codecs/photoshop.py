"""Photoshop image resources (Adobe Photoshop File Formats Specification).

They are 8BIM blocks, which JPEG keeps in APP13 and TIFF in tag 34377.
"""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from photoveil.transforms.codecs import carve, exif, xmp

REBUILT = "Photoshop thumbnail rebuilt"  # the note that says so

_THUMBNAIL, _OLD_THUMBNAIL = 0x040C, 0x0409  # the old one has red and blue the other way round
_THUMBNAIL_HEAD, _THUMBNAIL_SIZE = 28, 20  # bytes before its JPEG, and where its length stands
_XMP = 0x0424


def without_pictures(
    resources: bytes, cloaked: Image.Image | None = None
) -> tuple[bytes, list[str]]:
    """Remove every picture of the uncloaked photo from the resources.

    Pictures in an XMP packet are emptied, and any other picture (such as IPTC's preview, dataset
    2:202) is blanked in place.

    Args:
        resources: the blocks.
        cloaked: the photo in stored orientation, from which the thumbnail is rebuilt; None to
            remove it.

    Returns:
        The blocks, and what was done.
    """
    kept, notes = [], []
    for number, head, body in _resources(resources):
        if number in (_THUMBNAIL, _OLD_THUMBNAIL):
            old = body[_THUMBNAIL_HEAD:]
            new = (
                cloaked and number == _THUMBNAIL and exif.fitting_thumbnail(old, cloaked, len(old))
            )
            notes.append(REBUILT if new else "Photoshop thumbnail removed")
            if new:
                size = len(new).to_bytes(4, "big")
                start = body[:_THUMBNAIL_SIZE] + size + body[_THUMBNAIL_SIZE + 4 : _THUMBNAIL_HEAD]
                # As large as it was: in a TIFF it cannot be smaller.
                kept += [head, (start + new).ljust(len(body), b"\0"), b"\0" * (len(body) % 2)]
            continue
        packet, emptied = xmp.without_pictures(body) if number == _XMP else (body, False)
        blanked, found = carve.blanked(packet)
        if emptied or found:
            notes.append("picture in a Photoshop resource removed")
        kept.append(head[:-4] + len(blanked).to_bytes(4, "big") + blanked if head else blanked)
        if head and len(blanked) % 2:
            kept.append(b"\0")
    return b"".join(kept) if notes else resources, notes


def _resources(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield (number, header with the size in its last 4 bytes, body) of each block.

    What is not a block comes last, as number 0 without header.
    """
    position = 0
    while data[position : position + 4] == b"8BIM" and position + 12 <= len(data):
        number = int.from_bytes(data[position + 4 : position + 6], "big")
        name = 1 + data[position + 6]
        body_at = position + 6 + name + name % 2 + 4
        size = int.from_bytes(data[body_at - 4 : body_at], "big")
        yield number, data[position:body_at], data[body_at : body_at + size]
        position = body_at + size + size % 2
    if position < len(data):
        yield 0, b"", data[position:]
