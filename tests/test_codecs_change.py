"""A displacement and levels in every format: what moves is where it should be, all else stays."""

from __future__ import annotations

import io
import math
import pickle
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imagecodecs
import jpegio
import numpy as np
import piexif
import pillow_heif
import pytest
import tifffile
from PIL import Image, JpegImagePlugin
from scipy import ndimage
from scipy.fft import dctn, idctn

from photoveil.transforms import codecs
from photoveil.transforms.codecs import gainmap, orientation, segments
from photoveil.transforms.codecs.change import Patch, PhotoChange, moved
from photoveil.transforms.codecs.orientation import as_stored, upright
from photoveil.transforms.codecs.segments import Segment

NO_LIMIT = 10**9
HEIGHT, WIDTH = 145, 161  # no multiples of a block
SHIFT, LEVELS = 4.0, 6.0  # the most of each


@dataclass(frozen=True)
class Bump:
    """A smooth change in a rectangle, as functions of the place in the photo: 0 at its border.

    shift: (x, y) pixels at its middle. levels: at its middle.
    """

    top: int
    left: int
    height: int
    width: int
    shift: tuple[float, float] = (SHIFT, -0.6 * SHIFT)
    levels: float = LEVELS

    def weight(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """0 at the border and outside, 1 in the middle; y, x: pixels of the photo."""
        down = (y - self.top) / (self.height - 1)
        across = (x - self.left) / (self.width - 1)
        inside = (down > 0) & (down < 1) & (across > 0) & (across < 1)
        return np.where(inside, (np.sin(np.pi * down) * np.sin(np.pi * across)) ** 2, 0)

    def patch(self) -> Patch:
        y, x = np.mgrid[self.top : self.top + self.height, self.left : self.left + self.width]
        weight = self.weight(y, x).astype(np.float32)
        shift = weight[..., np.newaxis] * np.array(self.shift, np.float32)
        return Patch(self.top, self.left, weight * np.float32(self.levels), shift)


FACES = (
    Bump(20, 30, 71, 60),
    Bump(28, 90, 50, 55, shift=(-3.5, 2.5), levels=-5),  # beside it, without a gap
    Bump(100, 3, 45, 81, shift=(2.5, 4.0)),  # at the photo's lower border
)
BENT = tuple(replace(face, levels=0.0) for face in FACES)


def change(faces: tuple[Bump, ...] = FACES, size: tuple[int, int] = (HEIGHT, WIDTH)) -> PhotoChange:
    return PhotoChange(*size, tuple(face.patch() for face in faces))


def ideal(plane: np.ndarray, faces: tuple[Bump, ...] = FACES, levels: float = 1) -> np.ndarray:
    """float64 (H, W): the plane under the change, by SciPy over the whole of it. levels: what one
    level comes to."""
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]].astype(np.float64)
    weights = [face.weight(y, x) for face in faces]
    across = sum(w * face.shift[0] for w, face in zip(weights, faces, strict=True))
    down = sum(w * face.shift[1] for w, face in zip(weights, faces, strict=True))
    added = sum(w * face.levels for w, face in zip(weights, faces, strict=True))
    found = ndimage.map_coordinates(
        plane.astype(np.float64), [y + down, x + across], order=3, mode="mirror"
    )
    return found + levels * added


def ideal_pixels(
    pixels: np.ndarray, colours: int, moving: int | None = None, most: int = 255
) -> np.ndarray:
    new = pixels.reshape(*pixels.shape[:2], -1).copy()
    for n in range(moving or colours):
        found = ideal(new[..., n], levels=most / 255 * (n < colours))
        new[..., n] = np.clip(np.rint(found), 0, most)
    return new.reshape(pixels.shape)


def assert_same_but_for_rounding(found: np.ndarray, wanted: np.ndarray) -> None:
    """Single precision may round a value the other way that lies between two levels."""
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    difference = np.abs(found.astype(int) - wanted)
    deep = found.dtype == np.uint16
    assert difference.max() <= 1
    assert (difference > 0).mean() < (0.05 if deep else 0.001)


