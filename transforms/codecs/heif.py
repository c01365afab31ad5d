"""HEIC and AVIF: the picture is re-encoded, the metadata items and colour boxes are carried over.

Thumbnails are rebuilt from it, and a gain map is smoothed under the cloaks (`gainmap`). Everything
else that shows the photo (depth and other auxiliary pictures, an appended video) is left out, with
the metadata that announces it. HEIC needs the extra `heif`, because patents keep it out of the
other libraries.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from photoveil.transforms.codecs import (
    bmff,
    carve,
    exif,
    gainmap,
    loss,
    orientation,
    rate,
    rests,
    xmp,
)
from photoveil.transforms.codecs.bmff import Group, HeifFile, Item, Property, Reference
from photoveil.transforms.codecs.change import PhotoChange
from photoveil.transforms.codecs.errors import DAMAGE, CodecError, MissingPackage, UnsupportedFormat
from photoveil.transforms.codecs.orientation import Orientation, as_stored
from photoveil.transforms.codecs.photo import (
    NO_CREDENTIALS,
    NO_LIMIT,
    DecodedPhoto,
    EncodedPhoto,
    check_size,
    decoded,
    with_change,
)
from photoveil.transforms.reasons import Reason

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"miaf"}
_HEVC, _AV1 = b"hvc1", b"av01"
# Properties of a picture that say how it is shown, not how it is coded; they are carried over.
_SHOWN = {b"pasp", b"clli", b"mdcv", b"cclv", b"amve", b"udes", b"taic", b"itai", b"irot", b"imir"}
_TURNED = {b"irot", b"imir"}
_QUARTERS = {0: 1, 1: 8, 2: 3, 3: 6}  # of a turn, anticlockwise: as an orientation
_CHROMA = {0: "400", 1: "420", 2: "422", 3: "444"}
_CICP_DEFAULT = (1, 13, 6, 1)  # sRGB, as libheif takes a picture that does not say
_CICP_BY_PROFILE = (2, 2, 6, 1)  # the ICC profile says primaries and transfer
_CICP_NAMES = (
    "color_primaries",
    "transfer_characteristics",
    "matrix_coefficients",
    "full_range_flag",
)
_XMP_TYPE = b"application/rdf+xml"
_CONTENT_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_GAIN_MAP_TYPE = re.compile(rb"urn:com:apple:photo:2020:aux:hdrgainmap\0")


def kind(head: bytes) -> str | None:
    """Recognise "HEIC" or "AVIF" by the brands in these first bytes; None for anything else."""
    if head[4:8] != b"ftyp":
        return None
    size = min(len(head), int.from_bytes(head[:4], "big"))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))]
    if brands[0] not in _AVIF_BRANDS | _HEIC_BRANDS:
        return None
    return "AVIF" if _AVIF_BRANDS & set(brands) else "HEIC"


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    file = _opened(data, max_pixels)
    pixels, depth = _decoded(data, file)
    rgb = _rgb(pixels)
    if depth > 8:
        rgb = (rgb >> (depth - 8)).astype(np.uint8)
    name = "AVIF" if _coding(file) == _AV1 else "HEIC"
    return decoded(name, rgb, _orientation(file))


def encode(
    data: bytes, change: PhotoChange | None, rebuild_thumbnails: bool = True
) -> EncodedPhoto:
    """See `transforms.codecs.encode` and `transforms.codecs.alone`.

    The picture is encoded with its depth and chroma sampling, in about as many bytes as it had, or
    in more if it would lose too much. All tiles of a grid are encoded, because they share one
    decoder configuration, which another encoder's tiles would not fit.
    """
    file = _opened(data, NO_LIMIT)
    pixels, depth = _decoded(data, file)
    new = bmff.alone(file, file.primary)
    notes: list[str] = []
    light: _GainMap | None = None
    if change is not None:
        stored_change = change.stored(_orientation(file).shown)
        channels = np.atleast_3d(pixels).shape[2]
        colours = 3 if channels >= 3 else 1
        hidden = pixels[..., colours] == 0 if channels > colours else None
        pixels = with_change(pixels, stored_change, colours, depth, hidden=hidden)
        new = _encoded(pixels, depth, file, stored_change.touched, notes)
        light = _gain_map(file, change, notes) if rebuild_thumbnails else None
    shown = _shown(pixels, depth)
    result = _spliced(file, new, shown if rebuild_thumbnails else None, light, notes)
    if any(map(rests.may_show, unread(data))):
        notes.append("data that belong to no picture removed")
    boxes = list(bmff.boxes(data))
    others = {kind for kind, _, _ in boxes} - {b"ftyp", b"meta", b"mdat", b"free", b"uuid"}
    if others or data[boxes[-1][2] :].strip(b"\0"):
        notes.append("data after the image removed")
    return EncodedPhoto(bmff.build(result), tuple(dict.fromkeys(notes)))


def unread(data: bytes) -> list[bytes]:
    """See `transforms.codecs.unread`."""
    return bmff.unread(data)


def _encoded(
    pixels: np.ndarray, depth: int, file: HeifFile, changed: np.ndarray, notes: list[str]
) -> HeifFile:
    """Encode pixels in the coding of a file.

    Args:
        pixels: unsigned (H, W[, channels]) in stored orientation.
        depth: bits of a colour.
        file: whose coding, tiles and size count.
        changed: bool (H, W), True under the cloak.
        notes: appended to if the picture lost or grew much.
    """
    write = _avif if _coding(file) == _AV1 else _heic
    size = _picture_size(file)

    def error(data: bytes) -> float:
        return loss.error(pixels, _decoded(data, bmff.parse(data))[0], changed, depth)

    data, lost = rate.bounded(
        lambda quality: write(pixels, depth, quality, file, _tile_size(file)),
        lambda data: _picture_size(bmff.parse(data)),
        size,
        error,
    )
    new = bmff.parse(data)
    if lost > 1:
        notes.append(loss.LOST)
    elif _picture_size(new) > loss.WORTH_A_NOTE * size:
        notes.append(loss.GREW)
    return new


def _as_large(
    pixels: np.ndarray, depth: int, file: HeifFile, tile_size: int, size: int
) -> HeifFile:
    """Encode pixels in the coding of a file, in about `size` bytes."""
    write = _avif if _coding(file) == _AV1 else _heic
    return rate.matched(
        lambda quality: bmff.parse(write(pixels, depth, quality, file, tile_size)),
        _picture_size,
        size,
    )


def _shown(pixels: np.ndarray, depth: int) -> Image.Image:
    """Return a picture of the pixels in 8 bits, without alpha, in stored orientation."""
    if depth > 8:
        pixels = (pixels >> (depth - 8)).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(_rgb(pixels)))


def without_video(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """See `transforms.codecs.without_video`."""
    position, kept = 0, []
    for box, _, end in bmff.boxes(data):
        kept.append(b"" if box == b"mpvd" else data[position:end])
        position = end
    still = b"".join(kept) + data[position:]
    return still, ("embedded video removed",) if len(still) < len(data) else ()


def _opened(data: bytes, max_pixels: int) -> HeifFile:
    if b"moov" in _top(data):
        raise UnsupportedFormat(Reason.ANIMATED.of(format=kind(data) or "HEIF"))
    file = bmff.parse(data)
    coding = _coding(file)
    if coding not in (_HEVC, _AV1):
        raise UnsupportedFormat(Reason.OTHER_HEIF_CODING, repr(coding))
    pixels = 0
    for one in file.items[file.primary].properties:
        if one.kind == b"ispe":
            pixels = int.from_bytes(one.box[12:16], "big") * int.from_bytes(one.box[16:20], "big")
        elif one.kind == b"clap" and coding == _AV1:
            raise UnsupportedFormat(Reason.AVIF_APERTURE)
    check_size(pixels, max_pixels)
    return file


def _picture_size(file: HeifFile) -> int:
    """Count the bytes of the main picture or its tiles.

    The alpha plane is left out, because encoders differ in the bytes that they give it.
    """
    made = (n for n in file.derived_from(file.primary) if not file.is_alpha(n))
    return sum(len(file.items[number].data) for number in made)


def _top(data: bytes) -> list[bytes]:
    return [kind for kind, _, _ in bmff.boxes(data)]


def _coding(file: HeifFile) -> bytes:
    """Return the coding of the main picture, or of the tiles that it is made of."""
    kinds = {file.items[n].kind for n in file.derived_from(file.primary) if n in file.items}
    return next((one for one in (_HEVC, _AV1) if one in kinds), file.items[file.primary].kind)


def _decoded(data: bytes, file: HeifFile) -> tuple[np.ndarray, int]:
    """Decode the pixels in stored orientation.

    Returns:
        uint8 or uint16 (H, W[, channels]), and their depth in bits.
    """
    try:
        if _coding(file) == _AV1:
            pixels = imagecodecs.avif_decode(data)
            return pixels, _depth(file)
        image = _pillow_heif().open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
        pixels = np.asarray(image)
        depth = 8 if pixels.dtype == np.uint8 else 16
        return np.ascontiguousarray(as_stored(pixels, _orientation(file).shown)), depth
    except CodecError:
        raise
    except (*DAMAGE, RuntimeError) as error:
        raise CodecError(Reason.DAMAGED, error) from error


def _pillow_heif() -> ModuleType:
    try:
        import pillow_heif
    except ModuleNotFoundError as error:
        raise MissingPackage(Reason.NEEDS_HEIF) from error
    return pillow_heif


def _configuration(file: HeifFile) -> bytes:
    """Return the decoder configuration (body of hvcC or av1C) of the main picture or its tiles."""
    for number in [file.primary, *sorted(file.derived_from(file.primary))]:
        for one in file.items[number].properties:
            if one.kind in (b"hvcC", b"av1C"):
                return one.box[8:]
    raise CodecError(Reason.DAMAGED, "no decoder configuration")


def _depth(file: HeifFile) -> int:
    body = _configuration(file)
    if _coding(file) == _AV1:  # AV1-ISOBMFF 2.3.3: high_bitdepth, twelve_bit
        return 8 + 2 * (body[2] >> 6 & 1) + 2 * (body[2] >> 6 & 1 & body[2] >> 5)
    return 8 + (body[17] & 7)  # ISO/IEC 14496-15, 8.3.3.1.2: bit_depth_luma_minus8


def _chroma(file: HeifFile) -> str:
    body = _configuration(file)
    if _coding(file) == _HEVC:
        return _CHROMA[body[16] & 3]
    if body[2] >> 4 & 1:
        return "400"
    return {3: "420", 2: "422", 0: "444"}[body[2] >> 2 & 3]


def _cicp(file: HeifFile) -> tuple[int, int, int, int] | None:
    """Return primaries, transfer, matrix and full range (ITU-T H.273); None without any."""
    for one in _colours(file):
        if one.box[8:12] == b"nclx":
            primaries, transfer, matrix = (
                int.from_bytes(one.box[at : at + 2], "big") for at in (12, 14, 16)
            )
            return primaries, transfer, matrix, one.box[18] >> 7
    return None


def _has_profile(file: HeifFile) -> bool:
    return any(one.box[8:12] in (b"prof", b"rICC") for one in _colours(file))


def _colours(file: HeifFile) -> list[Property]:
    """Return the colour boxes of the main picture, or of the tiles that it is made of."""
    for number in (file.primary, *sorted(file.derived_from(file.primary))):
        found = [one for one in file.items[number].properties if one.kind == b"colr"]
        if found:
            return found
    return []


def _heic(pixels: np.ndarray, depth: int, quality: int, file: HeifFile, tile_size: int) -> bytes:
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels] + (";16" if depth > 8 else "")
    options: dict[str, Any] = {"chroma": _chroma(file)} if channels > 2 else {}
    cicp = _cicp(file)
    if cicp is None and _has_profile(file):
        cicp = _CICP_BY_PROFILE
    if cicp:
        options |= dict(zip(_CICP_NAMES, cicp, strict=True))
    out = io.BytesIO()
    try:
        _pillow_heif().encode(
            mode,
            (pixels.shape[1], pixels.shape[0]),
            pixels.tobytes(),
            out,
            quality=quality,
            tile_size=tile_size,
            bit_depth=_depth(file) if depth > 8 else 8,
            # At equal bytes as close to the picture as slower ones, in a third of their time.
            enc_params={"preset": "ultrafast"},
            **options,
        )
    except (*DAMAGE, RuntimeError) as error:
        raise CodecError(Reason.NOT_REWRITTEN, error) from error
    return out.getvalue()


def _tile_size(file: HeifFile) -> int:
    """Return the side of the square tiles of a grid; 0 for a picture in one piece."""
    if file.items[file.primary].kind != b"grid":
        return 0
    tile = min(file.derived_from(file.primary) - {file.primary})
    box = next(p.box for p in file.items[tile].properties if p.kind == b"ispe")
    return int.from_bytes(box[12:16], "big")


def _avif(pixels: np.ndarray, depth: int, quality: int, file: HeifFile, tile_size: int) -> bytes:
    otherwise = _CICP_BY_PROFILE if _has_profile(file) else _CICP_DEFAULT
    primaries, transfer, matrix, _ = _cicp(file) or otherwise
    lossless = matrix == 0
    try:
        return bytes(
            imagecodecs.avif_encode(
                pixels,
                100 if lossless else quality,
                speed=8,
                bitspersample=depth,
                pixelformat=_chroma(file),
                primaries=primaries,
                transfer=transfer,
                matrix=matrix,
                numthreads=1,
            )
        )
    except (*DAMAGE, RuntimeError) as error:
        raise CodecError(Reason.NOT_REWRITTEN, error) from error


@dataclass(frozen=True)
class _GainMap:
    """A gain map.

    number: of its item in the old file.
    tone_map: number of the item that joins photo and map (ISO 21496-1); None without one.
    file: the new map as the main picture of a file.
    """

    number: int
    tone_map: int | None
    file: HeifFile


def _gain_map(file: HeifFile, change: PhotoChange, notes: list[str]) -> _GainMap | None:
    """Make the gain map smooth where the photo changes.

    Args:
        file: the old file.
        change: of the upright photo.
        notes: gets what was done.

    Returns:
        None if there is none that can be kept.
    """
    number, tone_map = _gain_map_numbers(file)
    if number is None:
        return None
    try:
        alone = bmff.alone(file, number)
        pixels, depth = _decoded(bmff.build(alone), alone)
        stored = change.stored(_orientation(alone).shown)
        if not gainmap.fits((pixels.shape[0], pixels.shape[1]), stored.shape):
            notes.append("gain map removed: it has other proportions than the photo")
            return None
        where = gainmap.regions(stored.touched)
        layers = pixels.reshape(*pixels.shape[:2], -1).astype(np.float32)
        smooth = [gainmap.smoothed(layers[..., n], where) for n in range(layers.shape[2])]
        most = (1 << depth) - 1
        levels = np.rint(np.stack(smooth, axis=2)).clip(0, most).astype(pixels.dtype)
        size = _picture_size(alone)
        made = _as_large(levels.reshape(pixels.shape), depth, alone, _tile_size(alone), size)
    except CodecError:
        notes.append("gain map removed: it cannot be read")
        return None
    notes.append("gain map rebuilt")
    old, new = file.items[number], made.items[made.primary]
    kept = [p for p in old.properties if p.kind in _TURNED | {b"auxC"}]
    coded = [p for p in new.properties if p.kind not in _TURNED | {b"colr"}]
    colours = [p for p in old.properties if p.kind == b"colr"]
    item = replace(new, properties=(*coded, *colours, *kept), hidden=old.hidden)
    made = replace(made, items={**made.items, made.primary: item})
    return _GainMap(number, tone_map, made)


def _gain_map_numbers(file: HeifFile) -> tuple[int | None, int | None]:
    """Return the numbers of the gain map and of the item that joins it to the photo, or None."""
    main = file.derived_from(file.primary)
    for one in file.references:
        is_join = one.kind == b"dimg" and one.source in file.items
        if is_join and file.items[one.source].kind == b"tmap" and len(one.targets) == 2:
            base, number = one.targets
            if base == file.primary and number in file.items and number not in main:
                return number, one.source
    shows = {r.source for r in file.references if r.kind == b"auxl" and main & {*r.targets}}
    found = (n for n in sorted(shows & file.items.keys()) if _is_gain_map(file, n))
    return next(found, None), None


def _is_gain_map(file: HeifFile, number: int) -> bool:
    return any(
        p.kind == b"auxC" and _GAIN_MAP_TYPE.search(p.box) for p in file.items[number].properties
    )


def _spliced(
    file: HeifFile,
    new: HeifFile,
    shown: Image.Image | None,
    light: _GainMap | None,
    notes: list[str],
) -> HeifFile:
    """Combine the new picture with the metadata and the colour boxes of the old file.

    Args:
        file: the old file.
        new: the new picture as the main one of a file.
        shown: the new picture in stored orientation, for thumbnails; None to leave them out.
        light: the gain map, or None.
        notes: gets what was left out.
    """
    items = {number: new.items[number] for number in sorted(new.derived_from(new.primary))}
    references = [r for r in new.references if r.kind in (b"dimg", b"auxl") and r.source in items]
    items[new.primary] = _as_shown(file, items[new.primary])
    old_made = file.derived_from(file.primary)
    described = {r.source: r.targets for r in file.references if r.kind == b"cdsc"}
    thumbnails = {
        r.source for r in file.references if r.kind == b"thmb" and old_made & {*r.targets}
    }
    fresh = max(items) + 1
    map_parts = file.derived_from(light.number) if light else set()
    map_number, ftyp = 0, bmff.without_brand(file.ftyp, b"tmap")
    groups: tuple[Group, ...] = ()
    if light:
        names = {old: fresh + n for n, old in enumerate(sorted(light.file.items))}
        items |= {names[old]: item for old, item in light.file.items.items()}
        references += [
            Reference(r.kind, names[r.source], tuple(names[t] for t in r.targets))
            for r in light.file.references
            if r.kind == b"dimg"
        ]
        map_number = names[light.file.primary]
        fresh += len(names)
        if _is_gain_map(file, light.number):
            references.append(Reference(b"auxl", map_number, (new.primary,)))
        if light.tone_map is not None:
            map_parts.add(light.tone_map)
            items[fresh] = file.items[light.tone_map]
            references.append(Reference(b"dimg", fresh, (new.primary, map_number)))
            kept = {file.primary: new.primary, light.tone_map: fresh}
            groups = tuple(
                replace(one, number=fresh + 1, members=tuple(kept[n] for n in one.members))
                for one in file.groups
                if one.kind == b"altr" and {*one.members} == kept.keys()
            )
            ftyp = file.ftyp
            fresh += 2
    for number, item in file.items.items():
        if number in old_made or number in map_parts:
            continue
        made = _thumbnail(file, item, shown) if shown and number in thumbnails else None
        if made is not None:
            items[fresh] = made
            references.append(Reference(b"thmb", fresh, (new.primary,)))
            fresh += 1
            notes.append("thumbnail rebuilt")
            continue
        if item.kind not in (b"Exif", b"mime", b"uri "):
            what = "thumbnail" if number in thumbnails else "auxiliary picture"
            notes.append(f"{what} removed")
            continue
        about = set(described.get(number, (file.primary,)))
        if not (old_made | map_parts) & about:
            continue  # it describes a picture that is removed
        items[fresh] = replace(item, data=_cleaned(item, shown, notes), properties=())
        target = new.primary if old_made & about else map_number
        references.append(Reference(b"cdsc", fresh, (target,)))
        fresh += 1
    others = []
    for kind_, box in file.others:
        if box[8:24] == _CONTENT_CREDENTIALS:
            notes.append(NO_CREDENTIALS)
            continue
        blanked, pictures = carve.blanked(box)
        others.append((kind_, blanked))
        notes += [f"picture in {kind_.decode('latin-1')} removed"] if pictures else []
    return HeifFile(
        ftyp, new.primary, items, tuple(references), file.handler, tuple(others), groups
    )


def _as_shown(file: HeifFile, new: Item) -> Item:
    """Give the new picture the old one's properties of colour, rotation and the like."""
    old = file.items[file.primary]
    profile = [p for p in _colours(file) if p.box[8:12] != b"nclx"]
    coded = [p for p in new.properties if p.kind not in _TURNED and p.kind not in _SHOWN]
    coded = [p for p in coded if p.kind != b"colr" or p.box[8:12] == b"nclx"]
    kept = [p for p in old.properties if p.kind in _SHOWN - _TURNED]
    turned = [p for p in old.properties if p.kind in _TURNED]  # which come last, in their order
    return replace(new, properties=(*coded, *profile, *kept, *turned))


