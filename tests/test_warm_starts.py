"""What is kept of people for their next cloaks, over real runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from photoveil.pipeline.run import planning, waves
from photoveil.pipeline.run.context import RunContext
from photoveil.pipeline.state import warm_starts
from photoveil.pipeline.state.people import People
from photoveil.pipeline.state.warm_starts import CHANGES, WarmStarts
from photoveil.transforms.records import Face, PhotoRef, ScannedPhoto
from tests.archives import QUICK, Archive

Photo = Callable[[str], Path]
FIRST, KNOWN = QUICK.cloak.steps, QUICK.cloak.known_steps


def steps(archive: Archive) -> dict[str, list[int]]:
    """Of the faces of each photo."""
    return {source: [f["steps"] for f in row["faces"]] for source, row in archive.rows().items()}


def changed(source: Path, target: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    with Image.open(source) as image:
        change(image.convert("RGB")).save(target, quality=95)


def smaller(image: Image.Image) -> Image.Image:
    return image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)


def larger(image: Image.Image) -> Image.Image:
    return image.resize((image.width * 5 // 4, image.height * 5 // 4), Image.Resampling.LANCZOS)


def pixels_of(photo: Path) -> np.ndarray:
    with Image.open(photo) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, small_photo: Photo) -> Archive:
    """Three photos of one man, and one of another, after a first run."""
    archive = Archive(tmp_path_factory.mktemp("memory"))
    archive.photos.mkdir()
    for name in ("obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg"):
        shutil.copyfile(small_photo(name), archive.photos / name)
    archive.run()
    return archive


def test_who_was_met_before_takes_fewer_steps(archive: Archive) -> None:
    first = steps(archive)
    assert first == {name: [FIRST] for name in first}
    for name in ("obama2", "biden"):
        photo = archive.photos / f"{name}.jpg"
        changed(photo, archive.photos / f"{name}_again.jpg", ImageOps.mirror)
    archive.run()
    later = steps(archive)
    assert later["obama2_again.jpg"] == [KNOWN]
    assert later["biden_again.jpg"] == [KNOWN]  # from his one cloak
    # Near duplicates keep to what the photo that they are like had, whatever is known since.
    for name in ("obama", "obama2_again"):
        photo = archive.photos / f"{name}.jpg"
        changed(photo, archive.photos / f"{name}_small.jpg", smaller)
    archive.run()
    rows = archive.rows()
    for name, count in (("obama", FIRST), ("obama2_again", KNOWN)):
        assert rows[f"{name}_small.jpg"]["duplicate_of"] == f"{name}.jpg"
        assert steps(archive)[f"{name}_small.jpg"] == [count]


def with_comment(data: bytes) -> bytes:
    """A JPEG file with a tag more, and the same pixels."""
    return data[:2] + b"\xff\xfe\x00\x06more" + data[2:]


@pytest.mark.slow
def test_a_photo_that_is_done_anew_gets_the_cloak_that_it_had(
    archive: Archive, tmp_path: Path
) -> None:
    again = Archive(tmp_path)
    for name in ("photos", "out", "state"):
        shutil.copytree(archive.photos.parent / name, tmp_path / name)
    changed(again.photos / "obama3.jpg", again.photos / "warm.jpg", ImageOps.mirror)
    changed(again.photos / "obama3.jpg", again.photos / "large.jpg", larger)
    changed(again.photos / "obama2.jpg", again.photos / "like.jpg", smaller)
    again.run()
    assert steps(again)["warm.jpg"] == [KNOWN]
    assert steps(again)["obama.jpg"] == [FIRST]  # he would have a start now
    rows = again.rows()
    assert rows["large.jpg"]["duplicate_of"] == "obama3.jpg"
    assert rows["like.jpg"]["duplicate_of"] == "obama2.jpg"

    lost = {
        name: again.out / f"{name}.jpg" for name in ("warm", "obama", "obama3", "large", "like")
    }
    before = {name: path.read_bytes() for name, path in lost.items()}
    cloaked = {name: again.out / f"{name}.jpg" for name in ("obama2", "biden")}
    pixels = {name: pixels_of(path) for name, path in cloaked.items()}
    for path in lost.values():
        path.unlink()
    for name in ("obama2", "biden"):  # get a tag, and one of them a new name
        photo = again.photos / f"{name}.jpg"
        photo.write_bytes(with_comment(photo.read_bytes()))
    (again.photos / "biden.jpg").rename(again.photos / "moved.jpg")
    os.utime(again.photos / "obama2.jpg", (1e9, 1e9))
    stamp = planning.new_stamp(QUICK)
    waves.scan(
        RunContext(again.library, QUICK, stamp), planning.plan_scan(again.library, QUICK, stamp)
    )
    assert again.run(since=1.1e9).statuses["cloaked"] == 6  # without obama2.jpg
    assert {name: path.read_bytes() for name, path in lost.items()} == before
    assert np.array_equal(pixels_of(again.out / "moved.jpg"), pixels["biden"])
    assert again.rows()["like.jpg"]["duplicate_of"] == "obama2.jpg"
    assert again.run().statuses["cloaked"] == 1
    assert np.array_equal(pixels_of(cloaked["obama2"]), pixels["obama2"])


@pytest.mark.slow
def test_cloaks_of_people_who_were_scanned_ahead_give_starts(
    tmp_path: Path, small_photo: Photo
) -> None:
    archive = Archive(tmp_path)
    archive.photos.mkdir()
    for name in ("obama.jpg", "obama2.jpg", "obama3.jpg"):
        shutil.copyfile(small_photo(name), archive.photos / name)
    stamp = planning.new_stamp(QUICK)
    waves.scan(
        RunContext(archive.library, QUICK, stamp), planning.plan_scan(archive.library, QUICK, stamp)
    )
    archive.run()  # which finds no face that the scan did not
    (person,) = People(str(archive.state)).everyone()
    assert WarmStarts(str(archive.state)).has_start(person.name)


def test_targets_stay_and_point_away(archive: Archive, tmp_path: Path) -> None:
    again = Archive(tmp_path)
    for name in ("photos", "out", "state"):
        shutil.copytree(archive.photos.parent / name, tmp_path / name)
    people = {person.name for person in People(str(again.state)).everyone()}
    before = {name: WarmStarts(str(again.state)).of(name) for name in people}
    assert all(known is not None for known in before.values())
    changed(again.photos / "obama3.jpg", again.photos / "new.jpg", ImageOps.mirror)
    again.run()
    after = WarmStarts(str(again.state))
    for name, known in before.items():
        now = after.of(name)
        assert known is not None and now is not None
        assert now.target is not None and known.target is not None
        assert np.array_equal(now.target, known.target)
        assert np.linalg.norm(now.target.astype(float)) == pytest.approx(1, abs=0.01)


def test_strangers_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_starts, "_MOST", 1)
    faces = [f"photo{number:02} 0" for number in range(9)]
    change = np.ones((112, 112, 3), np.float16)
    memory = WarmStarts(str(tmp_path))
    rows = {"face": faces, "change": [(n * change).tobytes() for n in range(9)]}
    memory.keep(pa.table(rows, CHANGES), "wave")
    anna = dict.fromkeys(faces[:3], "anna") | dict.fromkeys(faces[3:5], "berta")
    known = anna | {face: face for face in faces[5:]}
    memory.learn(known, dict.fromkeys(known.values(), np.ones(192, np.float32)))
    again = WarmStarts(str(tmp_path))
    start = again.of("anna")
    assert start is not None and start.start is not None
    assert np.array_equal(start.start, change)  # the mean of 0, 1 and 2
    assert not again.has_start("berta")
    (kept,) = (tmp_path / "people/changes").iterdir()
    assert pq.read_table(kept)["face"].to_pylist() == faces[3:4]


def test_a_start_of_the_first_libraries_moves_nothing(tmp_path: Path) -> None:
    """They kept levels alone, (S, S)."""
    memory = WarmStarts(str(tmp_path))
    levels = np.random.default_rng(1).normal(size=(112, 112)).astype(np.float16)
    memory.keep(pa.table({"face": ["a 0"], "change": [levels.tobytes()]}, CHANGES), "wave")
    memory.learn({"a 0": "anna"}, {"anna": np.ones(192, np.float32)})
    start = WarmStarts(str(tmp_path)).of("anna")
    assert start is not None and start.start is not None
    assert np.array_equal(start.start[..., 2], levels)
    assert not start.start[..., :2].any()


def test_a_face_that_is_added_again_is_as_it_was_last(tmp_path: Path) -> None:
    people = People(str(tmp_path))

    def add(part: str, side: float) -> None:
        face = Face((0.0, 0.0, side, side), ((side, side),) * 5, 1.0)
        vector = np.ones((1, 192), np.float32)
        photo = ScannedPhoto(PhotoRef("", "a.jpg", 1, 0.0), "5a", "JPEG", faces=(face,))
        crop = np.zeros((1, 112, 112, 3), np.uint8)
        people.add([replace(photo, crops=crop, embeddings=vector)], part)

    add("20260101-000001", 1.0)
    people.settle({"5a"}, 1)
    add("20260102-000001", 2.0)
    add("20260103-000001", 3.0)
    assert (people.landmarks()["5a 0"] == 3.0).all()
