"""`photoveil evaluate` as a user runs it, on a small library of public photos."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from photoveil.pipeline.cli.evaluate import Request, evaluate_job
from photoveil.pipeline.cli.run import run_job
from photoveil.pipeline.evaluation.evaluate import evaluate_library
from photoveil.pipeline.evaluation.labels import read_labels, study_library
from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.library.library import open_library
from tests.archives import QUICK
from tests.commands import hashes, invoked
from tests.support.labelled_people import people_of_half


class Library:
    """Two people's photos, cloaked in few steps, and what `evaluate` said of them."""

    def __init__(self, base: Path, small_photo: Callable[[str], Path]) -> None:
        self.base, self.photos, self.out = base, base / "photos", base / "out"
        for place in ("obama/obama.jpg", "obama/obama2.jpg", "joe/biden.jpg"):
            self._copy(small_photo, place)
        for place in ("probes/obama/obama3.jpg", "others/astronaut.png"):
            self._copy(small_photo, place, base)
        self.state = base / "state"
        library = open_library(str(self.photos), str(self.out), str(self.state))
        run_job(library, QUICK, Console(quiet=True))
        self.before = hashes(self.out)
        self.report, self.sheet = base / "report.json", base / "sheet.png"
        self.done = self.evaluate("--quick", "--report", self.report, "--sheet", self.sheet)

    def evaluate(self, *more: object) -> tuple[int, str]:
        places = ("--originals", self.photos, "--probes", self.base / "probes")
        rest = ("--others", self.base / "others", "--recogniser", "mobilefacenet")
        return invoked("evaluate", self.out, *places, *rest, "--state", self.state, *more)

    def _copy(
        self, small_photo: Callable[[str], Path], place: str, below: Path | None = None
    ) -> None:
        target = (below or self.photos) / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(small_photo(target.name), target)


@pytest.fixture(scope="module")
def library(
    tmp_path_factory: pytest.TempPathFactory, small_photo: Callable[[str], Path]
) -> Library:
    return Library(tmp_path_factory.mktemp("library"), small_photo)


def test_it_says_how_well_people_are_found_and_what_that_does_not_show(library: Library) -> None:
    code, said = library.done
    assert code == 0, said
    assert "(white box)" in said
    assert "uncloaked" in said
    assert "Radiya-Dixit" in said


@pytest.mark.slow
def test_a_surrogate_that_no_cloak_was_made_against_counts_as_held_out(library: Library) -> None:
    labels = read_labels(str(library.photos))
    study = study_library(str(library.out), str(library.photos), labels)
    found = evaluate_library(str(library.out), study, ["mobilefacenet", "sface"], [])
    seen = {finding.recogniser: finding.white_box for finding in found.findings}
    assert seen == {"mobilefacenet": True, "sface": False}


def test_the_report_has_each_figure_beside_the_uncloaked_one(library: Library) -> None:
    report = json.loads(library.report.read_text())
    found = {
        (row["direction"], row["figure"]): row
        for row in report["findings"]
        if row["person"] is None
    }
    rank_1 = found["clean photos searched in cloaked ones", "rank-1"]
    assert rank_1["uncloaked"] == 1.0
    assert rank_1["uncloaked_count"] == 1
    shift = found["clean photos searched in cloaked ones", "cosine shift"]
    assert shift["uncloaked"] == pytest.approx(0, abs=1e-6)
    assert shift["cloaked"] > 0.05
    assert {row["size"] for row in report["faces"]} == {"own", "viewing", "parts"}
    whole = {row["source"]: row["flip"] for row in report["faces"] if row["size"] == "viewing"}
    for row in report["faces"]:
        if row["size"] == "parts":
            assert 0 < row["shift_rms"] < row["shift_peak"] <= QUICK.cloak.shift_peak
            assert row["flip"] < whole[row["source"]]  # a moved edge is no drawn one
    assert all(0 < row["flip"] < 0.3 for row in report["faces"])
    assert len(report["faces"]) == 9


def test_the_sheet_shows_every_face(library: Library) -> None:
    with Image.open(library.sheet) as sheet:
        assert sheet.size[0] > 1800


