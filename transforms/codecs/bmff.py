"""Items of an ISO base media file (ISO/IEC 14496-12), as in HEIF (ISO/IEC 23008-12) and AVIF."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from photoveil.transforms.codecs.errors import DAMAGE, DAMAGED, CodecError

_TOP = {b"ftyp", b"uuid"}  # boxes whose bodies say something
_META = {b"hdlr", b"pitm", b"iloc", b"iinf", b"iref", b"iprp", b"grpl", b"dinf"}
_MOST_EXTENTS = 65_536
_ALPHA = re.compile(rb"aux(?:iliary)?:alpha|auxid:1\0")  # MPEG's name, and HEVC's


@dataclass(frozen=True)
class Property:
    """A property box, header included, and whether a reader must understand it."""

    box: bytes
    essential: bool

    @property
    def kind(self) -> bytes:
        """Type of the box, 4 bytes."""
        return self.box[4:8]


@dataclass(frozen=True)
class Item:
    """A picture or a block of metadata.

    kind: "hvc1", "grid", "Exif", "mime" and others.
    entry: what follows the kind in its infe box (name, content type).
    """

    kind: bytes
    entry: bytes = b"\0"
    data: bytes = b""
    properties: tuple[Property, ...] = ()
    hidden: bool = False


@dataclass(frozen=True)
class Reference:
    """A reference from one item to others.

    kind: "dimg" from a grid to its tiles, "thmb", "auxl", "cdsc" and others.
    """

    kind: bytes
    source: int
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Items that belong together.

    kind: "altr" for alternatives, of which a reader shows the first one that it can.
    number: its own; items and groups are numbered together.
    """

    kind: bytes
    number: int
    members: tuple[int, ...]


@dataclass(frozen=True)
class HeifFile:
    """The items of a file.

    ftyp: that box, header included.
    primary: number of the main picture.
    handler: the hdlr box, header included.
    others: further top-level boxes, as (kind, box with its header).
    """

    ftyp: bytes
    primary: int
    items: dict[int, Item]
    references: tuple[Reference, ...]
    handler: bytes
    others: tuple[tuple[bytes, bytes], ...] = ()
    groups: tuple[Group, ...] = ()

    def derived_from(self, number: int) -> set[int]:
        """Find an item and everything that it is made of: tiles, and the auxiliary alpha plane."""
        found: set[int] = set()
        waiting = [number]
        while waiting:
            one = waiting.pop()
            if one in found:
                continue
            found.add(one)
            for reference in self.references:
                if reference.kind == b"dimg" and reference.source == one:
                    waiting += reference.targets
                alpha = reference.kind == b"auxl" and self.is_alpha(reference.source)
                if alpha and one in reference.targets:
                    waiting.append(reference.source)
        return found

    def is_alpha(self, number: int) -> bool:
        """Return True for an auxiliary picture that is the alpha plane of another."""
        properties = self.items[number].properties if number in self.items else ()
        return any(p.kind == b"auxC" and _ALPHA.search(p.box) for p in properties)


def parse(data: bytes) -> HeifFile:
    """Parse the items of a HEIF or AVIF file.

    Raises:
        CodecError: damaged, cut off, or without pictures as items.
    """
    try:
        return _parse(data)
    except CodecError:
        raise
    except (*DAMAGE, StopIteration) as error:
        raise CodecError(DAMAGED, error) from error


def unread(data: bytes) -> list[bytes]:
    """Find the bytes of a HEIF or AVIF file that belong to no item and to no box with a meaning."""
    found, position = [], 0
    for start, end in [*sorted(_known(data)), (len(data), len(data))]:
        if start > position:
            found.append(data[position:start])
        position = max(position, end)
    return found


