"""The review: what the owner marks is done, now and in every later run, and can be taken back."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from photoveil.pipeline.cli import people as people_command
from photoveil.pipeline.cli.people import name_people, show_people
from photoveil.pipeline.cli.plan import check_job, marks_of, with_ids
from photoveil.pipeline.library import state_folder
from photoveil.pipeline.library.identity import LibraryError, read_identity
from photoveil.pipeline.state import review
from photoveil.pipeline.state.known_people import known
from photoveil.pipeline.state.review import (
    FaceMark,
    Level,
    PersonMarks,
    PhotoMarks,
    Review,
    Wish,
)
from photoveil.transforms.faces.identity import Change
from photoveil.transforms.faces.parameters import PeopleParameters
from photoveil.transforms.records import Face, Status
from tests.archives import Archive, Base, photos_of
from tests.commands import hashes, invoked

QUIET = Console(quiet=True)
SHA = "a" * 64


def mark(archive: Archive, **marks: Any) -> Review:
    """Add marks to the review of an archive."""
    kept = review.read(str(archive.state)).then(Review(**marks))
    review.write(str(archive.state), kept)
    return kept


def cloaked(archive: Archive) -> list[dict[str, Any]]:
    """Rows of cloaked photos that are like no other one."""
    rows = archive.rows().values()
    twins = {row["duplicate_of"] for row in rows}
    return [
        row
        for row in rows
        if row["status"] == Status.CLOAKED
        and row["duplicate_of"] is None
        and row["source"] not in twins
    ]


def middle(row: Mapping[str, Any], number: int = 0) -> tuple[int, int]:
    box = row["faces"][number]["box"]
    return round((box["left"] + box["right"]) / 2), round((box["top"] + box["bottom"]) / 2)


def test_a_mark_of_the_photo_counts_more_than_those_of_people() -> None:
    marks = Review(
        photos={SHA: PhotoMarks(source="a.jpg", mark="stronger")},
        people={
            "anna": PersonMarks(mark="weaker"),
            "berta": PersonMarks(mark="leave"),
            "cleo": PersonMarks(name="Cleo"),
        },
    )
    assert marks.wish(SHA, ["anna", "cleo"]).level is Level.STRONGER
    assert marks.wish("b" * 64, ["anna", None]).level is Level.WEAKER
    assert marks.wish("b" * 64, ["berta"]) == Wish(left=("berta",))
    assert marks.wish("b" * 64, ["cleo"]) == Wish() and Wish().fingerprint is None
    original = marks.then(Review(photos={SHA: PhotoMarks(source="a.jpg", mark="original")}))
    wishes = {original.wish(SHA, people) for people in ((), ("anna",), ("berta",))}
    assert wishes == {Wish(original=True)}, "its fingerprint must not hang on who is in it"


def test_a_later_review_adds_to_and_takes_away_from_an_earlier_one() -> None:
    face = FaceMark(x=3, y=4, mark="no face")
    first = Review(
        photos={
            "1": PhotoMarks(source="1.jpg", mark="weaker"),
            "2": PhotoMarks(source="2.jpg", faces=(face,)),
        },
        people={"anna": PersonMarks(name="Anna"), "berta": PersonMarks(mark="leave")},
    )
    later = Review(
        photos={"1": PhotoMarks(source="1.jpg"), "3": PhotoMarks(source="3.jpg", mark="original")},
        people={"berta": PersonMarks()},
    )
    both = first.then(later)
    assert set(both.photos) == {"2", "3"} and set(both.people) == {"anna"}


def test_a_face_is_left_that_a_mark_lies_in() -> None:
    points = ((12.0, 12.0),) * 5
    face, other = Face((10, 10, 20, 20), points, 1.0), Face((30, 10, 40, 20), points, 1.0)
    wish = Wish(faces=(FaceMark(x=15, y=15, mark="leave"),), left=("anna",))
    assert wish.leaves(face, None) and not wish.leaves(other, None)
    assert wish.leaves(other, "anna") and not wish.leaves(other, "berta")
    assert Wish(original=True).leaves(other, None)


def test_names_and_marks_follow_people_who_are_merged() -> None:
    before = Review(
        people={"old": PersonMarks(name="Anna", mark="leave"), "new": PersonMarks(name="Anne")}
    )
    after = before.following(Change(merged=(("old", "new"), ("stranger", "other"))))
    assert after.people == {"new": PersonMarks(name="Anne", mark="leave")}


def test_names_are_understood_where_ids_are(archive: Archive) -> None:
    first, second = sorted(set(known(str(archive.state)).values()))[:2]
    name_people(archive.library, [f"{first}=Anna Maria", f"{second}=anna maria"])
    settings = archive.settings.model_copy(
        update={"people": PeopleParameters(only=("ANNA MARIA",), spare=(first,))}
    )
    assert with_ids(archive.library, settings).people == PeopleParameters(
        only=(first, second), spare=(first,)
    )
    code, said = invoked("people", archive.out, "--state", archive.state)
    assert code == 0 and "Anna Maria" in said
    name_people(archive.library, [f"{second}="])
    assert with_ids(archive.library, settings).people.only == (first,)
    stranger = settings.model_copy(update={"people": PeopleParameters(only=("Zoe",))})
    with pytest.raises(LibraryError, match="nobody is called Zoe"):
        check_job(archive.library, stranger)
    for wrong in ("pffffff=Zoe", "Zoe", f"{first}={second}"):
        with pytest.raises(LibraryError):
            name_people(archive.library, [wrong])


def test_names_are_in_the_private_state_alone(archive: Archive) -> None:
    person = min(known(str(archive.state)).values())
    name_people(archive.library, [f"{person}=Anna Zweifel"])
    files = [path for path in archive.out.parent.rglob("*") if path.is_file()]
    named = [path for path in files if b"Zweifel" in path.read_bytes()]
    assert named == [archive.state / review.FILE]
    assert stat.S_IMODE(named[0].stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"library": "0" * 32}, "another library"),
        ({"photos": {SHA: {"source": "a.jpg", "mark": "brighter"}}}, r"at photos\."),
        ({"format": 2}, "at format"),
    ],
)
def test_a_file_that_is_no_review_of_this_library_is_refused(
    archive: Archive, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    identity = read_identity(str(archive.out))
    assert identity is not None
    file = tmp_path / "photoveil-review.json"
    file.write_text(json.dumps({"format": 1, "library": identity.id, **change}))
    before = hashes(archive.out.parent)
    with pytest.raises(LibraryError, match=said):
        marks_of(archive.library, str(file))
    run = ("run", archive.photos, archive.out, "--state", archive.state, "--review", file)
    assert invoked(*run)[0] == 2
    assert hashes(archive.out.parent) == before


def test_a_damaged_review_is_named_with_what_to_do(archive: Archive) -> None:
    (archive.state / review.FILE).write_text("{")
    with pytest.raises(OSError, match=r"review\.json is damaged\. Delete that file"):
        archive.plan()


def test_undo_puts_the_original_there_and_no_run_takes_it_away(
    archive: Archive, base: Base
) -> None:
    copy = base.of("exact")[0]
    twin = next(item.of for item in base.made if item.file == copy)
    undo = ("undo", archive.out / twin, "--state", archive.state)
    before = photos_of(archive)
    code, said = invoked(*undo)
    assert code == 2 and "WARNING" in said and "clean face" in said
    assert photos_of(archive) == before, "nobody agreed"
    code, said = invoked(*undo, "--yes")
    assert code == 0, said
    after, rows = photos_of(archive), archive.rows()
    changed = {name for name in after if after[name] != before[name]}
    same = with_bytes(archive, {rows[twin]["source_sha256"]})
    assert {twin, copy} <= same == changed, "all files with these bytes"
    for name in changed:
        assert (archive.out / name).read_bytes() == (archive.photos / name).read_bytes()
        assert rows[name]["faces"] == [] and rows[name]["reason"].startswith("left as the original")
    assert sum(rows[name]["status"] == Status.UNCHANGED for name in same) == 1
    plan = archive.plan(recloak=True)
    assert not plan.refs and not plan.known
    assert "Nothing is cloaked there" in invoked(*undo, "--yes")[1]


def test_undo_of_an_original_that_changed_touches_nothing(archive: Archive) -> None:
    row = cloaked(archive)[0]
    (archive.photos / row["source"]).write_bytes(b"another file")
    before = photos_of(archive)
    code, said = invoked("undo", archive.out / row["source"], "--state", archive.state, "--yes")
    assert code == 3 and "changed" in said
    assert photos_of(archive) == before


def test_undo_of_what_is_in_no_library_is_refused(archive: Archive, tmp_path: Path) -> None:
    row = cloaked(archive)[0]
    for path in (archive.photos / row["source"], archive.out / "nowhere.jpg"):
        code, said = invoked("undo", path, "--state", archive.state, "--yes")
        assert code == 2, said
        assert str(path) in said.replace("\n", "")


def test_a_review_is_carried_out_and_taken_back(archive: Archive) -> None:
    weaker, face, person, original = cloaked(archive)[:4]
    who = known(str(archive.state))
    spared = who[f"{person['source_sha256']} 0"]
    of_person = {key.split()[0] for key, name in who.items() if name == spared}
    before = photos_of(archive)
    x, y = middle(face)
    sources = {row["source_sha256"]: row["source"] for row in (weaker, face, original)}
    marks: dict[str, dict[str, Any]] = {
        weaker["source_sha256"]: {"mark": "stronger"},
        face["source_sha256"]: {"faces": [{"x": x, "y": y, "mark": "no face"}]},
        original["source_sha256"]: {"mark": "original"},
    }
    photos = {sha: {"source": sources[sha]} | one for sha, one in marks.items()}
    mark(archive, photos=photos, people={spared: {"mark": "leave"}})
    plan = archive.plan()
    assert set(plan.why) == {"marked in a review"}
    touched = with_bytes(archive, {*marks, *of_person})
    assert {ref.source for ref in plan.refs} == touched
    archive.run()
    rows, after = archive.rows(), photos_of(archive)
    assert {name for name in after if after[name] != before[name]} <= touched
    assert rows[weaker["source"]]["mode"] == "high"
    assert len(rows[face["source"]]["faces"]) == len(face["faces"]) - 1
    assert "a review says so" in rows[face["source"]]["reason"]
    assert "a review says so" in rows[person["source"]]["reason"]
    assert (archive.out / original["source"]).read_bytes() == (
        archive.photos / original["source"]
    ).read_bytes()
    assert not archive.plan().refs, "it is done, and every later run leaves it so"
    empty = {sha: {"source": sources[sha]} for sha in marks}
    mark(archive, photos=empty, people={spared: {}})
    assert set(archive.plan().why) == {"no longer marked in a review"}
    archive.run()
    assert photos_of(archive) == before, "a photo that is cloaked again gets the cloak that it had"


def with_bytes(archive: Archive, hashes_: set[str]) -> set[str]:
    """The sources with these sha256."""
    rows = archive.rows().items()
    return {name for name, row in rows if row["source_sha256"] in hashes_}


def test_a_new_photo_of_a_person_who_is_left_is_left(archive: Archive, base: Base) -> None:
    row = next(row for row in cloaked(archive) if len(row["faces"]) == 1)
    person = known(str(archive.state))[f"{row['source_sha256']} 0"]
    mark(archive, people={person: {"mark": "leave"}})
    photo = archive.photos / "new" / Path(row["source"]).name
    photo.parent.mkdir()
    shutil.copyfile(archive.photos / row["source"], photo)
    with photo.open("ab") as stream:
        stream.write(b"\0" * 64)  # other bytes, the same picture
    archive.run()
    new = archive.rows()[f"new/{photo.name}"]
    assert new["faces"] == [] and "a review says so" in new["reason"]
    assert not archive.plan().refs


def test_many_people_come_on_pages(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_command, "_ON_A_SHEET", 2)
    count = len(set(known(str(archive.state)).values()))
    first = show_people(archive.library, QUIET)
    assert first == str(archive.state / "people/people.jpg")
    sheets = sorted((archive.state / "people").glob("*.jpg"))
    heights = [Image.open(sheet).height // 112 for sheet in sheets]
    assert sum(heights) == count and max(heights) == 2 and len(sheets) == -(-count // 2)
    assert state_folder.content(str(archive.state)).foreign == ()
    own = archive.out.parent / "mine.jpg"
    (archive.out.parent / "mine-2.jpg").write_bytes(b"a photo of mine")
    with pytest.raises(LibraryError, match=r"mine-2\.jpg exists"):
        show_people(archive.library, QUIET, str(own))
