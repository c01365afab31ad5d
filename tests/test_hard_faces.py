"""Faces turned, in profile, cut off by the frame, close together or tiny, over a real run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from photoveil.transforms.cloak.budget import TOLERANCE
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.faces.parameters import DetectorParameters
from tests.archives import QUICK, Archive

pytestmark = pytest.mark.slow

Photo = Callable[[str], Path]
SETTINGS = QUICK.model_copy(
    update={
        "cloak": replace(QUICK.cloak, steps=6),
        "detector": DetectorParameters(long_sides=(640,), min_face=24),
    }
)
GREY = (120, 130, 140)


def turned(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=GREY)


def on_grey(*images: tuple[Image.Image, tuple[int, int]]) -> Image.Image:
    canvas = Image.new("RGB", (640, 480), GREY)
    for image, place in images:
        canvas.paste(image, place)
    return canvas


def head(path: Path, height: int) -> Image.Image:
    """The head of a demo portrait, little more than the face."""
    box = {"obama.jpg": (340, 20, 650, 470), "biden.jpg": (390, 100, 755, 630)}[path.name]
    image = Image.open(path).convert("RGB").crop(box)
    return image.resize((image.width * height // image.height, height), Image.Resampling.LANCZOS)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, demo_photo: Photo) -> dict[str, dict[str, Any]]:
    archive = Archive(tmp_path_factory.mktemp("hard"), SETTINGS)
    archive.photos.mkdir()
    left, right = head(demo_photo("obama.jpg"), 180), head(demo_photo("biden.jpg"), 180)
    portrait = on_grey((head(demo_photo("obama.jpg"), 300), (200, 80)))
    photos = {f"turned {angle}": turned(portrait, angle) for angle in (45, 90, 180)}
    photos["cut"] = portrait.crop((285, 0, 640, 480))
    photos["close"] = on_grey((left, (250 - left.width, 100)), (right, (250, 110)))
    photos["behind"] = on_grey((right, (330, 90)), (left, (225, 120)))
    photos["tiny beside"] = on_grey((left, (60, 60)), (right.resize((22, 32)), (500, 300)))
    photos["tiny"] = on_grey((right.resize((22, 32)), (500, 300)))
    for name, image in photos.items():
        image.save(archive.photos / f"{name}.png")
    archive.run()
    return {Path(source).stem: row for source, row in archive.rows().items()}


@pytest.mark.parametrize(
    ("name", "faces"),
    [
        ("turned 45", 1),
        ("turned 90", 1),
        ("turned 180", 1),
        ("cut", 1),
        ("close", 2),
        ("behind", 2),
        ("tiny beside", 1),
    ],
)
def test_each_is_cloaked_within_its_budget(
    rows: dict[str, dict[str, Any]], name: str, faces: int
) -> None:
    row = rows[name]
    assert (row["status"], len(row["faces"])) == ("cloaked", faces)
    for face in row["faces"]:
        check(face)


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("exif/jpg/exif-org/kodak-dc210.jpg", (432, 248, 489, 338)),
        ("people/img59.jpg", (0, 77, 192, 450)),  # and cut off by the frame
    ],
)
def test_a_face_in_profile_is_cloaked_within_its_budget(
    tmp_path: Path, shared_data: Path, name: str, inside: tuple[int, int, int, int]
) -> None:
    if not (shared_data / name).is_file():
        pytest.skip(f"{name} is not in the labelled data")
    archive = Archive(tmp_path, SETTINGS)
    archive.photos.mkdir()
    with Image.open(shared_data / name) as photo:
        photo.convert("RGB").save(archive.photos / "profile.png")
    archive.run()
    (row,) = archive.rows().values()
    assert row["status"] == "cloaked"
    left, top, right, bottom = inside
    (profile,) = (
        face
        for face in row["faces"]
        if left < (face["box"]["left"] + face["box"]["right"]) / 2 < right
        and top < (face["box"]["top"] + face["box"]["bottom"]) / 2 < bottom
    )
    check(profile)


def check(face: dict[str, Any]) -> None:
    most: CloakParameters = SETTINGS.cloak
    assert face["dssim"] <= most.dssim_budget * (1 + TOLERANCE)
    assert face["flip"] <= most.flip_budget * (1 + TOLERANCE)
    assert face["delta_e"] <= most.delta_e_budget * (1 + TOLERANCE)
    (shift,) = (item["shift"] for item in face["cosine_shift"])
    assert shift > 0.3


def test_tiny_faces_are_told_not_silently_skipped(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["tiny"]["status"] == "unchanged"
    for name in ("tiny", "tiny beside"):
        assert "too small for a recogniser" in rows[name]["reason"]
