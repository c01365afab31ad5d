"""The recognisers on real photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from photoveil.transforms import codecs
from photoveil.transforms.faces.detect import load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.recognisers import SeenPhoto, load_recogniser, names

PHOTOS = ("obama.jpg", "obama2.jpg", "biden.jpg", "astronaut.png")


@pytest.fixture(scope="module")
def seen(demo_photo: Callable[[str], Path]) -> list[SeenPhoto]:
    """The photos, and one without a face."""
    detector = load_retinaface(str(demo_photo("retinaface.pb")))
    photos = [codecs.decode(demo_photo(name).read_bytes(), 10**8).pixels for name in PHOTOS]
    nothing = np.full((200, 200, 3), 90, np.uint8)
    return [SeenPhoto(pixels, detector, DetectorParameters()) for pixels in [*photos, nothing]]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "dlib" else pytest.mark.slow) for name in names()],
)
def test_it_tells_people_apart_at_its_own_threshold(name: str, seen: list[SeenPhoto]) -> None:
    recogniser = load_recogniser(name)
    *crops, none = (recogniser.align(photo) for photo in seen)
    assert none is None
    assert all(crop is not None for crop in crops)
    embeddings = recogniser.embed(np.stack(crops))  # type: ignore[arg-type]
    assert embeddings.shape == (len(PHOTOS), recogniser.dimension)
    distances = recogniser.distance(embeddings, embeddings)
    same, others = distances[0, 1], distances[[0, 0, 1, 1, 2], [2, 3, 2, 3, 3]]
    assert same < others.min()
    if recogniser.threshold is not None:
        assert same < recogniser.threshold < others.min()
