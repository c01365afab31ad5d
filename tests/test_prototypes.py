"""Prototypes of people, over real runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from photoveil.pipeline.state import prototypes
from photoveil.pipeline.state.prototypes import Prototypes
from photoveil.transforms.io import parquet
from tests.archives import QUICK, Archive

Photo = Callable[[str], Path]
OBAMA = ("obama.jpg", "obama2.jpg", "obama3.jpg")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, small_photo: Photo) -> Archive:
    """Three photos of one man, and one of another, after a first run."""
    archive = Archive(tmp_path_factory.mktemp("prototypes"))
    archive.photos.mkdir()
    for name in (*OBAMA, "biden.jpg"):
        shutil.copyfile(small_photo(name), archive.photos / name)
    archive.run()
    return archive


@pytest.fixture
def again(archive: Archive, tmp_path: Path) -> Archive:
    """A copy."""
    for name in ("photos", "out", "state"):
        shutil.copytree(archive.photos.parent / name, tmp_path / name)
    return Archive(tmp_path)


def named(archive: Archive) -> dict[str, list[str | None]]:
    """The names of the prototypes of each photo's faces, the latest of each."""
    parts = parquet.parts(str(archive.state / "people/faces"))
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    by_photo = {row["sha256"]: row["prototype"] for row in rows}
    return {source: [by_photo[row["source_sha256"]]] for source, row in archive.rows().items()}


def test_photos_of_a_person_in_a_wave_share_one(archive: Archive) -> None:
    found = named(archive)
    assert found["biden.jpg"] == [None]  # he has no other photo
    names = {found[source][0] for source in OBAMA}
    assert len(names) == 1
    (name,) = names
    assert name is not None
    value = Prototypes(str(archive.state)).of(name)
    assert value is not None
    # The mean of three photos of one man is shorter than each, and not by much.
    assert 0.7 < np.linalg.norm(value[:192].astype(np.float32)) < 0.99


def test_a_later_photo_of_the_person_has_the_same(again: Archive) -> None:
    before = named(again)["obama.jpg"]
    with Image.open(again.photos / "obama2.jpg") as image:
        ImageOps.mirror(image).save(again.photos / "later.jpg", quality=95)
    again.run()
    assert named(again)["later.jpg"] == before


@pytest.mark.slow
def test_other_settings_have_another(again: Archive) -> None:
    before = named(again)["obama.jpg"]
    again.settings = QUICK.model_copy(
        update={"cloak": replace(QUICK.cloak, steps=QUICK.cloak.steps + 1)}
    )
    again.run(recloak=True)
    after = named(again)["obama.jpg"]
    assert after != before
    values = [Prototypes(str(again.state)).of(name) for (name,) in (before, after) if name]
    assert values[0] is None  # no face has it any more
    assert values[1] is not None


@pytest.mark.slow
def test_it_is_forgotten_with_the_last_photo(again: Archive) -> None:
    (name,) = named(again)["obama.jpg"]
    assert name is not None
    for source in OBAMA[:2]:
        (again.photos / source).unlink()
    again.run(prune=True)
    assert Prototypes(str(again.state)).of(name) is not None
    (again.photos / OBAMA[2]).unlink()
    again.run(prune=True)
    assert Prototypes(str(again.state)).of(name) is None
    assert not any(pq.read_table(part).num_rows for part in parts_of(again))


def test_a_lost_one_is_made_again_and_gives_the_same_cloak(again: Archive) -> None:
    outputs = {source: (again.out / source).read_bytes() for source in OBAMA}
    for part in parts_of(again):
        Path(part).unlink()
    for source in OBAMA:
        (again.out / source).unlink()
    again.run()
    assert {source: (again.out / source).read_bytes() for source in OBAMA} == outputs


def test_a_damaged_one_is_named_with_what_to_do(again: Archive) -> None:
    (part,) = map(Path, parts_of(again))
    part.write_bytes(b"damaged")
    with Image.open(again.photos / "obama2.jpg") as image:
        ImageOps.mirror(image).save(again.photos / "later.jpg", quality=95)
    with pytest.raises(OSError, match=rf"{part.name}.*Delete that file"):
        again.run()


def test_the_oldest_stay_where_there_are_too_many(
    small_photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prototypes, "_MOST", 0)
    archive = Archive(tmp_path)
    archive.photos.mkdir()
    for name in OBAMA[:2]:
        shutil.copyfile(small_photo(name), archive.photos / name)
    archive.run()
    assert set(map(tuple, named(archive).values())) == {(None,)}
    assert not parts_of(archive)


def parts_of(archive: Archive) -> list[str]:
    return parquet.parts(str(archive.state / "people/prototypes"))
