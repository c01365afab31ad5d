"""The contrast drawn on a large face, computed at few places, against that of all its pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from photoveil.transforms.visibility import contrast
from photoveil.transforms.visibility.contrast import Ground, drawn_contrast, luminance


@pytest.fixture(scope="module")
def face(demo_photo: Callable[[str], Path]) -> np.ndarray:
    with Image.open(demo_photo("obama.jpg")) as image:
        return luminance(np.asarray(image.convert("RGB"))[150:750, 280:760])


@pytest.mark.parametrize("grain", [0.5, 3, 12])
@pytest.mark.parametrize("place", ["everywhere", "at the edge", "nowhere"])
def test_few_places_give_the_same_bits_as_all(face: np.ndarray, grain: float, place: str) -> None:
    noise = np.random.default_rng(0).normal(0, 1, face.shape)
    change = 5 * grain * ndimage.gaussian_filter(noise, grain)
    if place == "at the edge":
        change[:-40] = 0
    changed = (face + (0 if place == "nowhere" else change)).astype(np.float32)
    ground = Ground(face)
    assert ground.unit >= contrast._LARGE
    added = changed - face
    everywhere = contrast._size(added, ground.unit) / ground.masking
    assert (contrast._bound(ground, added) >= everywhere).all()
    found = contrast._at_highest_bounds(ground, added)
    assert found == drawn_contrast(ground, changed) == float(everywhere.max())