@pytest.fixture(scope="session")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("astronaut.png")) as image:
        cropped = image.convert("RGB").crop((150, 20, 150 + WIDTH, 20 + HEIGHT))
        return cropped.point(lambda level: level // 2 + 50)  # room for the change, both ways


@pytest.fixture(scope="session")
def deep(portrait: Image.Image) -> np.ndarray:
    """uint16 (H, W, 3) that use all of their bits."""
    pixels = np.asarray(portrait, np.float64) * 257
    noise = np.random.default_rng(1).normal(0, 60, pixels.shape)
    return np.clip(pixels + noise, 0, 65535).astype(np.uint16)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def tiff_of(pixels: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


def tiff_pixels(data: bytes) -> np.ndarray:
    return tifffile.imread(io.BytesIO(data))


def with_alpha(image: Image.Image) -> Image.Image:
    """Half transparent here and there, and nowhere completely."""
    result = image.convert("RGBA" if image.mode == "RGB" else "LA")
    result.putalpha(image.convert("L"))
    return result


# The change itself


def test_nothing_is_touched_where_nothing_moves() -> None:
    found = change().touched
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    for face in FACES:
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        wanted |= face.weight(y, x) > 1e-9
    assert (found == wanted).mean() > 0.999
    assert not PhotoChange(9, 9).touched.any() and PhotoChange(9, 9).is_empty
    assert not change(BENT).is_empty
    assert change(BENT).part(0, 0, 20, WIDTH).is_empty


def test_values_are_fetched_as_in_double_precision(portrait: Image.Image) -> None:
    plane = np.asarray(portrait.convert("L"))
    wanted = ideal(plane, BENT)
    for patch in change(BENT).patches:
        found = moved(plane, patch)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted[patch.rows, patch.columns], atol=2e-3)
        still = ~patch.moving
        assert still.any()
        np.testing.assert_array_equal(found[still], plane[patch.rows, patch.columns][still])


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 3)])
def test_photos_of_hardly_any_pixels_move(size: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).integers(0, 255, size).astype(np.uint8)
    patch = Patch(0, 0, np.zeros(size, np.float32), np.full((*size, 2), 0.4, np.float32))
    found = moved(plane, patch)
    assert found.shape == size and np.isfinite(found).all()


def test_a_sharp_grain_stays_sharp() -> None:
    grain = np.random.default_rng(0).normal(128, 20, (HEIGHT, WIDTH)).astype(np.float32)
    soft = ndimage.gaussian_filter(grain, 0.7)
    patch = Patch(0, 0, np.zeros_like(soft), np.full((*soft.shape, 2), 0.5, np.float32))
    assert moved(soft, patch).std() > 0.93 * soft.std()  # at the worst shift that there is


@pytest.mark.parametrize("shown", range(1, 9))
def test_shifts_turn_with_the_pixels(shown: int, portrait: Image.Image) -> None:
    seen = np.asarray(portrait.convert("L"))
    stored_change = change().stored(shown)
    stored_pixels = as_stored(seen, shown)
    assert stored_change.shape == stored_pixels.shape
    new = stored_pixels.astype(np.float32)
    for patch in stored_change.patches:
        new[patch.rows, patch.columns] = moved(stored_pixels, patch) + patch.levels
    np.testing.assert_allclose(upright(new, shown), ideal(seen), atol=2e-3)
    np.testing.assert_array_equal(upright(stored_change.touched, shown), change().touched)


@pytest.mark.parametrize("shown", range(1, 9))
def test_vectors_turn_as_the_place_that_they_lead_to(shown: int) -> None:
    y, x = np.mgrid[:6, :9]
    places = np.stack([x, y], axis=2)  # of each pixel, as stored
    ahead = np.broadcast_to(np.array([1, 2]), places.shape)
    turned = orientation.upright_vectors(ahead, shown)
    there = upright(places, shown)
    across, down = turned[2, 3]
    np.testing.assert_array_equal(there[2 + down, 3 + across] - there[2, 3], [1, 2])


