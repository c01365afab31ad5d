"""Runs that are given photos or folders in place of the whole archive."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from photoveil.pipeline.library.library import find_library
from tests.archives import Archive, Base, photos_of
from tests.commands import hashes, invoked
from tests.test_command_line import places

PHOTOS = ("2012/portrait.jpg", "2012/speech.jpg", "2013/joe.jpg", "2013/cat.png")


@pytest.fixture
def small(demo_photo: Any, tmp_path: Path) -> Archive:
    """Four photos in two folders, and no run yet."""
    archive = Archive(tmp_path)
    assets = ("obama.jpg", "obama2.jpg", "biden.jpg", "chelsea.png")
    for name, asset in zip(PHOTOS, assets, strict=True):
        (archive.photos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(demo_photo(asset), archive.photos / name)
    (archive.photos / "2012/portrait.xmp").write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    return archive


def command(name: str, archive: Archive, *given: str, more: tuple[str, ...] = ()) -> str:
    """What a command says that is given these paths below IN."""
    _, *others = places(archive, *more)
    code, said = invoked(name, *(archive.photos / path for path in given), *others)
    assert code in (0, 3), said
    return said


@pytest.mark.slow
def test_one_photo_then_a_pattern_then_the_whole_are_one_library(small: Archive) -> None:
    before = hashes(small.photos)
    said = command("run", small, "2012/portrait.jpg")
    # A new library is of the photo's folder.
    assert set(photos_of(small)) == {"portrait.jpg", "portrait.xmp"}
    assert "1  others in the folder, not given" in said
    first = photos_of(small)
    command("run", small, "2012/portrait.jpg", "2012/speech.jpg")
    assert photos_of(small).items() >= first.items()
    assert set(photos_of(small)) == {"portrait.jpg", "portrait.xmp", "speech.jpg"}
    said = command("run", small, "2012")
    assert "Nothing new." in said
    assert hashes(small.photos) == before


@pytest.mark.slow
def test_folders_go_on_from_each_other_and_end_as_one_run_over_all(
    small: Archive, tmp_path: Path
) -> None:
    code, said = invoked(
        "run", small.photos / "2012", small.photos / "2013/cat.png", *places(small)[1:]
    )
    assert code == 0, said
    assert set(small.rows()) == {*PHOTOS, "2012/portrait.xmp"} - {"2013/joe.jpg"}
    assert small.library.source == str(small.photos)
    done = small.rows()
    command("run", small, "2013")  # a folder of the library's own IN is a part of it
    assert set(small.rows()) == {*PHOTOS, "2012/portrait.xmp"}
    assert {name: small.rows()[name] for name in done} == done
    assert "Nothing new." in command("run", small, "")
    for name in ("2012/speech.jpg", "2013/joe.jpg"):
        (small.photos / name).unlink()
    command("run", small, "2012", more=("--prune", "--yes"))  # prunes within that folder
    assert not (small.out / "2012/speech.jpg").exists()
    assert (small.out / "2013/joe.jpg").exists()


@pytest.mark.slow
def test_nothing_else_is_pruned_or_missed(base: Base, archive: Archive) -> None:
    kept, lost = [path for path in base.of("photo") if "/" in path][:2]
    (archive.photos / lost).unlink()
    (archive.photos / kept).touch()
    before = archive.rows()
    code, said = invoked(
        "run", archive.photos / kept, *places(archive)[1:], "--prune", "--yes", "--quiet"
    )
    assert code in (0, 3), said
    after = archive.rows()
    assert set(after) == set(before)
    assert after[lost] == before[lost]
    assert after[lost]["gone"] is None and (archive.out / after[lost]["output"]).exists()
    plan = json.loads(command("plan", archive, "", more=("--json",)))
    assert plan["gone"] == [lost]


def test_a_scan_and_a_plan_are_of_what_was_given(small: Archive) -> None:
    plan = json.loads(command("plan", small, "2013", "2012/speech.jpg", more=("--json",)))
    assert (plan["to_do"], plan["not_given"], plan["in"]) == (3, 2, str(small.photos))
    given = [small.photos / "2013", small.photos / "2012/speech.jpg"]
    state = ("--state", small.state)
    config = places(small)[-1]
    code, said = invoked("scan", *given, small.out, *state, "--config", config, "--json")
    assert code == 0, said
    assert json.loads(said)["files"] == 3
    assert find_library(str(small.out), str(small.state)).source == str(small.photos)