def test_nothing_is_written_into_the_library(library: Library) -> None:
    assert hashes(library.out) == library.before


@pytest.mark.slow
def test_leave_one_out_and_a_sheet_in_the_private_state(library: Library) -> None:
    console = Console(file=io.StringIO(), width=200)
    report = library.base / "report.parquet"
    request = Request(
        str(library.out),
        str(library.photos),
        recognisers=("mobilefacenet",),
        quick=True,
        report=str(report),
        state=str(library.state),
    )
    evaluate_job(request, console)
    # Only Obama has two photos; each is searched for in the other's cloaked file.
    rows = pq.read_table(report).to_pylist()
    (rank_1,) = (
        row
        for row in rows
        if row["figure"] == "rank-1" and row["direction"].startswith("clean") and not row["person"]
    )
    assert (rank_1["uncloaked"], rank_1["uncloaked_count"]) == (1.0, 2)
    assert (library.state / "contact-sheet.png").exists()
    assert library.state.stat().st_mode & 0o077 == 0


def test_no_more_photos_of_a_person_than_asked_for_are_looked_at(library: Library) -> None:
    labels = read_labels(str(library.photos))
    probes = [("obama", str(library.base / "probes/obama/obama3.jpg"))]
    study = study_library(str(library.out), str(library.photos), labels, probes, per_person=1)
    assert [photo.person for photo in study.published] == ["joe", "obama"]


def test_an_original_that_was_changed_since_is_named(library: Library, tmp_path: Path) -> None:
    originals = tmp_path / "photos"
    shutil.copytree(library.photos, originals)
    with Image.open(originals / "joe/biden.jpg") as image:
        image.resize((300, 400)).save(originals / "joe/biden.jpg")
    labels = read_labels(str(originals))
    study = study_library(str(library.out), str(originals), labels)
    found = evaluate_library(str(library.out), study, [], [])
    assert len(found.faces) == 2
    assert list(found.unreadable) == [str(library.out / "joe/biden.jpg")]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"recognisers": ("nobody",)}, "no recogniser is called nobody"),
        ({"probes": "missing"}, "missing does not exist"),
        ({"report": "report.txt"}, ".json or .parquet"),
        ({"report": "out/report.json"}, "choose another place"),
        ({"sheet": "out/sheet.png"}, "choose another place"),
        ({"people": "report.json"}, "columns file and person"),
        ({"root": "photos"}, "is no library of cloaked photos"),
        ({"probes": "strangers"}, "no person of the probes has a photo in"),
    ],
)
def test_wrong_input_is_refused(
    library: Library, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(library.base)
    (library.base / "strangers" / "eileen").mkdir(parents=True, exist_ok=True)
    shutil.copy("others/astronaut.png", "strangers/eileen")
    request = Request(
        **{"root": "out", "originals": "photos", "state": str(library.state), **wrong}
    )
    with pytest.raises(LibraryError, match=words):
        evaluate_job(request, Console(quiet=True))


def test_labels_come_from_a_table_or_from_folders(tmp_path: Path) -> None:
    for place in ("ann/1.jpg", "ann/2014/2.jpg", "ben/3.jpg", "loose.jpg"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"x")
    folders = read_labels(str(tmp_path))
    assert folders == {"ann/1.jpg": "ann", "ann/2014/2.jpg": "ann", "ben/3.jpg": "ben"}
    (tmp_path / "people.csv").write_text("file,person\nloose.jpg,Zoë\nben/3.jpg,\n", "utf-8")
    assert read_labels(str(tmp_path)) == {"loose.jpg": "Zoë"}
    other = tmp_path / "other.csv"
    other.write_text("name\nx\n")
    with pytest.raises(LibraryError, match="columns file and person"):
        read_labels(str(tmp_path), str(other))


def test_the_benchmarks_halves_share_nobody_and_leave_out_who_has_one_photo() -> None:
    photos = {name: [f"{name}1", f"{name}2"] for name in "abcde"} | {"single": ["x"]}
    first, second = (people_of_half(photos, half) for half in "ab")
    assert sorted([*first, *second]) == people_of_half(photos, "all") == list("abcde")