@pytest.mark.parametrize("factors", [(2.0, 2.0), (1.0, 2.0), (4.0, 1.0), (1.5, 2.0)])
def test_components_of_fewer_samples_move_by_fewer(factors: tuple[float, float]) -> None:
    down, across = factors
    small = change().resized(down, across)
    assert small.shape == (-(-HEIGHT // down), -(-WIDTH // across))
    y, x = np.mgrid[: small.height, : small.width]
    y, x = (y + 0.5) * down - 0.5, (x + 0.5) * across - 0.5
    shift, levels = np.zeros((*small.shape, 2)), np.zeros(small.shape)
    for patch in small.patches:
        assert patch.shift is not None
        shift[patch.rows, patch.columns] += patch.shift
        levels[patch.rows, patch.columns] += patch.levels
    for n, factor in enumerate((across, down)):
        wanted = sum(face.weight(y, x) * face.shift[n] / factor for face in FACES)
        np.testing.assert_allclose(shift[..., n], wanted, atol=0.02)
    wanted = sum(face.weight(y, x) * face.levels for face in FACES)
    np.testing.assert_allclose(levels, wanted, atol=0.06)


def test_levels_alone_come_as_they_were() -> None:
    levels = np.zeros((40, 50), np.float32)
    levels[3:9, 20:41] = np.random.default_rng(0).normal(0, 9, (6, 21))
    made = PhotoChange.of_levels(levels)
    (patch,) = made.patches
    assert (patch.top, patch.left, patch.shift) == (3, 20, None)
    np.testing.assert_array_equal(patch.levels, levels[3:9, 20:41])
    assert PhotoChange.of_levels(np.zeros((4, 5), np.float32)).patches == ()


@pytest.mark.parametrize("place", [(-1, 0), (0, -1), (31, 0), (0, 41)])
def test_a_patch_lies_in_the_photo(place: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="patch"):
        PhotoChange(40, 50, (Patch(*place, np.zeros((10, 10), np.float32)),))


def test_a_change_crosses_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(change()))
    assert copy.shape == (HEIGHT, WIDTH)
    for one, other in zip(copy.patches, change().patches, strict=True):
        np.testing.assert_array_equal(one.levels, other.levels)
        np.testing.assert_array_equal(one.shift, other.shift)


def test_a_change_of_another_size_is_refused(portrait: Image.Image) -> None:
    with pytest.raises(codecs.CodecError):
        codecs.encode(saved(portrait, "PNG"), change(size=(HEIGHT, WIDTH + 1)))


def test_the_gain_map_is_smoothed_where_pixels_only_move() -> None:
    found = gainmap.regions(change(BENT[:1]).touched)
    (region,) = found
    assert region.top * HEIGHT == pytest.approx(21, abs=1)
    assert region.right * WIDTH == pytest.approx(89, abs=1)


# Formats without loss: as in double precision, and identical outside


def bmp_of(image: Image.Image) -> bytes:
    """With alpha, of which Pillow writes none."""
    pixels = np.asarray(image)[..., [2, 1, 0, 3]]
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, WIDTH, -HEIGHT, 1, 32, 3, pixels.size, 0, 0, 0, 0)
    header = (header + struct.pack("<4I", *masks)).ljust(108, b"\0")
    size = 14 + 108 + pixels.size
    return b"BM" + struct.pack("<IIi", size, 0, 14 + 108) + header + pixels.tobytes()


def png_deep(pixels: np.ndarray) -> bytes:
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))


LOSSLESS: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": lambda image: saved(image, "PNG"),
    "PNG grey": lambda image: saved(image.convert("L"), "PNG"),
    "PNG alpha": lambda image: saved(with_alpha(image), "PNG"),
    "PNG grey, alpha": lambda image: saved(with_alpha(image.convert("L")), "PNG"),
    "WebP": lambda image: saved(image, "WEBP", lossless=True, exact=True),
    "WebP alpha": lambda image: saved(with_alpha(image), "WEBP", lossless=True, exact=True),
    "BMP": lambda image: saved(image, "BMP"),
    "BMP alpha": lambda image: bmp_of(with_alpha(image)),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_without_loss_the_photo_is_as_in_double_precision(name: str, portrait: Image.Image) -> None:
    data = LOSSLESS[name](portrait)
    before, after = opened(data), opened(codecs.encode(data, change()).data)
    colours = 1 if "grey" in name else 3
    assert_same_but_for_rounding(after, ideal_pixels(before, colours))
    outside = ~change().touched
    np.testing.assert_array_equal(after[outside], before[outside])


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_sixteen_bits_of_a_png_move(grey: bool, alpha: bool, deep: np.ndarray) -> None:
    pixels = deep[..., :1] if grey else deep
    if alpha:
        pixels = np.concatenate([pixels, deep[..., 1:2]], axis=2)
    data = png_deep(np.squeeze(pixels))
    after = imagecodecs.png_decode(codecs.encode(data, change()).data)
    wanted = ideal_pixels(np.squeeze(pixels), 1 if grey else 3, most=65535)
    assert_same_but_for_rounding(after, wanted)
    outside = ~change().touched
    np.testing.assert_array_equal(after[outside], np.squeeze(pixels)[outside])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("layout", ["strips", "tiles", "planes"])
@pytest.mark.parametrize("kind", ["grey", "white is zero", "rgb", "rgb, alpha", "cmyk"])
def test_tiff_is_as_in_double_precision(
    kind: str, layout: str, bits: int, portrait: Image.Image, deep: np.ndarray
) -> None:
    pixels = np.asarray(portrait) if bits == 8 else deep
    most = (1 << bits) - 1
    options: dict[str, Any] = {"compression": "zlib", "predictor": 2}
    if kind in ("grey", "white is zero"):
        pixels = pixels[..., 1]
        options["photometric"] = "minisblack" if kind == "grey" else "miniswhite"
        if layout == "planes":
            pytest.skip("one plane is no planes")
    elif kind == "rgb, alpha":
        pixels = np.concatenate([pixels, pixels[..., 1:2]], axis=2)
        options |= {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    elif kind == "cmyk":
        pixels = np.concatenate([pixels, pixels[..., 1:2] // 2], axis=2)
        options["photometric"] = "separated"
    else:
        options["photometric"] = "rgb"
    if layout == "strips":
        options["rowsperstrip"] = 16
    elif layout == "tiles":
        options["tile"] = (32, 48)
    else:
        options["planarconfig"] = "separate"
        options["rowsperstrip"] = 50
        del options["predictor"]
    stored = np.moveaxis(pixels, -1, 0) if layout == "planes" else pixels
    data = tiff_of(stored, **options)
    after = tiff_pixels(codecs.encode(data, change()).data)
    after = np.moveaxis(after, 0, -1) if layout == "planes" else after
    outside = ~change().touched
    np.testing.assert_array_equal(after[outside], pixels[outside])
    if kind == "cmyk":  # whose levels depend on the black, as it lies after moving
        black = np.clip(ideal(pixels[..., 3], BENT), 0, most)
        wanted = pixels.copy()
        wanted[..., 3] = np.rint(black)
        for n in range(3):
            levels = ideal(np.zeros((HEIGHT, WIDTH)), FACES)
            ink = ideal(pixels[..., n], BENT) - levels * most / 255 * most / (most - black)
            wanted[..., n] = np.clip(np.rint(ink), 0, most)
        assert_same_but_for_rounding(after, wanted)
    elif kind == "white is zero":
        darker = tuple(replace(face, levels=-face.levels) for face in FACES)
        wanted = np.rint(ideal(pixels, darker, most / 255)).astype(pixels.dtype)
        assert_same_but_for_rounding(after, wanted)
    else:
        wanted = ideal_pixels(pixels, 1 if kind == "grey" else 3, most=most)
        assert_same_but_for_rounding(after, wanted)


def test_pages_of_a_tiff_are_changed_apart(portrait: Image.Image) -> None:
    first, second = np.asarray(portrait)[:60], np.asarray(portrait)
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for page in (first, second):
            writer.write(page, photometric="rgb")
    moved_down = PhotoChange(
        HEIGHT + 60, WIDTH, tuple(one.placed(60, 0) for one in change().patches)
    )
    data = codecs.encode(out.getvalue(), moved_down).data
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [page.asarray() for page in file.pages]
    np.testing.assert_array_equal(pages[0], first)
    assert_same_but_for_rounding(pages[1], ideal_pixels(second, 3))


@pytest.mark.parametrize("name", ["PNG", "WebP", "BMP"])
def test_neighbours_fetch_from_the_original(name: str, portrait: Image.Image) -> None:
    """Two faces that share a border: neither is made of the other's new pixels."""
    data = LOSSLESS[name](portrait)
    both = opened(codecs.encode(data, change(FACES[:2])).data)
    for face in FACES[:2]:
        (patch,) = change((face,)).patches
        alone = opened(codecs.encode(data, change((face,))).data)
        np.testing.assert_array_equal(
            both[patch.rows, patch.columns], alone[patch.rows, patch.columns]
        )


# Transparency


def cut_out(garbage: tuple[int, int, int], image: Image.Image) -> Image.Image:
    """RGBA whose transparent half, across the faces, has the one colour."""
    pixels = np.asarray(image.convert("RGBA")).copy()
    hidden = (np.arange(WIDTH) > WIDTH // 3)[np.newaxis] & (np.arange(HEIGHT) > 55)[:, np.newaxis]
    pixels[hidden] = (*garbage, 0)
    return Image.fromarray(pixels)


def keyed_png(garbage: tuple[int, int, int], image: Image.Image) -> bytes:
    return saved(cut_out(garbage, image).convert("RGB"), "PNG", transparency=garbage)


def deep_png(garbage: tuple[int, int, int], image: Image.Image) -> bytes:
    return png_deep(np.asarray(cut_out(garbage, image)).astype(np.uint16) * 257)


CUT_OUT: dict[str, Callable[[tuple[int, int, int], Image.Image], bytes]] = {
    "PNG": lambda garbage, image: saved(cut_out(garbage, image), "PNG"),
    "PNG of 16 bits": deep_png,
    "PNG grey": lambda garbage, image: saved(cut_out(garbage, image).convert("LA"), "PNG"),
    "PNG with a transparent colour": keyed_png,
    "WebP": lambda garbage, image: saved(
        cut_out(garbage, image), "WEBP", lossless=True, exact=True
    ),
    "BMP": lambda garbage, image: bmp_of(cut_out(garbage, image)),
    "TIFF": lambda garbage, image: tiff_of(
        np.asarray(cut_out(garbage, image)), photometric="rgb", extrasamples=["unassalpha"]
    ),
}


@pytest.mark.parametrize("name", CUT_OUT)
def test_colours_of_transparent_pixels_go_nowhere(name: str, portrait: Image.Image) -> None:
    hidden = np.asarray(cut_out((0, 0, 0), portrait))[..., 3] == 0
    touched = change(BENT).touched
    assert (hidden & touched).sum() > 500 and (~hidden & touched).sum() > 500
    results = []
    for garbage in ((255, 0, 255), (0, 255, 1)):
        data = CUT_OUT[name](garbage, portrait)
        before = read_deep(data)
        after = read_deep(codecs.encode(data, change(BENT)).data)
        np.testing.assert_array_equal(after[hidden], before[hidden])
        if before.shape[2] in (2, 4):
            np.testing.assert_array_equal(after[..., -1], before[..., -1])
        assert (after != before).any(axis=2)[~hidden].sum() > 500
        results.append(after[~hidden])
    np.testing.assert_array_equal(*results)


def read_deep(data: bytes) -> np.ndarray:
    """(H, W, n) with all bits."""
    if codecs.sniff(data) == "TIFF":
        return np.atleast_3d(tiff_pixels(data))
    if codecs.sniff(data) == "PNG":
        return np.atleast_3d(imagecodecs.png_decode(data))
    return np.atleast_3d(opened(data))


@pytest.mark.parametrize("name", ["PNG", "WebP", "TIFF", "BMP"])
def test_what_is_wholly_transparent_moves_as_programs_without_alpha_show_it(
    name: str, portrait: Image.Image
) -> None:
    image = portrait.convert("RGBA")
    image.putalpha(0)
    data = {
        "PNG": lambda: saved(image, "PNG"),
        "WebP": lambda: saved(image, "WEBP", lossless=True, exact=True),
        "TIFF": lambda: tiff_of(np.asarray(image), photometric="rgb", extrasamples=["unassalpha"]),
        "BMP": lambda: bmp_of(image),
    }[name]()
    before, after = read_deep(data), read_deep(codecs.encode(data, change()).data)
    colours = before.shape[2] - (before.shape[2] == 4)
    assert_same_but_for_rounding(after[..., :3], ideal_pixels(before, colours)[..., :3])
    np.testing.assert_array_equal(after[..., 3:], before[..., 3:])


def test_transparent_pixels_of_a_gif_stay(portrait: Image.Image) -> None:
    image = portrait.quantize(64)
    data = saved(image, "GIF", transparency=7)
    hidden = np.asarray(image) == 7
    before, after = opened(data), opened(codecs.encode(data, change()).data)
    np.testing.assert_array_equal(after == 7, hidden)
    outside = ~change().touched
    np.testing.assert_array_equal(after[outside], before[outside])


# Formats of few colours


def test_colours_of_a_table_move(portrait: Image.Image) -> None:
    data = saved(portrait.quantize(256), "GIF")
    before = codecs.decode(data, NO_LIMIT).pixels
    after = codecs.decode(codecs.encode(data, change(BENT)).data, NO_LIMIT).pixels
    outside = ~change(BENT).touched
    np.testing.assert_array_equal(after[outside], before[outside])
    soft = [
        ndimage.gaussian_filter(one.astype(np.float64), (2, 2, 0))
        for one in (after, ideal_all(before), before)
    ]
    inside = ~outside
    assert np.abs(soft[0] - soft[1])[inside].mean() < 0.3 * np.abs(soft[2] - soft[1])[inside].mean()


def ideal_all(rgb: np.ndarray, faces: tuple[Bump, ...] = BENT) -> np.ndarray:
    return np.stack([ideal(rgb[..., n], faces) for n in range(3)], axis=2)


def test_a_palette_tiff_moves_in_its_own_colours(portrait: Image.Image) -> None:
    image = portrait.quantize(256)
    palette = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    table = np.zeros((3, 256), np.uint16)
    table[:, : len(palette)] = palette.T.astype(np.uint16) * 257
    data = tiff_of(np.asarray(image), photometric="palette", colormap=table, rowsperstrip=16)
    before = codecs.decode(data, NO_LIMIT).pixels
    coded = codecs.encode(data, change(BENT)).data
    after = codecs.decode(coded, NO_LIMIT).pixels
    outside = ~change(BENT).touched
    np.testing.assert_array_equal(after[outside], before[outside])
    error = np.abs(ndimage.gaussian_filter(after - ideal_all(before), (2, 2, 0)))
    assert error[~outside].mean() < 2


# JPEG: by coefficients


@dataclass(frozen=True)
class Component:
    """blocks: int (rows, columns, 8, 8). steps: (8, 8). down, across: pixels of a sample."""

    blocks: np.ndarray
    steps: np.ndarray
    down: float
    across: float

    @property
    def size(self) -> tuple[int, int]:
        return math.ceil(HEIGHT / self.down), math.ceil(WIDTH / self.across)

    @property
    def levels(self) -> np.ndarray:
        """float64, of what counts of the component."""
        coded = self.blocks.astype(np.float64) * self.steps
        samples = idctn(coded, axes=(2, 3), norm="ortho") + 128
        plane = samples.swapaxes(1, 2).reshape(len(samples) * 8, -1)
        return plane[: self.size[0], : self.size[1]]

    def ideal(self, faces: tuple[Bump, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The levels after moving, and the photo's levels to be added."""
        y, x = np.mgrid[: self.size[0], : self.size[1]].astype(np.float64)
        at = (y + 0.5) * self.down - 0.5, (x + 0.5) * self.across - 0.5
        weights = [face.weight(*at) for face in faces]
        pairs = list(zip(weights, faces, strict=True))
        x_shift = sum(w * face.shift[0] for w, face in pairs) / self.across
        y_shift = sum(w * face.shift[1] for w, face in pairs) / self.down
        place = [y + y_shift, x + x_shift]
        found = ndimage.map_coordinates(self.levels, place, order=3, mode="mirror")
        return np.clip(found, 0, 255), np.sum([w * face.levels for w, face in pairs], axis=0)

    def coded(self, plane: np.ndarray) -> np.ndarray:
        """float64 coefficients of a plane, as `blocks`; 0 beyond what counts."""
        whole = np.zeros((len(self.blocks) * 8, self.blocks.shape[1] * 8))
        whole[: plane.shape[0], : plane.shape[1]] = plane
        blocks = whole.reshape(len(self.blocks), 8, -1, 8).swapaxes(1, 2)
        return dctn(blocks, axes=(2, 3), norm="ortho") / self.steps


def components(data: bytes, path: Path) -> list[Component]:
    path.write_bytes(data)
    coded = jpegio.read(path)
    with Image.open(path) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        tables, layers = image.quantization, image.layer
    most = [max(one[n] for one in layers) for n in (2, 1)]
    found = []
    for plane, (_, across, down, table) in zip(coded.coef_arrays, layers, strict=True):
        blocks = plane.reshape(plane.shape[0] // 8, 8, plane.shape[1] // 8, 8).swapaxes(1, 2)
        steps = np.reshape(tables[table], (8, 8))
        found.append(Component(blocks.copy(), steps, most[0] / down, most[1] / across))
    return found


def inks(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 4) of CMYK, with some black over all of it."""
    colours = np.asarray(image)
    return np.concatenate([255 - colours, colours[..., 1:2] // 3], axis=2)


def subsampled_rgb(image: Image.Image) -> bytes:
    """Red in full, green and blue in a quarter of the samples."""
    parts = segments.split(saved(Image.merge("YCbCr", image.split()), "JPEG", quality=95))[0]
    is_rgb = Segment(segments.APP14, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0))
    return segments.join([is_rgb, *(one for one in parts if one.marker != segments.APP0)])


JPEGS: dict[str, Callable[[Image.Image], bytes]] = {
    "4:4:4": lambda image: saved(image, "JPEG", quality=95, subsampling=0),
    "4:2:2": lambda image: saved(image, "JPEG", quality=95, subsampling=1),
    "4:2:0": lambda image: saved(image, "JPEG", quality=95, subsampling=2),
    "4:2:0 of few bytes": lambda image: saved(image, "JPEG", quality=60, subsampling=2),
    "progressive": lambda image: saved(image, "JPEG", quality=95, subsampling=2, progressive=True),
    "grey": lambda image: saved(image.convert("L"), "JPEG", quality=95),
    "RGB": lambda image: saved(image, "JPEG", quality=95, keep_rgb=True, subsampling=0),
    "RGB 4:2:0": subsampled_rgb,
    "CMYK": lambda image: saved(Image.fromarray(inks(image), "CMYK"), "JPEG", quality=95),
    "YCCK": lambda image: bytes(
        imagecodecs.jpeg8_encode(255 - inks(image), 95, colorspace="CMYK", outcolorspace="YCCK")
    ),
}


@pytest.mark.parametrize("faces", [BENT, FACES], ids=["bent", "bent and drawn on"])
@pytest.mark.parametrize("name", JPEGS)
def test_every_component_of_a_jpeg_moves_in_its_blocks_alone(
    name: str, faces: tuple[Bump, ...], portrait: Image.Image, tmp_path: Path
) -> None:
    data = JPEGS[name](portrait)
    coded = codecs.encode(data, change(faces)).data
    old, new = (components(one, tmp_path / "photo.jpg") for one in (data, coded))
    lit = {"RGB": 3, "RGB 4:2:0": 3, "CMYK": 3}.get(name, 1)
    assert ("4:2" in name) == any(one.across == 2 for one in old) or name in ("progressive", "YCCK")
    for n, (before, after) in enumerate(zip(old, new, strict=True)):
        np.testing.assert_array_equal(before.steps, after.steps)
        found, levels = before.ideal(faces)
        if name in ("CMYK", "YCCK") and n < lit:
            clear = old[3].ideal(faces)[0]  # ink is stored as what it lets through
            levels = levels * (255 if name == "CMYK" else -255) / np.maximum(clear, 32)
        difference = found - before.levels + (levels if n < lit else 0)
        wanted = before.blocks + before.coded(difference)
        still = np.abs(before.coded(difference)).max(axis=(2, 3)) < 1e-6
        np.testing.assert_array_equal(after.blocks[still], before.blocks[still])
        # Of blocks that reach beyond the photo's border nobody sees all.
        rows, columns = (slice(side // 8) for side in before.size)
        error = np.abs(after.blocks - wanted)[rows, columns][~still[rows, columns]]
        assert (~still).sum() > 20
        # Half a step by rounding. The shift of a small component lies between the pixels' own.
        is_small = before.across == 2
        assert np.percentile(error, 99) < (0.75 if is_small else 0.51)
        assert error.max() < (1.5 if is_small else 1.02)  # rounded twice where two faces meet
        if "few bytes" not in name:
            assert (after.blocks != before.blocks).any()


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_colour_moves_with_the_luminance(subsampling: int) -> None:
    """An edge between a red and a blue of one luminance is to be found where it was fetched."""
    pixels = np.zeros((96, 96, 3), np.uint8)
    pixels[:, :50], pixels[:, 50:] = (170, 60, 60), (60, 88, 168)
    data = saved(Image.fromarray(pixels), "JPEG", quality=98, subsampling=subsampling)
    face = Bump(16, 16, 65, 65, shift=(6, 0), levels=0)
    coded = codecs.encode(data, change((face,), (96, 96))).data
    before, after = (codecs.decode(one, NO_LIMIT).pixels.astype(float) for one in (data, coded))
    middle = slice(44, 53)

    def edge(rgb: np.ndarray) -> int:
        redness = (rgb[middle, :, 0] - rgb[middle, :, 2]).mean(axis=0)
        return int((redness > 0).sum())  # columns left of the edge

    assert edge(before) == 50
    assert edge(before) - edge(after) == pytest.approx(6, abs=1)
    # Decoders make a pixel of colour of the samples on both sides of it.
    np.testing.assert_array_equal(after[:15], before[:15])


# Formats that are re-encoded, and all orientations


def heic(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, **options)
    return out.getvalue()


LOSSY: dict[str, Callable[[Image.Image], bytes]] = {
    "WebP, lossy": lambda image: saved(image, "WEBP", quality=90),
    "HEIC": lambda image: heic(image, quality=90),
    "AVIF": lambda image: saved(image, "AVIF", quality=90),
    "JPEG": JPEGS["4:2:0"],
    "TIFF, JPEG": lambda image: tiff_of(
        np.asarray(image.convert("YCbCr")),
        photometric="ycbcr",
        compression="jpeg",
        compressionargs={"level": 95},
        rowsperstrip=16,
    ),
    "TIFF, JPEG, tiles": lambda image: tiff_of(
        np.asarray(image.convert("YCbCr")),
        photometric="ycbcr",
        compression="jpeg",
        compressionargs={"level": 95},
        subsampling=(2, 2),
        tile=(32, 48),
    ),
    "TIFF, JPEG, RGB": lambda image: tiff_of(
        np.asarray(image),
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": 95, "outcolorspace": "RGB"},
        rowsperstrip=16,
    ),
    "TIFF, JPEG, grey": lambda image: tiff_of(
        np.asarray(image.convert("L")),
        photometric="minisblack",
        compression="jpeg",
        compressionargs={"level": 95},
        tile=(32, 48),
    ),
}


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_are_near_what_they_should_be(name: str, portrait: Image.Image) -> None:
    data = LOSSY[name](portrait)
    before = codecs.decode(data, NO_LIMIT).pixels
    after = codecs.decode(codecs.encode(data, change()).data, NO_LIMIT).pixels
    wanted = ideal_all(before, FACES)
    inside = change().touched
    error, off = np.abs(after - wanted), np.abs(wanted - before)[inside].mean()
    assert off > 4  # what would be wrong if nothing moved
    assert error[inside].mean() < (0.35 if name in ("WebP, lossy", "AVIF") else 0.25) * off
    assert error[~inside].mean() < 1.5


def exif_of(shown: int) -> bytes:
    return piexif.dump({"0th": {274: shown}})


TURNED: dict[str, Callable[[Image.Image, int], bytes]] = {
    "JPEG": lambda image, shown: saved(
        image, "JPEG", quality=95, subsampling=2, exif=exif_of(shown)
    ),
    "PNG": lambda image, shown: saved(image, "PNG", exif=exif_of(shown)),
    "TIFF": lambda image, shown: tiff_of(
        np.asarray(image), photometric="rgb", extratags=[(274, 3, 1, shown, True)]
    ),
    "TIFF, JPEG": lambda image, shown: tiff_of(
        np.asarray(image.convert("YCbCr")),
        photometric="ycbcr",
        compression="jpeg",
        compressionargs={"level": 95},
        rowsperstrip=16,
        extratags=[(274, 3, 1, shown, True)],
    ),
    "HEIC": lambda image, shown: heic(image, quality=92, exif=exif_of(shown)),
    "AVIF": lambda image, shown: saved(image, "AVIF", quality=92, exif=exif_of(shown)),
}


@pytest.mark.parametrize("shown", range(1, 9))
@pytest.mark.parametrize("name", TURNED)
def test_a_turned_photo_moves_as_it_is_seen(name: str, shown: int, portrait: Image.Image) -> None:
    stored = Image.fromarray(np.ascontiguousarray(as_stored(np.asarray(portrait), shown)))
    data = TURNED[name](stored, shown)
    before = codecs.decode(data, NO_LIMIT)
    assert before.orientation == shown and before.pixels.shape == (HEIGHT, WIDTH, 3)
    after = codecs.decode(codecs.encode(data, change()).data, NO_LIMIT)
    assert after.orientation == shown
    wanted, inside = ideal_all(before.pixels, FACES), change().touched
    if name in ("PNG", "TIFF"):
        assert np.abs(after.pixels - np.rint(wanted)).max() <= 1
        np.testing.assert_array_equal(after.pixels[~inside], before.pixels[~inside])
    off = np.abs(wanted - before.pixels)[inside].mean()
    assert np.abs(after.pixels - wanted)[inside].mean() < 0.35 * off


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
def test_ten_bits_move_at_their_full_depth(kind: str, deep: np.ndarray) -> None:
    ten = deep >> 6
    out = io.BytesIO()
    if kind == "HEIC":
        pillow_heif.encode(
            "RGB;10", (WIDTH, HEIGHT), ten.tobytes(), out, quality=95, chroma="444", bit_depth=10
        )
        data = out.getvalue()
    else:
        data = bytes(imagecodecs.avif_encode(ten, 95, bitspersample=10, pixelformat="444"))
    coded = codecs.encode(data, change()).data
    read = heic_levels if kind == "HEIC" else imagecodecs.avif_decode
    before, after = read(data), read(coded)
    scale = 64 if kind == "HEIC" else 1
    wanted = np.stack([ideal(before[..., n], levels=scale * 1023 / 255) for n in range(3)], axis=2)
    inside = change().touched
    error = np.abs(after - wanted)[inside].mean()
    assert error < 0.2 * np.abs(before - wanted)[inside].mean()
    assert len(np.unique(after)) > 256


def heic_levels(data: bytes) -> np.ndarray:
    return np.asarray(pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False))


# No change


@pytest.mark.parametrize("what", ["no patch", "an empty patch", "a patch of zeros"])
@pytest.mark.parametrize("name", [*LOSSLESS, *JPEGS, *(one for one in LOSSY if "TIFF" in one)])
def test_no_change_leaves_every_pixel(
    name: str, what: str, portrait: Image.Image, tmp_path: Path
) -> None:
    data = (LOSSLESS | LOSSY | JPEGS)[name](portrait)
    zeros = np.zeros((30, 20), np.float32)
    patches = {
        "no patch": (),
        "an empty patch": (Patch(0, 0, zeros[:0, :0], np.zeros((0, 0, 2), np.float32)),),
        "a patch of zeros": (Patch(9, 9, zeros, np.zeros((30, 20, 2), np.float32)),),
    }
    coded = codecs.encode(data, PhotoChange(HEIGHT, WIDTH, patches[what])).data
    before, after = (codecs.decode(one, NO_LIMIT).pixels for one in (data, coded))
    np.testing.assert_array_equal(after, before)
    if name in JPEGS:
        old, new = (components(one, tmp_path / "photo.jpg") for one in (data, coded))
        for one, other in zip(old, new, strict=True):
            np.testing.assert_array_equal(one.blocks, other.blocks)


def test_a_large_face_moves_in_a_moment() -> None:
    """A guard against a slower way: a face of 500 pixels takes 0.06 s here."""
    face = Bump(30, 30, 500, 500, shift=(8, -5))
    pixels = np.random.default_rng(0).integers(0, 255, (600, 600, 3), np.uint8)
    patch = face.patch()
    start = time.process_time()
    for n in range(3):
        moved(pixels[..., n], patch)
    assert time.process_time() - start < 1