def _known(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of items, of boxes with a meaning, and of the headers of all boxes."""
    position = 0
    for kind, body, end in boxes(data):
        yield position, end if kind in _TOP else body
        position = end
        if kind != b"meta":
            continue
        at = body + 4
        inside = {kind: (start, stop) for kind, start, stop in boxes(data, at, end)}
        for inner, start, stop in boxes(data, at, end):
            yield at - 4, stop if inner in _META else start
            at = stop
        for method, extents in _locations(data, *inside[b"iloc"]).values():
            base = inside[b"idat"][0] if method == 1 else 0
            for offset, length in extents:
                yield base + offset, base + offset + length


def build(file: HeifFile) -> bytes:
    """Build a file of these items, with the data of all of them in one mdat box, in their order."""
    meta = _meta(file, 0)
    return (
        file.ftyp
        + _meta(file, len(file.ftyp) + len(meta) + 8)
        + _mdat(file)
        + b"".join(box for _, box in file.others)
    )


def alone(file: HeifFile, number: int) -> HeifFile:
    """Make a file of one picture: the item and what it is made of, with new numbers.

    Readers do not show a main picture that is hidden or auxiliary, so these marks are removed. The
    brand of a tone map is removed because libavif opens no file that has it without a tone map.
    """
    parts = sorted(file.derived_from(number) & file.items.keys())
    names = {part: new for new, part in enumerate(parts, 1)}  # theirs may be too large
    items = {names[part]: file.items[part] for part in parts}
    plain = tuple(p for p in file.items[number].properties if p.kind != b"auxC")
    items[names[number]] = replace(file.items[number], properties=plain, hidden=False)
    references = tuple(
        Reference(r.kind, names[r.source], tuple(names[t] for t in r.targets if t in names))
        for r in file.references
        if r.kind in (b"dimg", b"auxl") and r.source in names and names.keys() & set(r.targets)
    )
    ftyp = without_brand(file.ftyp, b"tmap")
    return HeifFile(ftyp, names[number], items, references, file.handler)


def without_brand(ftyp: bytes, brand: bytes) -> bytes:
    """Remove one of the compatible brands of an `ftyp` box."""
    brands = [ftyp[at : at + 4] for at in range(16, len(ftyp), 4)]
    kept = b"".join(one for one in brands if one != brand)
    return struct.pack(">I", 16 + len(kept)) + ftyp[4:16] + kept


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start of the body, end) of each box, up to the first one that is cut off."""
    end = len(data) if end is None else end
    position = start
    while position + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, position)
        body = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        stop = end if size == 0 else position + size
        if stop > end or stop < body:
            return
        yield kind, body, stop
        position = stop


def _parse(data: bytes) -> HeifFile:
    top = list(boxes(data))
    kinds = [kind for kind, _, _ in top]
    if kinds[:1] != [b"ftyp"] or b"meta" not in kinds:
        raise CodecError(DAMAGED, "no pictures in it")
    _, meta, end = top[kinds.index(b"meta")]
    inside = {kind: (start, stop) for kind, start, stop in boxes(data, meta + 4, end)}
    start, _ = inside[b"pitm"]
    primary = int.from_bytes(data[start + 4 : start + (8 if data[start] else 6)], "big")
    idat = inside.get(b"idat", (0, 0))
    places = _locations(data, *inside[b"iloc"])
    properties = _properties(data, *inside[b"iprp"])
    items = {}
    for number, kind, entry, hidden in _entries(data, *inside[b"iinf"]):
        method, extents = places.get(number, (0, []))
        base = idat[0] if method == 1 else 0
        spans = [(base + offset, length) for offset, length in extents]
        if any(at + length > len(data) for at, length in spans) or method > 1:
            raise CodecError(DAMAGED, "data of an item is missing")
        items[number] = Item(
            kind,
            entry,
            b"".join(data[at : at + length] for at, length in spans),
            tuple(properties.get(number, ())),
            hidden,
        )
    if primary not in items:
        raise CodecError(DAMAGED, "no main picture")
    start, stop = inside[b"hdlr"]
    others = tuple((kind, data[body - 8 : stop]) for kind, body, stop in top if kind == b"uuid")
    references = tuple(_references(data, *inside[b"iref"])) if b"iref" in inside else ()
    groups = tuple(_groups(data, *inside[b"grpl"])) if b"grpl" in inside else ()
    handler = data[start - 8 : stop]
    return HeifFile(data[: top[0][2]], primary, items, references, handler, others, groups)


def _locations(data: bytes, at: int, end: int) -> dict[int, tuple[int, list[tuple[int, int]]]]:
    """Read an iloc box.

    Returns:
        By number of an item: its construction method, and (offset, length) of each extent.
    """
    version, sizes, base_index = data[at], data[at + 4], data[at + 5]
    offset_size, length_size = sizes >> 4, sizes & 15
    base_size, index_size = base_index >> 4, base_index & 15 if version else 0
    wide = 4 if version == 2 else 2
    position = at + 6

    def take(size: int) -> int:
        nonlocal position
        position += size
        if position > end:
            raise CodecError(DAMAGED, "iloc")
        return int.from_bytes(data[position - size : position], "big")

    places = {}
    for _ in range(take(wide)):
        number = take(wide)
        method = take(2) & 15 if version else 0
        take(2)  # data reference
        base, count = take(base_size), take(2)
        if count > _MOST_EXTENTS:
            raise CodecError(DAMAGED, "iloc")
        extents = []
        for _ in range(count):
            take(index_size)
            offset = take(offset_size)
            extents.append((base + offset, take(length_size)))
        places[number] = (method, extents)
    return places