def _thumbnail(file: HeifFile, old: Item, shown: Image.Image) -> Item | None:
    """Rebuild a thumbnail at its old size; None for one with a coding of its own."""
    width, height = _size(old)
    if old.kind != _coding(file) or not 0 < width <= shown.width or not 0 < height <= shown.height:
        return None
    small = shown.resize((width, height), Image.Resampling.LANCZOS, None, 3.0)
    pixels = np.asarray(small.convert("L") if _chroma(file) == "400" else small)
    new = _as_large(pixels, 8, file, 0, len(old.data))
    turned = [p for p in old.properties if p.kind in _TURNED]
    coded = [p for p in new.items[new.primary].properties if p.kind not in _TURNED]
    profile = [p for p in _colours(file) if p.box[8:12] != b"nclx"]
    return replace(new.items[new.primary], properties=(*coded, *profile, *turned))


def _size(item: Item) -> tuple[int, int]:
    """Return width and height of what is visible of a picture; encoders pad small ones."""
    boxes = {p.kind: p.box for p in item.properties}
    if clean := boxes.get(b"clap"):
        width, width_of, height, height_of = struct.unpack_from(">4I", clean, 8)
        return width // max(width_of, 1), height // max(height_of, 1)
    return struct.unpack_from(">2I", boxes.get(b"ispe", b"").ljust(20, b"\0"), 12)


