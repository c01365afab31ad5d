"""The recognisers on real photos, and the wall between judges and surrogates."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from photoveil.transforms import codecs
from photoveil.transforms.embedding.surrogates import SURROGATES
from photoveil.transforms.faces.detect import load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.recognisers import JUDGES, SeenPhoto, load_recogniser, names

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
    assert recogniser.white_box == (name in SURROGATES)
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


def test_what_cloaks_imports_nothing_of_what_judges() -> None:
    root = Path(__file__).resolve().parents[1]
    judging = {root / "transforms" / part for part in ("recognisers", "evaluate")}
    for file in (root / "transforms").rglob("*.py"):
        if file.parent not in judging:
            imported = {
                name
                for node in ast.walk(ast.parse(file.read_text("utf-8")))
                for name in _imports(node)
            }
            assert not [n for n in imported if "recognisers" in n or "evaluate" in n], file


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []
