"""The visibility budget, on a real face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from photoveil.transforms.cloak.budget import (
    TOLERANCE,
    displacement_of,
    face_view,
    is_of_coding,
    scale_to_budget,
    visibility_of,
)
from photoveil.transforms.codecs.photo import with_change
from photoveil.transforms.faces.align import INTEROCULAR, feather
from photoveil.transforms.faces.detect import detect_faces, load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.photo.composite import face_patch, photo_change
from photoveil.transforms.photo.discover import discover
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.photo.parameters import MetadataParameters, WriteParameters
from photoveil.transforms.photo.read import read_photo
from photoveil.transforms.photo.scan import scanned
from photoveil.transforms.photo.write import publish
from photoveil.transforms.records import Destination, Face, Perturbation, Visibility
from photoveil.transforms.visibility import view
from photoveil.transforms.visibility.budget import Budget
from photoveil.transforms.visibility.view import FaceView

BUDGET = Budget(flip=0.05, delta_e=0.8, dssim=0.01, contrast=4.0)


@pytest.fixture(scope="module")
def portrait(demo_photo: Callable[[str], Path]) -> np.ndarray:
    with Image.open(demo_photo("obama.jpg")) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def face(portrait: np.ndarray) -> Face:
    detector = load_retinaface(str(assets.fetch("retinaface.pb")))
    return detect_faces(portrait, detector, DetectorParameters())[0]


@pytest.fixture(scope="module")
def cloak() -> Perturbation:
    noise = np.random.default_rng(0).normal(0, 12, (112, 112))
    still = np.zeros((112, 112, 2), np.float32)
    return Perturbation((noise * feather()).astype(np.float32), still, 0.0, 1)


@pytest.fixture(scope="module")
def bend() -> Perturbation:
    """Moves the middle of the crop by three pixels to the side, and draws nothing."""
    shift = np.zeros((112, 112, 2), np.float32)
    shift[..., 0] = 3 * ndimage.gaussian_filter(np.pad([[1.0]], ((55, 56), (55, 56))), 16)
    shift *= 3 / np.abs(shift).max()
    return Perturbation(np.zeros((112, 112), np.float32), shift * feather()[..., None], 0.0, 1)


def changed(pixels: np.ndarray, cloak: Perturbation, face: Face, scale: float) -> np.ndarray:
    size = pixels.shape[:2]
    return with_change(
        pixels, photo_change([face_patch(cloak, face, [face], *size)], [scale], *size)
    )


def visibility(
    bent: np.ndarray, changed: np.ndarray, face: Face, cloak: Perturbation
) -> Visibility:
    return visibility_of(face_view(bent, face), face_view(changed, face), displacement_of(cloak))


def scaled(pixels: np.ndarray, cloak: Perturbation, face: Face, budget: Budget) -> float:
    return scale_to_budget(pixels, face_view(pixels, face), cloak, face, budget)


def drawn(seen: Visibility) -> tuple[float, ...]:
    return seen.flip, seen.delta_e, seen.dssim, seen.contrast


def test_an_unchanged_face_shows_nothing(
    portrait: np.ndarray, face: Face, cloak: Perturbation
) -> None:
    seen = visibility(portrait, portrait, face, cloak)
    assert drawn(seen) == pytest.approx((0, 0, 0, 0), abs=1e-7)


def test_a_box_beyond_the_frame_shows_nothing(
    portrait: np.ndarray, face: Face, cloak: Perturbation
) -> None:
    outside = replace(face, box=(-90.0, -90.0, -10.0, -10.0))
    seen = visibility(portrait, 255 - portrait, outside, cloak)
    assert seen == Visibility(0.0, 0.0, 0.0, 0.0)


def test_what_moves_is_not_taken_for_what_is_drawn(
    portrait: np.ndarray, face: Face, bend: Perturbation
) -> None:
    bent = changed(portrait, bend, face, 0.0)
    moved = visibility(portrait, bent, face, bend)
    assert moved.dssim > 0.01  # DSSIM takes a moved edge for noise
    seen = visibility(bent, changed(portrait, bend, face, 1.0), face, bend)
    assert drawn(seen) == pytest.approx((0, 0, 0, 0), abs=1e-7)
    percent = 100 / INTEROCULAR
    assert seen.shift_peak == pytest.approx(3 * percent, rel=0.02)
    length = np.hypot(*np.moveaxis(bend.shift.astype(float), -1, 0))
    assert seen.shift_rms == pytest.approx(percent * np.sqrt((length**2).mean()))
    assert seen.stretch == pytest.approx(np.abs(np.gradient(bend.shift[..., 0])).max(), rel=0.1)


def test_a_line_on_smooth_skin_counts_more_than_the_same_in_hair(portrait: np.ndarray) -> None:
    """As seen by a viewer: means over a face do not tell the two apart."""
    left, top, right, bottom = 330, 260, 700, 700
    box = portrait[top:bottom, left:right]
    grey = ndimage.gaussian_filter(box.mean(axis=2), 12)
    busy = ndimage.gaussian_filter((box.mean(axis=2) - grey) ** 2, 12)
    inner = np.s_[60:-60, 60:-60]
    found = {}
    for name, where in (("skin", busy[inner].argmin()), ("hair", busy[inner].argmax())):
        y, x = np.unravel_index(where, busy[inner].shape)
        line = box.astype(np.int16)
        line[y + 58 : y + 62, x + 40 : x + 80] += 12
        drawn_on = line.clip(0, 255).astype(np.uint8)
        found[name] = view.contrast(*(FaceView(one, one[:112, :112]) for one in (box, drawn_on)))
    assert found["skin"] > 2 * found["hair"] > 0


@pytest.mark.parametrize(
    "budget",
    [
        replace(BUDGET, delta_e=9.0, dssim=0.09, contrast=64.0),
        replace(BUDGET, flip=0.9, dssim=0.09, contrast=64.0),
        replace(BUDGET, flip=0.9, delta_e=9.0, contrast=64.0),
        replace(BUDGET, flip=0.9, delta_e=9.0, dssim=0.5, contrast=1.0),
        BUDGET,
    ],
)
@pytest.mark.parametrize("strength", [1.0, 0.6, 0.4])
def test_a_scaled_cloak_spends_its_budget_and_no_more(
    portrait: np.ndarray, face: Face, cloak: Perturbation, budget: Budget, strength: float
) -> None:
    made = replace(cloak, change=strength * cloak.change)
    scale = scaled(portrait, made, face, budget)
    seen = visibility(portrait, changed(portrait, made, face, scale), face, made)
    assert 0.97 < budget.spent(seen) <= 1.03


def test_a_face_at_the_edge_is_scaled_too(
    portrait: np.ndarray, face: Face, cloak: Perturbation
) -> None:
    """A photo cut through the face: box and crop reach beyond the frame."""
    middle = int((face.box[0] + face.box[2]) / 2)
    half, moved = np.ascontiguousarray(portrait[:, middle:]), face.moved(-middle, 0)
    scale = scaled(half, cloak, moved, BUDGET)
    seen = visibility(half, changed(half, cloak, moved, scale), moved, cloak)
    assert 0.9 < BUDGET.spent(seen) <= 1 + TOLERANCE


@pytest.mark.parametrize("coded", [0.0, 0.5, 1.0])
def test_coding_is_no_excuse_for_more_than_it_adds(
    portrait: np.ndarray, face: Face, cloak: Perturbation, coded: float
) -> None:
    """What is to be written and what was written differ by noise, some of it the coding's."""
    noise = coded * np.random.default_rng(1).normal(0, 6, portrait.shape)
    noisy = np.clip(portrait + noise, 0, 255).astype(np.uint8)
    views = face_view(portrait, face), face_view(noisy, face)
    own = BUDGET.spent(visibility_of(*views, displacement_of(cloak)))
    assert is_of_coding(1 + TOLERANCE + 0.99 * own, *views, BUDGET)
    assert not is_of_coding(1 + TOLERANCE + 1.01 * own + 0.01, *views, BUDGET)


