"""What a run takes on, from the archive and the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from benchmarks.unchanged import make_unchanged
from photoveil.pipeline.cli.summaries import plan_summary
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import MOVING
from photoveil.pipeline.library.manifest import RunStamp, utc
from photoveil.pipeline.run.chosen import Chosen
from photoveil.pipeline.run.comparison import COLUMNS, make_plan
from photoveil.pipeline.run.estimate import Estimate
from photoveil.pipeline.run.plan import KnownFile, Plan, Relation, Selection
from photoveil.pipeline.run.reviewed import NOT_REVIEWED, Reviewed
from photoveil.pipeline.settings import Settings
from photoveil.pipeline.state.review import Level, Review
from photoveil.transforms.io.storage import Entry
from photoveil.transforms.records import ContentGroup, PhotoRef
from tests.commands import invoked

STAMP = RunStamp("run", "mid", "looks", "tries", "assets", 2, "0.1.0")
REF = PhotoRef("in", "a.jpg", 100, 1_000.25)
OUTPUT = Entry("a.jpg", 90, 5.0)


def row(name: str = "a.jpg", **changes: Any) -> dict[str, Any]:
    return {
        "source": name,
        "output": name,
        "status": "cloaked",
        "retry": False,
        "source_sha256": "abc",
        "output_sha256": "def",
        "source_size": 100,
        "output_size": 90,
        "source_modified": utc(1_000.25),
        "mode": "mid",
        "settings_hash": "looks",
        "assets_hash": "assets",
        "output_version": 2,
        "version": "0.1.0",
        "review": None,
        "gone": None,
        **changes,
    }


def no_output(status: str, **changes: Any) -> dict[str, Any]:
    no_file = {"output": None, "output_sha256": None, "output_size": None}
    return row(status=status, **{**no_file, "settings_hash": "tries", **changes})


def plan(
    refs: Iterable[PhotoRef] = (REF,),
    rows: Iterable[Mapping[str, Any]] = (),
    outputs: Iterable[Entry] = (OUTPUT,),
    recloak: bool = False,
    hashes: Mapping[str, str] | None = None,
    since: float | None = None,
    retry: bool = False,
    reviewed: Reviewed = NOT_REVIEWED,
    chosen: Chosen | None = None,
) -> Plan:
    """The plan; `hashes`, by name, are of the files that it may have to read."""

    def read(refs: Sequence[PhotoRef]) -> dict[PhotoRef, str]:
        return {ref: (hashes or {})[ref.relative] for ref in refs}

    selection = Selection(recloak, retry, since, reviewed, chosen)
    schema = pa.schema([manifest.SCHEMA.field(name) for name in COLUMNS])
    table = pa.Table.from_pylist(list(rows), schema)
    return make_plan(refs, table, outputs, STAMP, selection, read)


def named(name: str, **changes: Any) -> PhotoRef:
    return replace(REF, relative=name, **changes)


def test_a_new_file_is_to_do_and_not_hashed_when_no_other_has_its_size() -> None:
    found = plan()
    assert found.todo == (ContentGroup(REF),)
    assert found.why == {"new": 1}
    assert found.room == 100


def test_a_finished_file_is_left() -> None:
    found = plan(rows=[row()])
    assert (found.refs, found.unchanged) == ([], 1)


@pytest.mark.parametrize(
    ("ref", "old", "outputs", "why"),
    [
        (replace(REF, size=101), row(), [OUTPUT], "changed"),
        (REF, no_output("failed", retry=True), [], "failed before, tried again"),
        (REF, row(), [], "output lost or cut"),
        (REF, row(), [replace(OUTPUT, size=1)], "output lost or cut"),
        (
            REF,
            no_output("unsupported", output_version=1),
            [],
            "failed or left out before, with other settings",
        ),
    ],
    ids=["resized", "failed before", "output gone", "output cut", "older version"],
)
def test_what_changed_or_failed_or_lost_its_output_is_to_do(
    ref: PhotoRef, old: dict[str, Any], outputs: list[Entry], why: str
) -> None:
    found = plan([ref], [old], outputs)
    assert found.todo == (ContentGroup(ref),)
    assert found.why == {why: 1}


def test_what_cannot_fare_better_is_not_tried_again() -> None:
    assert plan(rows=[no_output("failed")]).failed == 1
    found = plan(rows=[no_output("failed")], retry=True)
    assert (found.failed, found.todo) == (0, (ContentGroup(REF),))
    assert plan(rows=[no_output("unsupported")], retry=True).left_out == 1
    assert plan(rows=[no_output("unsupported")]).left_out == 1


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"mode": "low", "settings_hash": "low"}, "mode low"),
        ({"assets_hash": "old"}, "other models"),
        ({"settings_hash": "old"}, "other settings"),
        ({"output_version": 3, "version": "0.3.0"}, "output version 3 (Photoveil 0.3.0)"),
        ({"output_version": None}, "output version 1 (Photoveil 0.1.0)"),
    ],
)
def test_what_was_done_otherwise_is_stale_until_recloaked(
    changes: dict[str, Any], differs: str
) -> None:
    kept = plan(rows=[row(**changes)])
    assert (kept.refs, kept.unchanged, kept.stale) == ([], 0, {differs: 1})
    again = plan(rows=[row(**changes)], recloak=True)
    assert again.why == {f"done before with {differs}": 1}


def test_a_limit_that_changed_is_a_new_try_for_what_failed_and_leaves_all_else() -> None:
    other = {"source": "b.jpg", "source_sha256": "xyz", "settings_hash": "other limits"}
    rows = [row(), no_output("failed", **other)]
    found = plan([REF, named("b.jpg")], rows)
    assert (found.unchanged, found.stale) == (1, {})
    assert found.why == {"failed or left out before, with other settings": 1}


def test_recloaking_keeps_duplicates_together_without_reading_them() -> None:
    old = {"settings_hash": "old"}
    rows = [row(**old), row("b.jpg", status="duplicate", **old)]
    found = plan([REF, named("b.jpg")], rows, [OUTPUT, replace(OUTPUT, relative="b.jpg")], True)
    assert found.todo == (ContentGroup(REF, (named("b.jpg"),)),)


def test_new_files_of_equal_size_are_one_photo_when_their_hashes_agree() -> None:
    refs = [named("a.jpg"), named("b.jpg"), named("c.jpg")]
    found = plan(refs, hashes={"a.jpg": "1", "b.jpg": "2", "c.jpg": "1"})
    assert found.todo == (ContentGroup(refs[0], (refs[2],)), ContentGroup(refs[1]))
    assert found.duplicates == 1
    assert found.widest == 2


def test_a_renamed_file_moves_and_a_second_one_is_its_duplicate() -> None:
    refs = [named("b.jpg"), named("c.jpg")]
    found = plan(refs, [row()], hashes={"b.jpg": "abc", "c.jpg": "abc"})
    assert found.known == (
        KnownFile(refs[0], "a.jpg", "a.jpg", Relation.MOVED),
        KnownFile(refs[1], "a.jpg", "a.jpg", Relation.DUPLICATE),
    )
    assert (found.gone, found.moved, found.duplicates) == ((), 1, 1)


def test_the_widest_group_of_equal_files_is_told() -> None:
    names = ["b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg"]
    refs = [REF, *(PhotoRef("in", name, 100, 2_000.0) for name in names)]
    hashes = dict.fromkeys(names[:3], "new") | dict.fromkeys(names[3:], "abc")
    assert plan(refs, [row()], hashes=hashes).widest == 3
    hashes = dict.fromkeys(names[:1], "new") | dict.fromkeys(names[1:], "abc")
    assert plan(refs, [row()], hashes=hashes).widest == 5  # with the one that is there
    assert plan(rows=[row()]).widest == 0


def test_what_is_much_in_one_place_is_told() -> None:
    refs = [REF, *(named(f"2019/{number}.jpg", size=number) for number in range(200, 10_200))]
    found = plan(refs)
    assert found.largest_folder == ("2019", 10_000)
    few = Estimate(2, 60, 3, 9_999, None, 3, 60.0, 60.0, True, most_faces=9, most_seen=9, alike=9)
    said = plan_summary(found, few, None, "in")
    assert "The folder 2019 has 10,000 of the files to do." in said
    assert not any(word in said for word in ("in a photo", "of one person", "Near duplicates"))
    many = replace(few, faces=500, most_faces=300, most_seen=290, alike=2_000)
    said = plan_summary(plan(refs[:9]), many, None, "in")
    assert "500 faces of 3 people, up to 300 in a photo, 290 of one person in the 2 scanned" in said
    assert "up to 2,000 photos looked alike in an earlier run" in said
    assert "The folder" not in said


def test_a_copy_of_a_file_that_is_there_is_its_duplicate() -> None:
    found = plan([REF, named("b.jpg")], [row()], hashes={"b.jpg": "abc"})
    assert found.known == (KnownFile(named("b.jpg"), "a.jpg", "a.jpg", Relation.DUPLICATE),)
    assert found.unchanged == 1


def test_a_touched_file_keeps_its_row_though_a_copy_comes_first() -> None:
    refs = [named("Copy.jpg"), replace(REF, mtime=2.0)]
    found = plan(refs, [row()], hashes={"Copy.jpg": "abc", "a.jpg": "abc"})
    assert {item.ref.relative: item.how for item in found.known} == {
        "a.jpg": "restored",
        "Copy.jpg": "duplicate",
    }


def test_what_a_crash_left_on_its_way_is_found() -> None:
    aside = Entry(f"{MOVING}/def", 90, 5.0)
    found = plan([named("b.jpg")], [row()], [aside], hashes={"b.jpg": "abc"})
    assert found.known == (KnownFile(named("b.jpg"), "a.jpg", aside.relative, Relation.MOVED),)


def test_gone_files_are_marked_once_and_those_without_an_output_dropped() -> None:
    rows = [row(), row("b.jpg", gone=utc(1.0)), no_output("failed") | {"source": "c.jpg"}]
    rows.append(row("there.jpg"))
    found = plan([named("there.jpg")], rows, [OUTPUT, replace(OUTPUT, relative="there.jpg")])
    assert (found.gone, found.newly_gone) == (("a.jpg", "b.jpg"), ("a.jpg",))
    assert found.dropped == ("c.jpg",)


@pytest.mark.parametrize(
    ("refs", "present"),
    [
        ([], 0),
        ([named("a.jpg", size=7)], 0),  # the same name on another camera's card
        ([named("other.jpg", size=7), named(".DS_Store", size=7)], 0),
        ([named("b.jpg")], 1),
        ([named("moved.jpg")], 1),
    ],
)
def test_an_archive_is_known_by_its_photos(refs: list[PhotoRef], present: int) -> None:
    rows = [row(), row("b.jpg"), row("c.xmp", status="companion"), row("@eaDir/a.jpg")]
    rows.append(no_output("failed") | {"source": "d.jpg"})
    outputs = [replace(OUTPUT, relative=r["output"]) for r in rows if r["output"]]
    hashes = {ref.relative: "abc" if ref.size == 100 else "other" for ref in refs}
    found = plan(refs, rows, outputs, hashes=hashes)
    assert (found.photos, found.present, found.is_away) == (2, present, not present)
    assert bool(found.newly_gone) is bool(found.dropped) is bool(present)


def test_folders_that_hold_nothing_any_more_are_told() -> None:
    rows = [row("card/2019/a.jpg"), row("card/b.jpg"), row("disk/c.jpg"), row("d.jpg")]
    refs = [named("card/.DS_Store"), named("disk/2020/e.jpg")]
    outputs = [replace(OUTPUT, relative=r["output"]) for r in rows]
    found = plan(refs, rows, outputs, hashes={ref.relative: "other" for ref in refs})
    assert found.bare == ("card",)


def test_a_file_that_is_there_again_loses_its_mark() -> None:
    assert plan(rows=[row(gone=utc(1.0))]).back == ("a.jpg",)


def test_what_lies_in_a_folder_that_cannot_be_listed_is_not_gone() -> None:
    closed = PhotoRef("in", "closed", 0, 0.0, "folder cannot be listed: no permission")
    assert plan([closed], [row("closed/a.jpg")]).gone == ()


def test_files_from_before_a_date_are_left_and_none_of_them_is_gone() -> None:
    old, young = REF, named("b.jpg", mtime=3_000.0)
    found = plan([old, young], since=2_000.0)
    assert found.todo == (ContentGroup(young),)
    assert found.older == 1
    # The old one may lie elsewhere now, under the same time; of the young one that would be seen.
    rows = [row(), row("b.jpg", source_modified=utc(3_000.0))]
    assert plan([], rows, since=2_000.0).gone == ("b.jpg",)


def test_a_date_leaves_what_is_done_and_what_has_moved_as_it_is_without_one() -> None:
    assert plan(rows=[row()], since=2_000.0).unchanged == 1
    touched = named("b.jpg", mtime=3_000.0)
    found = plan([touched], [row()], hashes={"b.jpg": "abc"}, since=2_000.0)
    assert found.known == (KnownFile(touched, "a.jpg", "a.jpg", Relation.MOVED),)
    changed = replace(REF, size=101)
    twin = named("b.jpg", mtime=3_000.0)
    found = plan([changed, twin], [row()], hashes={"b.jpg": "abc"}, since=2_000.0)
    assert (found.older, [item.how for item in found.known]) == (1, ["duplicate"])


def marked(mark: str) -> Reviewed:
    """A review with a mark of the photo."""
    weaker = replace(STAMP, mode="low", settings_hash="low looks")
    levels = {Level.WEAKER: (Settings(), weaker)}
    marks = {"photos": {"abc": {"source": "a.jpg", "mark": mark}}}
    return Reviewed(Review.model_validate(marks), levels)


def test_a_photo_is_done_again_when_its_marks_change_and_not_after() -> None:
    reviewed = marked("weaker")
    found = plan(rows=[row()], reviewed=reviewed)
    assert found.why == {"marked in a review": 1} and found.files == 1
    done = row(review=reviewed.wish("abc").fingerprint, mode="low", settings_hash="low looks")
    for recloak in (False, True):
        assert plan(rows=[done], reviewed=reviewed, recloak=recloak).unchanged == 1
    assert plan(rows=[done]).why == {"no longer marked in a review": 1}
    stale = row(review=reviewed.wish("abc").fingerprint)
    assert plan(rows=[stale], reviewed=reviewed).stale == {"mode mid": 1}


def test_an_original_is_put_in_place_and_stays_whatever_the_settings() -> None:
    reviewed = marked("original")
    found = plan(rows=[row()], reviewed=reviewed)
    assert not found.todo and [group.ref for group in found.originals] == [REF]
    assert found.refs == [REF]
    done = row(review=reviewed.wish("abc").fingerprint, mode="high", settings_hash="others")
    assert plan(rows=[done], reviewed=reviewed, recloak=True).unchanged == 1


def test_a_copy_of_a_photo_whose_marks_changed_does_not_get_what_the_library_has() -> None:
    copy = PhotoRef("/in", "copy.jpg", 100, 5.0)
    hashes = {"a.jpg": "abc", "copy.jpg": "abc"}
    found = plan([REF, copy], [row()], hashes=hashes, reviewed=marked("weaker"))
    assert not found.known and found.files == 2


def test_the_benchmark_of_an_unchanged_archive_has_one(tmp_path: Path) -> None:
    library = make_unchanged(tmp_path, 100)
    code, said = invoked("plan", library.source, library.root, "--state", library.state, "--json")
    found = json.loads(said)
    assert (code, found["to_do"], found["gone"], found["stale"]) == (0, 0, [], {})
    assert found["done"] + found["left_out"] + found["failed"] == 100
    assert (found["most_same"], found["largest_folder"]) == (0, {"folder": "", "files": 0})


def test_nothing_is_done_or_missed_that_is_not_chosen() -> None:
    refs = [named("2019/a.jpg"), named("2020/b.jpg"), named("2020/back.jpg")]
    rows = [
        row("2019/gone.jpg", source_sha256="1"),
        row("2020/gone.jpg", source_sha256="2"),
        no_output("failed", source="2020/dropped.jpg"),
        row("2020/back.jpg", source_sha256="3", gone=utc(2_000)),
    ]
    outputs = [replace(OUTPUT, relative=one["output"]) for one in rows if one["output"]]
    hashes = {"2019/a.jpg": "4", "2020/b.jpg": "5"}
    found = plan(refs, rows, outputs, hashes=hashes, chosen=Chosen(["2019"]))
    assert [group.ref.source for group in found.todo] == ["2019/a.jpg"]
    assert (found.not_chosen, found.gone, found.dropped) == (2, ("2019/gone.jpg",), ())
    assert (found.newly_gone, found.back) == (("2019/gone.jpg",), ())
    whole = plan(refs, rows, outputs, hashes=hashes)
    assert (whole.not_chosen, len(whole.todo), len(whole.gone)) == (0, 2, 2)
    assert (whole.dropped, whole.back) == (("2020/dropped.jpg",), ("2020/back.jpg",))


def test_a_chosen_photo_that_was_moved_keeps_its_output_unless_its_twin_is_there() -> None:
    old = row("2020/a.jpg")
    new = named("2019/a.jpg")
    outputs = [replace(OUTPUT, relative="2020/a.jpg")]
    for refs, how in (
        ([new], Relation.MOVED),
        ([new, named("2020/a.jpg")], Relation.DUPLICATE),
    ):
        found = plan(refs, [old], outputs, hashes={"2019/a.jpg": "abc"}, chosen=Chosen(["2019"]))
        assert [item.how for item in found.known] == [how]
