"""Reading photos, sound and otherwise."""

from __future__ import annotations

import hashlib
import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from photoveil.transforms import codecs
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.discover import discover
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.photo.read import fingerprint, read_photo
from photoveil.transforms.records import ReadPhoto

LIMITS = ReadLimits()


@pytest.fixture(scope="session")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("astronaut.png")) as image:
        return image.convert("RGB").crop((150, 20, 311, 160))


def read(folder: Path, name: str, data: bytes, limits: ReadLimits = LIMITS) -> ReadPhoto:
    (folder / name).write_bytes(data)
    (ref,) = discover(str(folder))
    return read_photo(ref, limits)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_sound_photo_has_hash_format_and_upright_rgb(tmp_path: Path, portrait: Image.Image) -> None:
    data = saved(portrait, "JPEG")
    found = read(tmp_path, "a.jpg", data)
    assert (found.status, found.reason, found.format) == (None, None, "JPEG")
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.pixels is not None
    assert found.pixels.dtype == np.uint8
    np.testing.assert_array_equal(found.pixels, np.asarray(Image.open(io.BytesIO(data))))


def test_fingerprint_hashes_without_decoding(tmp_path: Path, portrait: Image.Image) -> None:
    data = saved(portrait, "PNG")
    (tmp_path / "a.png").write_bytes(data)
    (ref,) = discover(str(tmp_path))
    found = fingerprint(ref, LIMITS)
    assert (found.status, found.format, found.pixels) == (None, "PNG", None)
    assert found.sha256 == hashlib.sha256(data).hexdigest()


def test_format_is_told_by_content_and_not_by_name(tmp_path: Path, portrait: Image.Image) -> None:
    assert read(tmp_path, "no_extension", saved(portrait, "JPEG")).format == "JPEG"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_orientation_is_applied(
    orientation: int, kind: str, tmp_path: Path, portrait: Image.Image
) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    data = saved(portrait, kind, exif=tags)
    found = read(tmp_path, "photo", data)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(found.pixels, np.asarray(upright))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_that_means_nothing_is_ignored(
    orientation: int, tmp_path: Path, portrait: Image.Image
) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    found = read(tmp_path, "photo", saved(portrait, "PNG", exif=tags))
    np.testing.assert_array_equal(found.pixels, np.asarray(portrait))


def test_grey_palette_and_alpha_png_become_rgb(tmp_path: Path, portrait: Image.Image) -> None:
    alpha = portrait.copy()
    alpha.putalpha(portrait.convert("L"))
    palette = portrait.quantize(64)
    for image in (portrait.convert("L"), palette, alpha, portrait.convert("1")):
        found = read(tmp_path, "a.png", saved(image, "PNG"))
        expected = image.convert("RGB")
        np.testing.assert_array_equal(found.pixels, np.asarray(expected), err_msg=image.mode)


def test_16_bit_grey_png_keeps_its_high_byte(tmp_path: Path, portrait: Image.Image) -> None:
    grey = np.asarray(portrait.convert("L")).astype(np.uint16)
    found = read(tmp_path, "a.png", saved(Image.fromarray(grey * 256 + 99), "PNG"))
    assert found.pixels is not None
    np.testing.assert_array_equal(found.pixels, np.repeat(grey[..., None], 3, axis=2))


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path, portrait: Image.Image) -> None:
    found = read(tmp_path, "a.jpg", saved(portrait.convert("CMYK"), "JPEG", quality=95))
    assert found.pixels is not None
    difference = np.abs(found.pixels.astype(int) - np.asarray(portrait))
    assert difference.mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_one_pixel_is_a_photo(kind: str, tmp_path: Path) -> None:
    found = read(tmp_path, "a", saved(Image.new("RGB", (1, 1), (128, 128, 128)), kind))
    assert found.status is None
    assert found.pixels is not None
    assert found.pixels.shape == (1, 1, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_cut_off_photo_is_failed(
    kind: str, part: float, tmp_path: Path, portrait: Image.Image
) -> None:
    data = saved(portrait, kind)
    found = read(tmp_path, "a.jpg", data[: int(len(data) * part)])
    assert found.status == "failed"
    assert "damaged or cut off" in str(found.reason)
    assert found.sha256 is not None


@pytest.mark.parametrize(
    ("name", "data", "status", "reason"),
    [
        ("a.jpg", b"", "failed", "the file is empty"),
        ("a.jpg", b"hello, this is text", "failed", "named as a photo but holds none"),
        ("a.txt", b"hello, this is text", "unsupported", "not a photo"),
        ("a.gif", b"GIF89a" + bytes(40), "failed", "damaged or cut off"),
        ("a.jpg", b"RIFF\0\0\0\0WEBPVP8 ", "failed", "damaged or cut off"),
        ("a.heic", b"\0\0\0\x18ftypheic", "failed", "damaged or cut off"),
        ("a.dng", b"II*\0" + bytes(40), "failed", "damaged or cut off"),
        ("a.orf", b"IIRO\x08\0\0\0", "unsupported", "camera raw (ORF): a format that"),
        ("a.cr3", b"\0\0\0\x18ftypcrx ", "unsupported", "camera raw (CR3): a format that"),
        ("a.psd", b"8BPS\0\1", "unsupported", "Photoshop document: a format that"),
    ],
)
def test_what_is_no_photo_says_so(
    name: str, data: bytes, status: str, reason: str, tmp_path: Path
) -> None:
    found = read(tmp_path, name, data)
    assert found.status == status
    assert str(found.reason).startswith(reason)
    assert found.pixels is None


def test_heic_is_tried_again_once_its_package_is_there(
    tmp_path: Path, portrait: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    pillow_heif.from_pillow(portrait).save(out)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    # A child would have modules of its own.
    monkeypatch.setattr(codec_process, "decode", lambda data, most, _: codecs.decode(data, most))
    found = read(tmp_path, "a.heic", out.getvalue())
    assert (found.status, found.format, found.retry) == ("unsupported", "HEIC", True)
    assert found.reason == "HEIC needs the optional package pillow-heif"


def test_image_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        check = zlib.crc32(name + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + name + body + check

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))
    found = read(tmp_path, "a.png", bomb + chunk(b"IEND", b""))
    assert found.status == "failed"
    assert "limit of 250 megapixels (limits.max_megapixels)" in str(found.reason)


def test_pixel_limit_is_the_callers(tmp_path: Path, portrait: Image.Image) -> None:
    limit = portrait.width * portrait.height / 1e6
    data = saved(portrait, "JPEG")
    assert read(tmp_path, "a.jpg", data, ReadLimits(max_megapixels=limit)).status is None
    found = read(tmp_path, "a.jpg", data, ReadLimits(max_megapixels=limit * 0.99))
    assert found.status == "failed"


@pytest.mark.parametrize(("name", "status"), [("a.jpg", "failed"), ("a.iso", "unsupported")])
def test_file_over_the_size_limit_is_not_opened(name: str, status: str, tmp_path: Path) -> None:
    found = read(tmp_path, name, b"\xff\xd8\xff" * 1000, ReadLimits(max_megabytes=0.002))
    assert (found.status, found.sha256) == (status, None)
    assert "limits.max_megabytes" in str(found.reason)


def test_file_that_vanished_is_failed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (ref,) = discover(str(tmp_path))
    (tmp_path / "a.jpg").unlink()
    assert read_photo(ref, LIMITS).reason == "cannot be read: no such file"


def test_problem_found_before_is_handed_on(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("gone")
    (ref,) = discover(str(tmp_path))
    found = read_photo(ref, LIMITS)
    assert (found.status, found.reason) == ("failed", "broken link: no such file")
