"""A photo that shows nobody to cloak, without what its file holds beside it that shows somebody."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from photoveil.transforms.codecs import CodecError
from photoveil.transforms.codecs.photo import NO_LIMIT
from photoveil.transforms.leaks.framing import View, is_flat
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import EmbeddedKind, Leak


def stripped(
    data: bytes, inside: Sequence[Leak], rebuild_thumbnails: bool, limits: ReadLimits
) -> tuple[bytes, tuple[str, ...]]:
    """The file with the same pixels, and what was done.

    Where a video is all that has to go, all else stays byte for byte. Otherwise every other picture
    of the file goes as in a cloaked one, also those that show nobody: the containers tell of them
    together.

    Args:
        inside: why, as `transforms.leaks.clean_faces.inside` found it.

    Raises:
        CodecError: it cannot be written without them; the message says why.
    """
    if not inside:
        return data, ()
    if all(one.what == EmbeddedKind.VIDEO for one in inside):
        still, notes = codec_process.without_video(data, limits)
        left = notes and any(
            one.what == EmbeddedKind.VIDEO for one in codec_process.hidden(still, limits)
        )
        if notes and not left and _shows_the_same(data, still, limits):
            return still, notes
    coded = codec_process.alone(data, rebuild_thumbnails, limits)
    _check(data, coded.data, limits)
    return coded.data, (*coded.notes, *dict.fromkeys(_note(one) for one in inside))


def _note(one: Leak) -> str:
    """Without the place: the notes of one archive should not be all different."""
    if one.what == EmbeddedKind.OTHER_FACE:
        return "another picture in the file showed a face"
    return f"{one.what} in the file could not be searched for faces"


def _check(before: bytes, after: bytes, limits: ReadLimits) -> None:
    if not _shows_the_same(before, after, limits):
        raise CodecError(Reason.NOT_ALONE, "the pixels are not the same")
    view = View(codec_process.decode(after, NO_LIMIT, limits).pixels)
    for one in codec_process.hidden(after, limits):
        if one.pixels is None or not (is_flat(one.pixels) or view.framed(one.pixels)):
            raise CodecError(Reason.NOT_ALONE, one.where)


def _shows_the_same(before: bytes, after: bytes, limits: ReadLimits) -> bool:
    """True if both files decode to the same pixels; False if what was written cannot be decoded.

    The latter happens to a HEIC: boxes behind its video are at other places without it.
    """
    old = codec_process.decode(before, NO_LIMIT, limits).pixels
    try:
        return np.array_equal(old, codec_process.decode(after, NO_LIMIT, limits).pixels)
    except CodecError:
        return False
