"""The benchmark that holds recognisers out, and what it makes of its findings."""

from __future__ import annotations

import argparse
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.leave_one_out import leave_one_out, tables, without
from benchmarks.protection import Photos, choose
from photoveil.pipeline.settings import Settings, SettingsError, load_settings
from photoveil.transforms.evaluate.metrics import Tally
from photoveil.transforms.evaluate.tracker import FORWARD, RANK_1, REVERSE, Finding
from photoveil.transforms.recognisers import names

LABELS = {"a2": "ann", "a1": "ann", "a3": "ann", "b1": "ben", "b2": "ben", "c1": "cat"}


def chosen(**given: object) -> Photos:
    usual: dict[str, object] = {"half": "all", "max_people": None, "everyone": False}
    usual |= {"known": False, "later": False}
    return choose(Path("photos"), LABELS, argparse.Namespace(**{**usual, **given}))


def test_every_other_photo_of_a_person_is_a_clean_probe() -> None:
    photos = chosen()
    assert photos.cloaked == {"a1": "ann", "a3": "ann", "b1": "ben"}
    assert photos.probes == [("ann", "a2"), ("ben", "b2")]
    assert photos.padding == [("cat", "c1")]


def test_people_who_are_not_searched_for_fill_the_gallery_clean_or_cloaked() -> None:
    for given in ({"half": "a"}, {"max_people": 1}):
        photos = chosen(**given)
        assert photos.cloaked == {"a1": "ann", "a3": "ann"}
        assert photos.padding == [("ben", "b1"), ("ben", "b2"), ("cat", "c1")]
    photos = chosen(half="a", everyone=True)
    assert photos.cloaked == {
        "a1": "ann",
        "a3": "ann",
        **{"b1": "ben", "b2": "ben", "c1": "cat"},
    }
    assert (photos.probes, photos.padding) == ([("ann", "a2")], [])


@pytest.mark.parametrize("name", names())
def test_who_is_held_out_has_no_turn(name: str) -> None:
    settings = Settings.model_validate({"cloak": {"surrogates": [*names(), "sface", "faceres"]}})
    left = without(settings, name).cloak
    assert set(left.surrogates) == set(names()) - {name}
    assert left.steps == settings.cloak.steps


def test_the_only_surrogate_cannot_be_held_out() -> None:
    settings = Settings.model_validate({"cloak": {"surrogates": ["sface", "sface"]}})
    with pytest.raises(SettingsError, match="sface is the only one"):
        without(settings, "sface")


def test_the_table_has_the_mean_and_the_worst_of_each_figure() -> None:
    rates = {"dlib": ([0, 1, 0, 1], [1, 1, 1, 1]), "sface": ([1, 1, 1, 0], [1, 1, 1, 1])}
    findings = [
        Finding(
            name,
            False,
            way,
            condition,
            RANK_1,
            ("ann", "ben", "cat", "dan"),
            Tally(np.array(found, float), np.ones(4, int)),
            Tally(np.array(clean, float), np.ones(4, int)),
        )
        for way in (FORWARD, REVERSE)
        for condition in ("as written", "JPEG 75")
        for name, (found, clean) in rates.items()
    ]
    console = Console(file=io.StringIO(), width=140)
    console.print(tables(findings))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line for line in text.splitlines() if "rank-1" in line]
    assert len(lines) == 2 * 4
    cells = [[cell.strip() for cell in line.split("│")[2:-1]] for line in lines[:4]]
    assert cells[0] == ["dlib", "1.00 (1.00-1.00)", *["0.50 (0.00-1.00)"] * 2]
    assert cells[1][0::2] == ["sface", "0.75 (0.25-1.00)"]
    assert cells[2][2].startswith("0.62 (")  # 5 of 8
    assert cells[3] == ["worst", "1.00 dlib", "0.75 sface", "0.75 sface"]


@pytest.mark.parametrize("option", ["known", "later"])
def test_an_earlier_run_meets_photos_that_are_not_searched(option: str, tmp_path: Path) -> None:
    labels = {f"{person}{n}.jpg": person for person in ("ann", "bob", "eve") for n in range(5)}
    labels["once.jpg"] = "joe"
    given = argparse.Namespace(half="all", max_people=2, everyone=False, known=False, later=False)
    plain = choose(tmp_path, labels, given)
    assert plain.earlier == []
    setattr(given, option, True)
    photos = choose(tmp_path, labels, given)
    assert photos.earlier == ["ann0.jpg", "bob0.jpg"]
    assert photos.cloaked.keys() == plain.cloaked.keys() - set(photos.earlier)
    assert photos.probes == plain.probes
    assert photos.padding == plain.padding


@pytest.mark.slow
def test_each_cloak_is_made_without_the_one_that_judges_it(
    demo_photo: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("obama.jpg", "obama2.jpg", "biden.jpg", "astronaut.png"):
        shutil.copyfile(demo_photo(name), tmp_path / "photos" / name)
    photos = Photos(
        tmp_path / "photos",
        {"obama.jpg": "obama"},
        [],
        [("obama", "obama2.jpg")],
        [("joe", "biden.jpg"), ("eileen", "astronaut.png")],
    )
    config = tmp_path / "quick.yaml"
    config.write_text("cloak: {steps: 6, batch_size: 2, surrogates: [mobilefacenet, sface]}\n")
    console = Console(file=io.StringIO(), width=140)
    shifts = {}
    for name in ("mobilefacenet", "sface"):
        given = argparse.Namespace(held_out=name, known=False, quick=True, cache=None)
        found = leave_one_out(photos, load_settings(config), given, tmp_path / name, console)
        assert {finding.recogniser for finding in found.findings} == {name}
        rank_1 = {f.direction: f for f in found.findings if f.figure == RANK_1}
        assert rank_1[FORWARD].uncloaked.mean == rank_1[REVERSE].uncloaked.mean == 1.0
        shifts[name] = next(f.cloaked.mean for f in found.findings if f.figure == "cosine shift")
        assert f"{name} held out: 1 faces cloaked" in console.file.getvalue()  # type: ignore[attr-defined]
    # What has no turn is moved less than a surrogate is in six passes.
    assert all(0 < shift < 0.5 for shift in shifts.values()), shifts
    given = argparse.Namespace(held_out="nobody", known=False, quick=True, cache=None)
    with pytest.raises(SettingsError, match="there is only each, dlib, facenet"):
        leave_one_out(photos, load_settings(config), given, tmp_path / "none", console)