def _entries(data: bytes, at: int, end: int) -> Iterator[tuple[int, bytes, bytes, bool]]:
    """Yield number, kind, rest of the entry and whether it is hidden, of each entry of iinf."""
    first = at + (8 if data[at] else 6)
    for kind, start, stop in boxes(data, first, end):
        if kind != b"infe" or data[start] < 2:
            continue
        size = 4 if data[start] == 3 else 2
        number = int.from_bytes(data[start + 4 : start + 4 + size], "big")
        body = start + 4 + size + 2
        yield number, data[body : body + 4], data[body + 4 : stop], bool(data[start + 3] & 1)


def _properties(data: bytes, at: int, end: int) -> dict[int, list[Property]]:
    inside = {kind: (start, stop) for kind, start, stop in boxes(data, at, end)}
    start, stop = inside[b"ipco"]
    known = [data[body - 8 : to] for _, body, to in boxes(data, start, stop)]
    start, stop = inside[b"ipma"]
    version, wide = data[start], data[start + 3] & 1
    (count,) = struct.unpack_from(">I", data, start + 4)
    position = start + 8
    found: dict[int, list[Property]] = {}
    number_size, index_size = (4 if version else 2), (2 if wide else 1)
    for _ in range(count):
        number = int.from_bytes(data[position : position + number_size], "big")
        position += number_size
        entries = data[position]
        position += 1
        essential_bit = 0x8000 if wide else 0x80
        for _ in range(entries):
            value = int.from_bytes(data[position : position + index_size], "big")
            position += index_size
            index = value & (essential_bit - 1)
            if index:
                found.setdefault(number, []).append(
                    Property(known[index - 1], bool(value & essential_bit))
                )
        if position > stop:
            raise CodecError(DAMAGED, "ipma")
    return found


def _references(data: bytes, at: int, end: int) -> Iterator[Reference]:
    size = 4 if data[at] else 2
    for kind, start, stop in boxes(data, at + 4, end):
        numbers = [
            int.from_bytes(data[p : p + size], "big")
            for p in (start, *range(start + size + 2, stop - size + 1, size))
        ]
        yield Reference(kind, numbers[0], tuple(numbers[1:]))


def _groups(data: bytes, at: int, end: int) -> Iterator[Group]:
    for kind, start, stop in boxes(data, at, end):
        number, count = struct.unpack_from(">II", data, start + 4)
        if count <= (stop - start - 12) // 4:
            yield Group(kind, number, struct.unpack_from(f">{count}I", data, start + 12))


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _full_box(kind: bytes, body: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags) + body)


def _mdat(file: HeifFile) -> bytes:
    return _box(b"mdat", b"".join(item.data for item in file.items.values()))


def _meta(file: HeifFile, data_at: int) -> bytes:
    known: list[bytes] = []
    links, places, entries = [], [], []
    for number, item in file.items.items():
        body = struct.pack(">HH4s", number, 0, item.kind) + item.entry
        entries.append(_full_box(b"infe", body, 2, int(item.hidden)))
        places.append(struct.pack(">HHHII", number, 0, 1, data_at, len(item.data)))
        data_at += len(item.data)
        indices = []
        for one in item.properties:
            if one.box not in known:
                known.append(one.box)
            indices.append(known.index(one.box) + 1 | (0x8000 if one.essential else 0))
        if indices:
            links.append(struct.pack(f">HB{len(indices)}H", number, len(indices), *indices))
    references = [
        _box(
            one.kind,
            struct.pack(f">HH{len(one.targets)}H", one.source, len(one.targets), *one.targets),
        )
        for one in file.references
    ]
    groups = [
        _full_box(
            one.kind,
            struct.pack(f">II{len(one.members)}I", one.number, len(one.members), *one.members),
        )
        for one in file.groups
    ]
    count = len(file.items)
    return _full_box(
        b"meta",
        file.handler
        + _full_box(b"pitm", struct.pack(">H", file.primary))
        + _full_box(b"iloc", b"\x44\0" + struct.pack(">H", count) + b"".join(places))
        + _full_box(b"iinf", struct.pack(">H", count) + b"".join(entries))
        + (_full_box(b"iref", b"".join(references)) if references else b"")
        + _box(
            b"iprp",
            _box(b"ipco", b"".join(known))
            + _full_box(b"ipma", struct.pack(">I", len(links)) + b"".join(links), 0, 1),
        )
        + (_box(b"grpl", b"".join(groups)) if groups else b""),
    )
