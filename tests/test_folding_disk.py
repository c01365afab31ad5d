"""Whole runs onto disks that take two names for one, refuse characters and have other limits."""

from __future__ import annotations

import hashlib
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from photoveil.pipeline.library import integrity
from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.library.integrity import check_library
from photoveil.pipeline.library.library import open_library
from photoveil.pipeline.library.manifest import read
from photoveil.transforms.io import storage
from photoveil.transforms.naming import output_names
from tests.archives import Archive
from tests.disks import KINDS, FoldingStore, mounted

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF/></x:xmpmeta>"
FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
Portrait = Callable[[str, int], None]


@pytest.fixture(
    params=[k if k == "store" else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
def disk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder on a disk that folds names, with nothing in it."""
    if request.param == "store":
        folder = tmp_path / "disk"
        folder.mkdir()
        FoldingStore(folder, monkeypatch)
        yield folder
    else:
        with mounted(request.param) as folder:
            yield folder


@pytest.fixture
def archive(disk: Path, tmp_path: Path) -> Archive:
    """An archive on an ordinary disk, whose library is on the other one."""
    archive = Archive(tmp_path)
    archive.out = disk / "out"
    archive.photos.mkdir()
    return archive


def picture(path: Path, seed: int) -> None:
    """Write a photo of nobody, unlike that of any other seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC).save(path, "JPEG")


@pytest.fixture(scope="session")
def portrait(demo_photo: Callable[[str], Path]) -> Portrait:
    """Writes one of two photos of a face."""

    def write(path: str, which: int) -> None:
        with Image.open(demo_photo("obama.jpg")) as image:
            small = image.convert("RGB").resize((240, 300))
        if which:
            small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        small.save(path, "JPEG", quality=95)

    return write


def check(archive: Archive) -> dict[str, dict[str, Any]]:
    """The rows, when each output is there as the row says, and no run would find any work."""
    rows = archive.rows()
    outputs = [row["output"] for row in rows.values() if row["output"] is not None]
    assert len(set(outputs)) == len(outputs)
    for row in rows.values():
        if row["output"] is not None:
            data = storage.read_bytes(str(archive.out / row["output"]))
            assert hashlib.sha256(data).hexdigest() == row["output_sha256"], row["output"]
            differs = row["output"] != row["source"]
            assert differs == bool(output_names.why(row["notes"])), row
    plan = archive.plan()
    assert plan.refs == []
    assert plan.why == {}
    assert (plan.newly_gone, plan.back, plan.dropped) == ((), (), ())
    found, checks = check_library(archive.library, read(archive.library.manifest).to_pylist())
    found += [one for one in integrity.carry_out(checks) if one is not None]
    assert [one for one in found if one.kind != "gone"] == []
    assert os.listdir(archive.out / "_photoveil/unfinished") == []
    return rows


def there(archive: Archive) -> int:
    """How many files for publishing the disk holds."""
    return sum(
        len(files) for folder, _, files in os.walk(archive.out) if "_photoveil" not in folder
    )


def test_no_photo_overwrites_another_and_a_run_comes_to_rest(
    archive: Archive, portrait: Portrait
) -> None:
    portrait(str(archive.photos / "IMG_0001.JPG"), 0)
    portrait(str(archive.photos / "img_0001.jpg"), 1)
    for name in ("IMG_0001.xmp", "img_0001.xmp", "img_0001.jpg.xmp"):
        (archive.photos / name).write_bytes(XMP.replace(b"/></", f"/><!--{name}--></".encode()))
    picture(archive.photos / "Sub/a.jpg", 1)
    picture(archive.photos / "sub/A.jpg", 2)
    picture(archive.photos / "sub/b.jpg", 3)
    for number, form in enumerate(FORMS):
        picture(archive.photos / unicodedata.normalize(form, "é.jpg"), 4 + number)
    shutil.copyfile(archive.photos / "img_0001.jpg", archive.photos / "Img_0001.jpg")
    outcome = archive.run()
    assert outcome.statuses == {"cloaked": 2, "duplicate": 1, "companion": 3, "no_face": 5}
    rows = check(archive)
    assert there(archive) == len(rows) == 11
    assert rows["IMG_0001.JPG"]["output"] == "IMG_0001.JPG"
    start = rows["img_0001.jpg"]["output"].removesuffix(".jpg")
    assert start.startswith("img_0001 (")
    assert "IMG_0001.JPG for one" in output_names.why(rows["img_0001.jpg"]["notes"])
    assert rows["img_0001.xmp"]["output"] == f"{start}.xmp"
    assert rows["img_0001.jpg.xmp"]["output"] == f"{start}.jpg.xmp"
    assert rows["IMG_0001.xmp"]["output"] == "IMG_0001.xmp"
    # Another run over all, one that lost an output, and one that finds another twin.
    assert archive.run().statuses == {}
    (archive.out / rows["img_0001.jpg"]["output"]).unlink()
    (archive.photos / "IMG_0001.jpg").write_bytes((archive.photos / "sub/b.jpg").read_bytes())
    assert archive.run().statuses["cloaked"] == 0
    again = check(archive)
    assert {name: again[name]["output"] for name in rows} == {
        name: row["output"] for name, row in rows.items()
    }
    assert there(archive) == 12


def test_renames_deletions_and_prunes_take_no_other_photo_with_them(archive: Archive) -> None:
    for number, name in enumerate(("A.JPG", "Sub/b.jpg", "C.jpg", "c.jpg", "e.jpg", "E.jpg")):
        picture(archive.photos / name, number)
    archive.run()
    before = check(archive)
    pictures = {
        row["source_sha256"]: storage.read_bytes(str(archive.out / row["output"]))
        for row in before.values()
    }
    (archive.photos / "A.JPG").rename(archive.photos / "a.jpg")
    (archive.photos / "Sub").rename(archive.photos / "sub")
    picture(archive.photos / "sub/new.jpg", 10)
    (archive.photos / "C.jpg").rename(archive.photos / "held")  # these two change places
    (archive.photos / "c.jpg").rename(archive.photos / "C.jpg")
    (archive.photos / "held").rename(archive.photos / "c.jpg")
    (archive.photos / "e.jpg").unlink()
    outcome = archive.run()
    assert (outcome.moved, outcome.statuses) == (4, {"no_face": 1})
    rows = check(archive)
    assert rows["a.jpg"]["output"].lower() == "a.jpg"
    assert there(archive) == 7
    for row in rows.values():
        if row["source"] != "sub/new.jpg":
            data = storage.read_bytes(str(archive.out / row["output"]))
            assert data == pictures[row["source_sha256"]]
    assert rows["e.jpg"]["gone"] is not None
    archive.run(prune=True)
    rows = check(archive)
    assert "e.jpg" not in rows
    assert there(archive) == 6
    (archive.photos / "E.jpg").rename(archive.photos / "plain.jpg")
    archive.run()
    rows = check(archive)
    assert rows["plain.jpg"]["output"] == "plain.jpg"
    assert rows["plain.jpg"]["notes"] == []
    assert there(archive) == 6


ODD = [
    *("10:30 Uhr?.jpg", 'a"b<c>d|e*f\\g.jpg', "con.jpg", "dot.", "space .jpg ", "bell\x07.jpg"),
    *("x" * 250 + ".jpg", "é" * 120 + ".jpg", "😀😀.jpg", "a[1] & b's 100%.jpg", "where:/b.jpg"),
]


def test_every_name_finds_a_place(archive: Archive) -> None:
    for number, name in enumerate([*ODD, "caf\udce9.jpg"]):
        picture(archive.photos / name, number)
    shutil.copyfile(archive.photos / ODD[0], archive.photos / "copy.jpg")
    outcome = archive.run()
    assert outcome.statuses["failed"] == 0
    rows = check(archive)
    assert there(archive) == len(rows) == len(ODD) + 2
    plain = rows[ODD[9]]
    assert (plain["output"], plain["notes"]) == (ODD[9], [])
    assert rows["10:30 Uhr?.jpg"]["output"] == "10%3A30 Uhr%3F.jpg"
    assert rows["10:30 Uhr?.jpg"]["notes"] == [
        "written under another name: OUT takes no : ? in names"
    ]
    twin, copy = sorted((rows["copy.jpg"], rows[ODD[0]]), key=lambda row: row["status"])[::-1]
    assert {twin["status"], copy["status"]} == {"no_face", "duplicate"}
    assert rows["copy.jpg"]["notes"] == []
    # An output that is no longer what it was is found and mended under its own name.
    (archive.out / rows["con.jpg"]["output"]).write_bytes(b"cut")
    assert archive.run().plan.files + len(archive.run().plan.known) <= 1
    assert check(archive)["con.jpg"]["output"] == rows["con.jpg"]["output"]


def test_a_library_from_a_disk_that_held_all_names_finds_its_places(
    archive: Archive, disk: Path
) -> None:
    for number, name in enumerate(("A.JPG", "a.jpg", "b:.jpg", "c.jpg")):
        picture(archive.photos / name, number)
    folded, archive.out = archive.out, archive.photos.parent / "ordinary"
    archive.run()
    assert all(row["output"] == source for source, row in check(archive).items())
    for folder, _, files in os.walk(archive.out):
        (folded / os.path.relpath(folder, archive.out)).mkdir(parents=True, exist_ok=True)
        for name in sorted(files):
            if ":" not in name:  # as a copying program does: the last one is kept
                target = folded / os.path.relpath(folder, archive.out) / name
                with open(str(target), "wb") as stream:
                    stream.write(Path(folder, name).read_bytes())
    shutil.rmtree(archive.out)
    archive.out = folded
    archive.run()
    rows = check(archive)
    assert there(archive) == 4
    assert rows["b:.jpg"]["output"] == "b%3A.jpg"
    assert rows["c.jpg"]["output"] == "c.jpg"


def test_an_archive_on_such_a_disk_keeps_its_names_and_is_not_cloaked_again(
    disk: Path, tmp_path: Path
) -> None:
    archive = Archive(tmp_path)
    archive.photos = disk / "photos"
    archive.photos.mkdir()
    for number, name in enumerate(("A.JPG", "sub/b.jpg")):
        picture(archive.photos / name, number)
        with open(str(archive.photos / name), "ab"):
            os.utime(str(archive.photos / name), (1_000_000_001.5, 1_000_000_001.5))
    archive.run()
    first = check(archive)  # some disks list small letters only
    assert {name.lower() for name in first} == {"a.jpg", "sub/b.jpg"}
    os.rename(str(archive.photos / "A.JPG"), str(archive.photos / "new.jpg"))
    os.rename(str(archive.photos / "new.jpg"), str(archive.photos / "a.jpg"))
    os.utime(str(archive.photos / "sub/b.jpg"), (1_000_003_600, 1_000_003_600))  # summer time
    outcome = archive.run()
    assert outcome.moved == ("A.JPG" in first)
    assert outcome.statuses["no_face"] == 0
    rows = check(archive)
    assert {row["output"] for row in rows.values()} == {"a.jpg", "sub/b.jpg"}
    assert there(archive) == 2


def test_folders_that_are_one_there_are_told_from_others(disk: Path, tmp_path: Path) -> None:
    picture(disk / "Photos/a.jpg", 1)
    state = str(tmp_path / "state")
    with pytest.raises(LibraryError, match="inside the input folder"):
        open_library(str(disk / "Photos"), str(disk / "photos/out"), state)
    with pytest.raises(LibraryError, match="inside the input folder"):
        open_library(str(disk / "Photos"), str(disk / "PHOTOS"), state)


def test_a_disk_that_holds_all_names_gets_them_as_they_are(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.photos.mkdir()
    names = [n for n in ODD if len(n) < 255] + ["A.JPG", "a.jpg", "Sub/a.jpg", "sub/A.jpg", "d.jpg"]
    names += [unicodedata.normalize(form, "ö.jpg") for form in FORMS]
    for number, name in enumerate(names):
        picture(archive.photos / name, number)
    archive.run()
    rows = check(archive)
    assert {row["output"] for row in rows.values()} == set(names)
    (archive.photos / "A.JPG").rename(archive.photos / "held")
    (archive.photos / "a.jpg").rename(archive.photos / "A.JPG")
    (archive.photos / "held").rename(archive.photos / "a.jpg")
    (archive.photos / "d.jpg").rename(archive.photos / "D.jpg")
    assert archive.run().moved == 3
    assert {row["output"] for row in check(archive).values()} == {*names, "D.jpg"} - {"d.jpg"}
    assert there(archive) == len(names)