def test_a_cloak_is_blown_up_to_a_limit_only(
    portrait: np.ndarray, face: Face, cloak: Perturbation
) -> None:
    faint = replace(cloak, change=cloak.change / 16)
    assert scaled(portrait, faint, face, BUDGET) == pytest.approx(1.3)


def test_what_coding_costs_is_not_taken_for_what_is_drawn(
    portrait: np.ndarray, face: Face, cloak: Perturbation, tmp_path: Path
) -> None:
    """A lossy WebP is encoded anew, and that alone is seen: it is no reason to draw less."""
    (tmp_path / "in").mkdir()
    for name, quality in (("fine.webp", 98), ("coarse.webp", 30)):
        Image.fromarray(portrait).save(tmp_path / "in" / name, quality=quality)
    place = Destination(str(tmp_path / "out"), str(tmp_path / "out" / "scratch"))
    parameters = WriteParameters(BUDGET, MetadataParameters(), ReadLimits())
    drawn = {}
    for ref in discover(str(tmp_path / "in")):
        scan = scanned(read_photo(ref, ReadLimits()), [face], 12)
        row = publish(scan, {0: cloak}, place, parameters)
        assert row.status == "cloaked"
        assert not any("budget" in note for note in row.notes)
        change = row.written[0].astype(float).mean(axis=2) - row.clean[0].mean(axis=2)
        drawn[ref.relative] = float((change * cloak.change).mean())
    assert drawn["coarse.webp"] > 0.7 * drawn["fine.webp"]
