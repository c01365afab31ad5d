"""The recognisers on real photos, and the wall between judges and surrogates."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from transforms import assets, codecs
from transforms.cloak.surrogates import SURROGATES
from transforms.faces.detect import load_retinaface
from transforms.faces.parameters import DetectorParameters
from transforms.recognisers import JUDGES, SeenPhoto, load_recogniser, names

PHOTOS = ("obama.jpg", "obama2.jpg", "biden.jpg", "astronaut.png")


@pytest.fixture(scope="module")
def seen(demo_photo: Callable[[str], Path]) -> list[SeenPhoto]:
    detector = load_retinaface(str(demo_photo("retinaface.pb")))
    return [
        SeenPhoto(
            codecs.decode(demo_photo(name).read_bytes(), 10**8).pixels,
            detector,
            DetectorParameters(),
        )
        for name in PHOTOS
    ]


@pytest.mark.parametrize("name", names())
def test_it_tells_people_apart_at_its_own_threshold(name: str, seen: list[SeenPhoto]) -> None:
    if name == "dlib":
        pytest.importorskip("dlib", reason="the extra evaluate is not installed")
    recogniser = load_recogniser(name)
    crops = [recogniser.align(photo) for photo in seen]
    assert all(crop is not None for crop in crops)
    embeddings = recogniser.embed(np.stack(crops))  # type: ignore[arg-type]
    assert embeddings.shape == (len(PHOTOS), recogniser.dimension)
    distances = recogniser.distance(embeddings, embeddings)
    same, others = distances[0, 1], distances[[0, 0, 1, 1, 2], [2, 3, 2, 3, 3]]
    assert same < others.min()
    if recogniser.threshold is not None:
        assert same < recogniser.threshold < others.min()


@pytest.mark.parametrize("name", names())
def test_a_photo_without_a_face_gives_no_crop(name: str, seen: list[SeenPhoto]) -> None:
    if name == "dlib":
        pytest.importorskip("dlib", reason="the extra evaluate is not installed")
    detector = load_retinaface(str(assets.fetch("retinaface.pb")))
    nothing = SeenPhoto(np.full((200, 200, 3), 90, np.uint8), detector, DetectorParameters())
    assert load_recogniser(name).align(nothing) is None


def test_white_box_is_said_of_surrogates_and_of_them_alone() -> None:
    for name in names():
        if name != "dlib":
            assert load_recogniser(name).white_box == (name in SURROGATES)


def test_no_judge_is_a_surrogate_by_name_or_by_file() -> None:
    assert not set(JUDGES) & set(SURROGATES)
    files = {asset for asset_names, _ in SURROGATES.values() for asset in asset_names}
    judges = {a.name: a.sha256 for a in assets.catalogue().values() if a.kind == "judge"}
    assert "facenet.pb" in judges
    assert not {assets.catalogue()[name].sha256 for name in files} & set(judges.values())


def test_a_judge_made_a_surrogate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SURROGATES, "facenet", SURROGATES["mobilefacenet"])
    with pytest.raises(ValueError, match="must not be a surrogate"):
        load_recogniser("facenet")


def test_the_engine_never_loads_a_judge() -> None:
    script = (
        "import sys, pipeline.waves, pipeline.graph\n"
        "ours = ('dlib', 'transforms.recognisers', 'transforms.evaluate')\n"
        "print(*(module for module in sys.modules if module.startswith(ours)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
