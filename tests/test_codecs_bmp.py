"""BMP of every header and order of colours: alpha, profile and header stay."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoveil.transforms import codecs

NO_LIMIT = 10**9
BOX = (slice(16, 48), slice(16, 64))
LEVEL = 12
PROFILE = b"a colour profile, 31 bytes long"
BITFIELDS, ALPHA_BITFIELDS = 3, 6


@pytest.fixture(scope="module")
def rgba(demo_photo: Callable[[str], Path]) -> np.ndarray:
    """uint8 (H, W, 4), with every level of alpha."""
    with Image.open(demo_photo("astronaut.png")) as image:
        soft = image.convert("RGB").crop((150, 20, 250, 113))
        pixels = np.asarray(soft.point(lambda level: level // 2 + 40).convert("RGBA")).copy()
    pixels[..., 3] = np.arange(pixels[..., 3].size).reshape(pixels.shape[:2]) % 256
    return pixels


def bmp(
    pixels: np.ndarray,
    bits: int,
    masks: tuple[int, ...],
    header: int = 124,
    compression: int = BITFIELDS,
) -> bytes:
    """A BMP from the top down of uint8 (H, W, 4) pixels, with a profile where the header has one.

    Args:
        masks: of red, green, blue and alpha (0 for none).
    """
    height, width = pixels.shape[:2]
    packed = np.zeros((height, width), np.uint64)
    for channel, mask in enumerate(masks):
        if mask:
            shift = (mask & -mask).bit_length() - 1
            level = pixels[..., channel].astype(np.uint64) * (mask >> shift) // 255
            packed |= level << np.uint64(shift)
    rows = packed.astype("<u4" if bits == 32 else "<u2").view(np.uint8).reshape(height, -1)
    body = np.pad(rows, [(0, 0), (0, -rows.shape[1] % 4)]).tobytes()
    fields = struct.pack(
        "<IiiHHIIiiII", header, width, -height, 1, bits, compression, 0, 2, 3, 0, 0
    )
    fields += struct.pack("<4I", *masks)[: 16 if header > 52 or compression == 6 else 12]
    fields = fields.ljust(header, b"\7")
    profile = PROFILE if header == 124 else b""
    if profile:
        place = struct.pack("<II", len(fields) + len(body), len(profile))
        fields = fields[:112] + place + fields[120:]
    start = 14 + len(fields)
    whole = start + len(body) + len(profile)
    return b"BM" + struct.pack("<IIi", whole, 0x1234, start) + fields + body + profile


def alpha_of(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGBA"))[..., 3]


def changed(data: bytes) -> codecs.EncodedPhoto:
    change = np.zeros(codecs.decode(data, NO_LIMIT).pixels.shape[:2], np.float32)
    change[BOX] = LEVEL
    return codecs.encode(data, codecs.PhotoChange.of_levels(change))


def check_change(data: bytes, coded: bytes) -> None:
    before, after = (codecs.decode(one, NO_LIMIT).pixels.astype(int) for one in (data, coded))
    assert np.abs(after[BOX] - before[BOX] - LEVEL).max() <= 1
    after[BOX] = before[BOX]
    np.testing.assert_array_equal(after, before)


BYTES = {
    "BGRA": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    "RGBA": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    "ABGR": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    "RGBX": (0xFF, 0xFF00, 0xFF0000, 0),
    "GRBA": (0xFF00, 0xFF, 0xFF0000, 0xFF000000),  # which Pillow does not know
    "10 bits": (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000),  # neither
}


@pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
@pytest.mark.parametrize("order", BYTES)
def test_pixels_of_a_byte_a_colour_change_where_they_lie(
    order: str, header: int, rgba: np.ndarray
) -> None:
    masks = BYTES[order]
    with_alpha = header >= 56 or header == 40
    compression = ALPHA_BITFIELDS if header == 40 else BITFIELDS
    data = bmp(rgba, 32, masks if with_alpha else (*masks[:3], 0), header, compression)
    coded = changed(data)
    assert coded.notes == ()
    check_change(data, coded.data)
    pixels = np.frombuffer(data, "<u4", rgba[..., 0].size, 14 + header + 16 * (header == 40))
    after = np.frombuffer(coded.data, "<u4", pixels.size, 14 + header + 16 * (header == 40))
    others = ~np.uint32(masks[0] | masks[1] | masks[2])
    np.testing.assert_array_equal(pixels & others, after & others)  # alpha, to the bit
    size = rgba.size
    start = len(data) - size - (len(PROFILE) if header == 124 else 0)
    assert (coded.data[:start], coded.data[start + size :]) == (data[:start], data[start + size :])


SIXTEEN = {
    "565": (0xF800, 0x7E0, 0x1F, 0),
    "555": (0x7C00, 0x3E0, 0x1F, 0),
    "1555": (0x7C00, 0x3E0, 0x1F, 0x8000),
    "4444": (0xF00, 0xF0, 0xF, 0xF000),
}


@pytest.mark.parametrize("header", [56, 108, 124])
@pytest.mark.parametrize("order", SIXTEEN)
def test_fewer_bits_are_widened_under_the_same_header(
    order: str, header: int, rgba: np.ndarray
) -> None:
    masks = SIXTEEN[order]
    data = bmp(rgba, 16, masks, header)
    coded = changed(data)
    bits = 32 if masks[3] else 24
    assert coded.notes == (f"widened to {bits} bits",)
    check_change(data, coded.data)
    told = struct.unpack_from("<IiiHH", coded.data, 14)
    assert told == (header, rgba.shape[1], -rgba.shape[0], 1, bits)
    assert coded.data[38:46] == data[38:46]  # pixels a metre
    assert coded.data[6:10] == data[6:10]
    if header >= 108:
        end = 14 + min(header, 112)
        assert coded.data[14 + 56 : end] == data[14 + 56 : end]  # colour space
    if header == 124:
        offset, size = struct.unpack_from("<II", coded.data, 14 + 112)
        assert coded.data[14 + offset : 14 + offset + size] == PROFILE
    assert len(coded.data) == struct.unpack_from("<I", coded.data, 2)[0]
    if masks[3]:
        most = 1 if order == "1555" else 15
        wanted = (rgba[..., 3].astype(int) * most // 255) * 255 // most
        np.testing.assert_array_equal(alpha_of(coded.data), wanted)


def test_a_palette_is_widened_under_the_same_header(rgba: np.ndarray) -> None:
    out = io.BytesIO()
    Image.fromarray(rgba[..., :3]).quantize(64).save(out, "BMP", dpi=(300, 300))
    coded = changed(out.getvalue())
    assert coded.notes == ("widened to 24 bits",)
    check_change(out.getvalue(), coded.data)
    with Image.open(io.BytesIO(coded.data)) as image:
        assert round(image.info["dpi"][0]) == 300


def test_os2_headers_stay(rgba: np.ndarray) -> None:
    height, width = rgba.shape[:2]
    body = np.ascontiguousarray(rgba[::-1, :, 2::-1]).tobytes()  # 100 pixels: no padding
    fields = struct.pack("<IHHHH", 12, width, height, 1, 24)
    data = b"BM" + struct.pack("<IIi", 26 + len(body), 0, 26) + fields + body
    np.testing.assert_array_equal(codecs.decode(data, NO_LIMIT).pixels, rgba[..., :3])
    coded = changed(data)
    check_change(data, coded.data)
    assert coded.data[:26] == data[:26]


def test_a_picture_before_the_pixels_is_removed(rgba: np.ndarray) -> None:
    out = io.BytesIO()
    Image.fromarray(rgba[..., :3]).resize((40, 40)).save(out, "PNG")
    data = bmp(rgba, 32, BYTES["BGRA"], 108)
    start = 14 + 108
    hiding = data[:10] + struct.pack("<I", start + out.tell()) + data[14:start]
    coded = changed(hiding + out.getvalue() + data[start:])
    assert coded.notes == ("picture before the pixels removed",)
    assert b"PNG" not in coded.data


@pytest.mark.parametrize("kind", ["RGB", "P", "L", "1", "masks", "V5 with profile"])
def test_bmp_alone_ends_with_its_pixels_or_profile(kind: str, rgba: np.ndarray) -> None:
    image = Image.fromarray(rgba[..., :3])
    out = io.BytesIO()
    image.resize((40, 40)).save(out, "PNG")
    picture = out.getvalue()
    profile = b""
    if kind == "masks":
        data = bmp(rgba, 32, BYTES["BGRA"], 108)
    elif kind == "V5 with profile":
        profile = PROFILE
        data = bmp(rgba, 32, BYTES["BGRA"], 124)
        assert data.endswith(profile)
    else:
        out = io.BytesIO()
        image.convert(kind).save(out, "BMP")
        data = out.getvalue()
    # Programs may believe what the header tells of the size of the pixels.
    told = struct.pack("<I", struct.unpack_from("<I", data, 34)[0] + len(picture))
    for one in (data, data[:34] + told + data[38:]):
        alone = codecs.alone(one + picture)
        assert alone.data == one
        assert alone.notes == ("data after the end of the image removed",)
    if profile:
        at = len(data) - len(profile)
        offset = struct.pack("<I", at + len(picture) - 14)
        moved = data[:126] + offset + data[130:at] + picture + profile
        alone = codecs.alone(moved)
        assert alone.data == moved.replace(picture, bytes(len(picture)))
        assert alone.notes == ("picture behind the pixels removed",)


@pytest.mark.parametrize(
    "masks", [(0xF0F0, 0xF00, 0xF, 0), (0xFF0000, 0xFF0000, 0xFF, 0), (0xFF0000, 0, 0xFF, 0)]
)
def test_masks_that_make_no_sense_are_damage(masks: tuple[int, ...], rgba: np.ndarray) -> None:
    with pytest.raises(codecs.CodecError, match="damaged"):
        codecs.decode(bmp(rgba, 32, masks), NO_LIMIT)
