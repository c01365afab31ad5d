"""What a picture may lose where a format has to encode it anew: measured, and bounded."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.codecs import loss

NO_LIMIT = 1 << 40
Write = Callable[[Image.Image, int], bytes]


def heic(image: Image.Image, quality: int) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, quality=quality)
    return out.getvalue()


def by_pillow(name: str) -> Write:
    def write(image: Image.Image, quality: int) -> bytes:
        out = io.BytesIO()
        image.save(out, name, quality=quality)
        return out.getvalue()

    return write


WRITERS = {"HEIC": heic, "AVIF": by_pillow("AVIF"), "WebP": by_pillow("WEBP")}


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Ground of all sizes of detail, some of it even, with edges: a hard one for a coder."""
    chance = np.random.default_rng(7)
    total = np.zeros((384, 512, 3), np.float32)
    for cells, strength in ((4, 60), (16, 30), (64, 16), (256, 10)):
        noise = chance.normal(0, strength, (cells, cells, 3)).clip(-255, 255) + 128
        layer = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
        total += np.asarray(layer.resize((512, 384), Image.Resampling.BICUBIC), np.float32) - 128
    total[200:, 300:] = (90, 120, 160)
    total[40:44] = 230
    return Image.fromarray((total * 0.7 + 128).clip(0, 255).astype(np.uint8))


def cloak(shape: tuple[int, ...]) -> np.ndarray:
    change = np.zeros(shape[:2], np.float32)
    noise = np.random.default_rng(3).normal(0, 90, (32, 32)).astype(np.float32)
    large = Image.fromarray(noise / 16).resize((96, 96), Image.Resampling.BICUBIC)
    change[100:196, 60:156] = np.asarray(large)
    return change


@pytest.mark.parametrize("quality", [10, 30, 60])
@pytest.mark.parametrize("name", WRITERS)
def test_photo_of_few_bytes_keeps_its_looks_and_its_cloak(
    name: str, quality: int, picture: Image.Image
) -> None:
    data = WRITERS[name](picture, quality)
    before = codecs.decode(data, NO_LIMIT).pixels
    change = cloak(before.shape)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change))
    after = codecs.decode(coded.data, NO_LIMIT).pixels
    outside = np.abs(after.astype(int) - before)[change == 0]
    assert np.sqrt((outside.astype(float) ** 2).mean()) <= 2.05
    assert np.percentile(outside, 99) <= 9
    wanted = (before + change[..., np.newaxis]).clip(0, 255) - before
    found = after.astype(float) - before
    shows = (wanted * found).sum() / (wanted**2).sum()
    assert 0.85 < shows < 1.1  # of the cloak; it was half of it in a file of few bytes
    assert len(coded.data) >= 0.95 * len(data)
    growth = len(coded.data) / len(data)
    if not 1.3 < growth < 1.7:  # the note goes by the picture alone, without its headers
        assert coded.notes == ((loss.GREW,) if growth > 1.5 else ())


@pytest.mark.parametrize("name", WRITERS)
def test_photo_of_many_bytes_takes_no_more(name: str, picture: Image.Image) -> None:
    data = WRITERS[name](picture, 90)
    coded = codecs.encode(
        data, codecs.PhotoChange.of_levels(np.zeros((picture.height, picture.width), np.float32))
    )
    assert coded.notes == ()
    assert 0.95 * len(data) < len(coded.data) < 1.25 * len(data)


def test_loss_is_told_where_it_is() -> None:
    flat = np.full((256, 256, 3), 100, np.uint8)
    nowhere = np.zeros((256, 256), bool)
    assert loss.error(flat, flat, nowhere, 8) == 0
    assert loss.error(flat, flat + 2, nowhere, 8) == pytest.approx(1)  # everywhere
    spoilt = flat.copy()
    spoilt[:64, :64] += 8  # a sixteenth of an even picture
    assert loss.error(flat, spoilt, nowhere, 8) == pytest.approx(2)
    where = nowhere.copy()
    where[:64, :64] = True
    assert loss.error(flat, spoilt, where, 8) == pytest.approx(4)


def test_loss_counts_levels_of_eight_bits_and_nothing_that_is_transparent() -> None:
    deep = np.full((32, 32, 3), 30000, np.uint16)
    nowhere = np.zeros((32, 32), bool)
    assert loss.error(deep, deep + 2 * 257, nowhere, 16) == pytest.approx(1)
    clear = np.zeros((32, 32, 4), np.uint8)
    other = clear.copy()
    other[..., :3] = 255
    assert loss.error(clear, other, nowhere, 8) == 0


def test_large_photo_is_measured_to_its_last_row() -> None:
    tall = np.zeros((1100, 20), np.uint8)
    other = tall.copy()
    other[1099] = 200
    assert loss.error(tall, other, np.zeros(tall.shape, bool), 8) > 1