def _cleaned(item: Item, shown: Image.Image | None, notes: list[str]) -> bytes:
    data = item.data
    if item.kind == b"Exif":
        start = 4 + int.from_bytes(data[:4], "big")
        tiff, done = exif.cloak_pictures(data[start:], shown)
        notes += done
        return data[:start] + tiff
    if _XMP_TYPE in item.entry:
        packet, found = xmp.without_pictures(data)
        notes += ["XMP thumbnail removed"] if found else []
        return packet
    blanked, pictures = carve.blanked(data)
    notes += ["picture in metadata removed"] if pictures else []
    return blanked


def _rgb(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    return np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]


def _orientation(file: HeifFile) -> Orientation:
    """Read the orientation.

    Most programs apply `irot` and `imir`, in their order, and nothing else. Apple's use EXIF or XMP
    if there is neither, and some ignore all of them for an AVIF.
    """
    shown = 1
    for one in file.items[file.primary].properties:
        if one.kind == b"irot":
            shown = orientation.combined(shown, _QUARTERS[one.box[8] & 3])
        elif one.kind == b"imir":
            shown = orientation.combined(shown, 2 if one.box[8] & 1 else 4)
    others = [1 if _coding(file) == _AV1 else None]
    for number, item in file.items.items():
        if not _describes(file, number):
            continue
        if item.kind == b"Exif":
            tiff = item.data[4 + int.from_bytes(item.data[:4], "big") :]
            others.append(_turning(orientation.in_exif(tiff)[1]))
        elif _XMP_TYPE in item.entry:
            others.append(_turning(orientation.in_xmp(item.data)))
    return orientation.chosen(shown, others)


def _turning(value: int | None) -> int | None:
    """Ignore orientation 1, which converters write beside `irot` for pixels already turned."""
    return None if value == 1 else value


def _describes(file: HeifFile, number: int) -> bool:
    """Return True for metadata of the main picture, and for metadata that names no picture."""
    targets = [
        t for r in file.references if r.kind == b"cdsc" and r.source == number for t in r.targets
    ]
    return not targets or bool(file.derived_from(file.primary) & {*targets})
