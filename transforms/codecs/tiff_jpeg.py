"""JPEG in TIFF (TIFF Technical Note 2, compression 7).

Each strip or tile is a JPEG of its own, except for tables that the page's tag JPEGTables holds for
all. As in a JPEG file, only the coefficients under the cloak change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from photoveil.transforms.codecs import jpeg, segments
from photoveil.transforms.codecs.change import PhotoChange
from photoveil.transforms.codecs.errors import CodecError, UnsupportedFormat
from photoveil.transforms.reasons import Reason

_BASELINE, _EXTENDED = 0xC0, 0xC1


def changed(
    parts: Sequence[bytes], tables: bytes, changes: Mapping[int, Sequence[PhotoChange]]
) -> dict[int, bytes]:
    """Return the strips or tiles to rewrite, by their number.

    Those that rely on the shared Huffman tables keep them. If these lack a code for a new
    coefficient, all strips or tiles get tables of their own, not only the changed ones: libtiff
    continues with the tables of the one that it read last.

    Args:
        parts: all strips or tiles of a page.
        tables: the tag JPEGTables, or nothing.
        changes: by number, of the first components; see `jpeg.with_changes`.

    Raises:
        UnsupportedFormat: progressive, lossless or arithmetic.
        CodecError: damaged.
    """
    shared = segments.split(tables)[0] if tables else []
    bodies = [segments.split(part)[0] if part else [] for part in parts]
    for body in bodies:
        if {s.marker for s in body} & segments.FRAMES - {_BASELINE, _EXTENDED}:
            raise UnsupportedFormat(Reason.TIFF_JPEG_CODING)
    own_tables = all(any(s.marker == segments.DHT for s in body) for body in bodies if body)
    try:
        coded = {n: _coded(shared, bodies[n], one, own_tables) for n, one in changes.items()}
    except jpeg.NoCode:
        everywhere = {n: changes.get(n, []) for n, body in enumerate(bodies) if body}
        coded = {n: _coded(shared, bodies[n], one, True) for n, one in everywhere.items()}
    for n, body in enumerate(bodies):
        if n not in coded and any(map(_may_show, body)):
            coded[n] = segments.join([s for s in body if not _may_show(s)])
    return coded


def _coded(
    shared: list[segments.Segment],
    body: list[segments.Segment],
    changes: Sequence[PhotoChange],
    own_tables: bool,
) -> bytes:
    if not body:
        raise CodecError(Reason.DAMAGED, "a strip or tile is empty")
    coded = segments.split(jpeg.with_changes(shared + body, changes, own_tables))[0]
    new = {segments.SOS, segments.DHT} if own_tables else {segments.SOS}
    kept = [s for s in body if s.marker not in new and not _may_show(s)]
    return segments.join(kept + [s for s in coded if s.marker in new])


def _may_show(segment: segments.Segment) -> bool:
    """Return True for metadata that may hold a picture."""
    return segment.is_metadata and jpeg.begins_picture(segment.payload)
