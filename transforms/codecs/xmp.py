"""XMP packets (ISO 16684-1): pictures in them as base64 text, and who is named in them."""

from __future__ import annotations

import re

from transforms.codecs import carve

# What is a picture or a depth map by the name of its property, whatever its coding.
_NAMED = re.compile(
    rb"((?:xmpGImg:image|GImage:Data|GDepth:(?:Data|Image|Confidence))(?:=[\"']|>))[^<\"']+"
)
_MOTION = re.compile(rb"((?:MotionPhoto|MicroVideo)(?:=[\"']|>))1")


def without_pictures(packet: bytes) -> tuple[bytes, bool]:
    """The packet with its pictures emptied, and whether there was one."""
    emptied, count = _NAMED.subn(rb"\1", packet)
    runs = list(carve.base64_pictures(emptied))
    for run in reversed(runs):
        emptied = emptied[: run.start] + emptied[run.end :]
    return emptied, count + len(runs) > 0


def blank_pictures(packet: bytes) -> tuple[bytes, bool]:
    """As `without_pictures`, the packet filled up with spaces to its old length."""
    emptied, found = without_pictures(packet)
    end = emptied.rfind(b"<?xpacket end")
    at = len(emptied) if end < 0 else end
    return emptied[:at] + b" " * (len(packet) - len(emptied)) + emptied[at:], found


def without_motion(packet: bytes) -> bytes:
    """The packet no longer says that a video follows the picture; its length stays."""
    return _MOTION.sub(rb"\g<1>0", packet)
