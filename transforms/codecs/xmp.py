"""Pictures inside XMP packets, as base64 text: thumbnails, originals, depth maps."""

from __future__ import annotations

import re

# A picture by the name of its property, or by how base64 of a JPEG, PNG, GIF or RIFF begins.
_PICTURE = re.compile(
    rb"(<xmpGImg:image>|xmpGImg:image=[\"'])[^<\"']+"
    rb"|([\"'>]\s*)(?:/9j/|iVBORw0KGgo|R0lGOD|UklGR)[^<\"']+"
)
_PICTURE_NAMES = re.compile(rb"GImage:Data|GDepth:Data|GDepth:Image")


def without_pictures(packet: bytes) -> tuple[bytes, bool]:
    """The packet with its pictures emptied, and whether there was one."""
    emptied, count = _PICTURE.subn(rb"\1\2", packet)
    return emptied, count > 0


def holds_picture(packet: bytes) -> bool:
    """True where a packet, whole or not, has a picture in it."""
    return bool(_PICTURE_NAMES.search(packet) or _PICTURE.search(packet))
