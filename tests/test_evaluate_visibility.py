"""Visibility figures, conditions and the contact sheet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage.metrics import structural_similarity

from photoveil.transforms.evaluate.conditions import AS_WRITTEN, CONDITIONS
from photoveil.transforms.evaluate.contact_sheet import Shown, contact_sheet
from photoveil.transforms.visibility.metrics import face_region
from photoveil.transforms.visibility.report import visibility


@pytest.fixture(scope="module")
def portrait(demo_photo: Callable[[str], Path]) -> np.ndarray:
    with Image.open(demo_photo("obama.jpg")) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def changed(portrait: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).integers(-9, 10, portrait.shape[:2])
    return np.clip(portrait + noise[..., np.newaxis], 0, 255).astype(np.uint8)


def test_equal_faces_show_nothing(portrait: np.ndarray) -> None:
    seen = visibility(portrait[:200, :150], portrait[:200, :150])
    assert (seen.flip, seen.delta_e, seen.delta_e_p95, seen.dssim, seen.max_change) == (0,) * 5
    assert seen.psnr == float("inf")


def test_a_constant_change_has_the_psnr_and_levels_that_it_must() -> None:
    grey = np.full((40, 40, 3), 100, np.uint8)
    seen = visibility(grey, grey + 10)
    assert seen.max_change == 10
    assert seen.psnr == pytest.approx(20 * np.log10(255 / 10))
    # Grey to grey, CIEDE2000 is the difference of lightness (of 42.4 and 46.4) over its weight.
    assert seen.delta_e == pytest.approx(3.78, abs=0.1)
    assert seen.delta_e_p95 == pytest.approx(seen.delta_e)


def test_dssim_is_the_one_of_tensorflow(portrait: np.ndarray, changed: np.ndarray) -> None:
    clean, written = portrait[50:250, 100:300], changed[50:250, 100:300]
    ssim = float(tf.image.ssim(tf.constant(clean), tf.constant(written), 255))
    assert visibility(clean, written).dssim == pytest.approx((1 - ssim) / 2, abs=1e-4)


def test_dssim_is_the_one_of_scikit_image_to_the_last_bit(
    portrait: np.ndarray, changed: np.ndarray
) -> None:
    """The scale of each cloak, and so every written file, depends on it."""
    clean, written = portrait[50:162, 100:212], changed[50:162, 100:212]
    ssim = structural_similarity(
        clean,
        written,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert visibility(clean, written).dssim == (1 - ssim) / 2


def test_a_face_smaller_than_a_window_has_no_dssim(portrait: np.ndarray) -> None:
    assert np.isnan(visibility(portrait[:10, :12], portrait[:10, :12]).dssim)


def test_a_box_outside_the_frame_is_empty(portrait: np.ndarray) -> None:
    assert face_region(portrait, (-50, -50, -10, -10)).size == 0


def test_conditions_do_what_they_say(portrait: np.ndarray) -> None:
    height, width = portrait.shape[:2]
    made = {name: condition(portrait) for name, condition in CONDITIONS.items()}
    assert made[AS_WRITTEN] is portrait
    assert made["half size"].shape == (round(height / 2), round(width / 2), 3)
    assert max(made["720 px"].shape) == 720
    assert made["screenshot"].shape[1] == 1080
    for name in ("JPEG 75", "JPEG 50", "mild blur"):
        assert made[name].shape == portrait.shape
    error = {name: np.abs(made[name].astype(int) - portrait).mean() for name in made if "J" in name}
    assert 0 < error["JPEG 75"] < error["JPEG 50"] < 6
    assert all(photo.dtype == np.uint8 for photo in made.values())


def test_720_px_does_not_enlarge() -> None:
    assert CONDITIONS["720 px"](np.zeros((90, 120, 3), np.uint8)).shape == (90, 120, 3)


def test_the_sheet_shows_original_cloaked_and_ten_times_the_difference() -> None:
    clean, written = np.full((30, 30, 3), 100, np.uint8), np.full((30, 30, 3), 103, np.uint8)
    sheet = np.asarray(contact_sheet([Shown("a face", clean, written)]))
    assert [int(sheet[150, x, 0]) for x in (150, 450, 750)] == [100, 103, 158]
