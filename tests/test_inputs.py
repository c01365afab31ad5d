"""Which folder is IN, and what of it is chosen, from the arguments of a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.library.inputs import Inputs, find_inputs
from photoveil.pipeline.library.library import open_library
from photoveil.pipeline.run.chosen import Chosen
from photoveil.transforms.photo.discover import holds_photo
from tests import clouds


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive, `Photos` below the working folder; no private state lies in it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    for name in ("2019/a.jpg", "2019/b.jpg", "2020/c.jpg", "2020/summer/d.jpg", "e.jpg"):
        path = tmp_path / "Photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff")
    return tmp_path / "Photos"


def make_library(source: Path, root: str = "out") -> None:
    open_library(str(source), root)


@pytest.mark.parametrize(
    ("given", "source", "chosen"),
    [
        (["Photos"], "Photos", None),
        (["Photos/2019/"], "Photos/2019", None),
        (["Photos/e.jpg"], "Photos", ("e.jpg",)),
        (["Photos/2019/a.jpg", "Photos/2019/b.jpg"], "Photos/2019", ("a.jpg", "b.jpg")),
        (["Photos/2019", "Photos/2020/"], "Photos", ("2019", "2020")),
        (["Photos/2020/summer", "Photos/e.jpg"], "Photos", ("2020/summer", "e.jpg")),
        (["Photos/2019", "Photos"], "Photos", None),
        (["Photos/2020/summer", "Photos/2020"], "Photos/2020", None),
        (["Photos/2019/../e.jpg"], "Photos", ("e.jpg",)),
        (["Photos/2020/summer/..", "Photos/2019"], "Photos", ("2019", "2020")),
    ],
)
def test_a_new_library_is_of_the_folder_that_holds_what_was_given(
    photos: Path, given: list[str], source: str, chosen: tuple[str, ...] | None
) -> None:
    assert find_inputs(given, "out") == Inputs(str(photos.parent / source), chosen)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (["Photos"], None),
        (["Photos/2019"], ("2019",)),
        (["Photos/2019/a.jpg"], ("2019/a.jpg",)),
        (["Photos/2019/a.jpg", "Photos/2019/b.jpg"], ("2019/a.jpg", "2019/b.jpg")),
        (["Photos/2019", "Photos"], None),
    ],
)
def test_a_library_keeps_its_folder_whatever_is_given_of_it(
    photos: Path, given: list[str], chosen: tuple[str, ...] | None
) -> None:
    make_library(photos)
    assert find_inputs(given, "out") == Inputs(str(photos), chosen)


def test_a_whole_folder_elsewhere_is_a_new_place_of_the_archive(photos: Path) -> None:
    make_library(photos / "2019")
    assert find_inputs(["Photos"], "out") == Inputs(str(photos))


@pytest.mark.parametrize("given", [["Photos/2020/c.jpg"], ["Photos/2019", "Photos/2020"]])
def test_some_photos_from_elsewhere_are_refused(photos: Path, given: list[str]) -> None:
    make_library(photos / "2019")
    with pytest.raises(LibraryError, match=r"Photos/2020.* does not lie there"):
        find_inputs(given, "out")


def test_a_library_whose_folder_is_unknown_is_not_given_another_one(photos: Path) -> None:
    make_library(photos)
    library = open_library(str(photos), "out")
    row = {"source": "e.jpg", "output": "e.jpg", "status": "cloaked"}
    manifest.write_part([row], library.manifest, library.scratch, "p000000001-a")
    with pytest.raises(LibraryError, match="as a whole, once"):
        find_inputs(["Photos/2019/a.jpg"], "out", "another-state")
    assert find_inputs(["Photos/2019"], "out", "another-state").chosen is None


@pytest.mark.parametrize(
    ("given", "root", "state", "words"),
    [
        (["Photos/e.jpg", "Photos/f.jpg"], "out", None, "Photos/f.jpg does not exist"),
        (["Photos/e.jpg"], "Photos/out", None, "output folder .*Photos/out lies in that folder"),
        (["Photos/e.jpg"], "Photos", None, "output folder .*Photos lies in that folder"),
        (["Photos/2019", "Photos/2020"], "Photos/out", None, "and the others would be taken"),
        (["Photos/e.jpg"], "out", "Photos/state", "state folder .* lies in that folder"),
        (["Photos/e.jpg", "/"], "out", None, "a part of /, and the output folder"),
        (["Photos/e.jpg"], "Photos/2019/a.jpg", None, "is a file; give a folder"),
    ],
)
def test_what_cannot_be_one_archive_is_refused(
    photos: Path, given: list[str], root: str, state: str | None, words: str
) -> None:
    with pytest.raises(LibraryError, match=words):
        find_inputs(given, root, state)


def test_links_stay_what_they_are_in_the_folder(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x.jpg").write_bytes(b"\xff\xd8\xff")
    (photos / "x.jpg").symlink_to(tmp_path / "elsewhere/x.jpg")
    (photos / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "short").symlink_to(photos)
    assert find_inputs(["Photos/x.jpg"], "out") == Inputs(str(photos), ("x.jpg",))
    every = find_inputs([str(path) for path in sorted(photos.iterdir())], "out")
    assert every == Inputs(str(photos), ("2019", "2020", "e.jpg", "more", "x.jpg"))
    assert find_inputs(["short/2019", "short/e.jpg"], "out").source == str(photos)
    assert find_inputs(["Photos/more"], "out") == Inputs(str(tmp_path / "elsewhere"))


def test_names_that_are_no_text_are_chosen_as_the_manifest_writes_them(photos: Path) -> None:
    name = "caf\udce9.jpg"
    (photos / name).write_bytes(b"\xff\xd8\xff")
    assert find_inputs([f"Photos/{name}"], "out").chosen == (r"caf\xe9.jpg",)


def test_buckets_have_a_common_folder_within_one_bucket_alone(servers: None) -> None:
    bucket, other = clouds.new_bucket("gs"), clouds.new_bucket("gs")
    for name in ("a/1.jpg", "a/2/3.jpg", "b/4.jpg"):
        clouds_write(f"{bucket}/{name}")
    clouds_write(f"{other}/5.jpg")
    out = f"{clouds.new_bucket('gs')}/out"
    assert find_inputs([f"{bucket}/a"], out) == Inputs(f"{bucket}/a")
    assert find_inputs([f"{bucket}/a/1.jpg"], out) == Inputs(f"{bucket}/a", ("1.jpg",))
    given = [f"{bucket}/a/2/", f"{bucket}/b/4.jpg"]
    assert find_inputs(given, out) == Inputs(bucket, ("a/2", "b/4.jpg"))
    for elsewhere in (f"{other}/5.jpg", str(Path(__file__))):
        with pytest.raises(LibraryError, match="no folder in common"):
            find_inputs([f"{bucket}/a/1.jpg", elsewhere], out)


def clouds_write(path: str) -> None:
    from photoveil.transforms.io import object_store

    object_store.write(path, b"\xff\xd8\xff")


def test_a_photo_takes_what_belongs_to_it_along() -> None:
    chosen = Chosen(["2019/IMG_1.HEIC", "2020"])
    mine = ("IMG_1.HEIC", "IMG_1.mov", "IMG_1.AAE", "IMG_1.HEIC.xmp", "IMG_1.xmp", "IMG_1.json")
    assert all(f"2019/{name}" in chosen for name in mine)
    others = ("2019/IMG_1.jpg", "2019/IMG_2.xmp", "2019/IMG_12.mov", "IMG_1.HEIC", "20201/a.jpg")
    assert not any(name in chosen for name in others)
    assert "2020/summer/d.jpg" in chosen


def test_a_photo_that_is_not_chosen_is_none(photos: Path) -> None:
    assert holds_photo(str(photos), Chosen(["2020"]).__contains__)
    assert not holds_photo(str(photos), Chosen(["2021"]).__contains__)
