"""Run after run over one archive: what is new, changed, moved, gone or there twice."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from photoveil.pipeline.cli.plan import point_in_time
from photoveil.pipeline.cli.run import Ending, next_time, run_job
from photoveil.pipeline.cli.summaries import plan_summary, summary
from photoveil.pipeline.graph import place_copies
from photoveil.pipeline.library import manifest, run_history
from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.run import planning
from photoveil.pipeline.run.estimate import estimate
from photoveil.pipeline.run.result import RunResult
from photoveil.pipeline.settings import RunSettings, SettingsError
from photoveil.pipeline.state.scan_cache import ScanCache
from photoveil.transforms.beam.stage_metrics import STAGES
from photoveil.transforms.beam.thread_map import cores
from photoveil.transforms.photo import write
from photoveil.transforms.records import Placed
from tests.archives import QUICK, Archive, Base, opened_files, photos_of
from tests.commands import hashes
from tests.support.make_archive import make_archive


def cloaked(archive: Archive, count: int) -> list[str]:
    """Sources of photos with faces that have no duplicate."""
    rows = archive.rows()
    twins = {row["duplicate_of"] for row in rows.values()}
    return [s for s, row in rows.items() if row["status"] == "cloaked" and s not in twins][:count]


def nothing_cloaked(outcome: RunResult) -> bool:
    return outcome.statuses["cloaked"] == 0


def test_exact_duplicates_are_cloaked_once_and_say_what_their_twin_says(base: Base) -> None:
    rows = base.rows()
    pairs = [(item.file, item.of) for item in base.made if item.kind == "exact"]
    assert pairs
    for copy, original in pairs:
        assert {rows[copy]["status"], rows[original]["status"]} <= {
            "duplicate",
            "cloaked",
            "no_face",
        }
        assert rows[copy]["faces"] == rows[original]["faces"]
        assert (base.out / copy).read_bytes() == (base.out / original).read_bytes()
        assert (base.out / copy).stat().st_ino != (base.out / original).stat().st_ino


def test_no_worker_has_to_place_all_duplicates_of_a_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunSettings(options={"direct_num_workers": 2, "direct_running_mode": "multi_threading"})
    archive = Archive(tmp_path, QUICK.model_copy(update={"run": run}))
    archive.photos.mkdir()
    Image.new("RGB", (64, 64), "white").save(archive.photos / "0.jpg")
    for number in range(1, 40):
        shutil.copyfile(archive.photos / "0.jpg", archive.photos / f"{number}.jpg")
    workers = set()

    def place(*arguments: Any) -> Placed:
        workers.add(threading.get_ident())
        return write.place(*arguments)

    monkeypatch.setattr(place_copies, "place", place)
    assert archive.run().statuses == {"no_face": 1, "duplicate": 39}
    assert len(workers) == 2


def test_an_unchanged_archive_is_done_without_opening_any_of_it(base: Base) -> None:
    before = hashes(base.out)
    with opened_files() as opened:
        outcome = base.run()
    assert [path for path in opened if path.startswith(str(base.photos))] == []
    assert outcome.plan.refs == []
    assert {n: h for n, h in hashes(base.out).items() if "unfinished" not in n} == before


def test_moved_photos_move_and_are_not_cloaked_again(archive: Archive) -> None:
    one, two, three = cloaked(archive, 3)
    before, rows = photos_of(archive), archive.rows()
    (archive.photos / "new").mkdir()
    (archive.photos / one).rename(archive.photos / "new/elsewhere.jpg")
    (archive.photos / two).rename(archive.photos / "held.jpg")  # these two change places
    (archive.photos / three).rename(archive.photos / two)
    (archive.photos / "held.jpg").rename(archive.photos / three)
    outcome = archive.run()
    assert outcome.moved == 3
    assert nothing_cloaked(outcome)
    after, new = photos_of(archive), archive.rows()
    assert after == {
        **{name: sha for name, sha in before.items() if name != one},
        "new/elsewhere.jpg": before[one],
        two: before[three],
        three: before[two],
    }
    assert one not in new
    assert new["new/elsewhere.jpg"]["faces"] == rows[one]["faces"]
    assert new[two]["source_sha256"] == rows[three]["source_sha256"]
    assert not (archive.out / "_photoveil/moving").exists()
    assert archive.plan().refs == []


def test_a_moved_twin_takes_the_rows_of_its_duplicates_along(archive: Archive) -> None:
    rows = archive.rows()
    copy = next(source for source, row in rows.items() if row["status"] == "duplicate")
    twin = rows[copy]["duplicate_of"]
    (archive.photos / twin).rename(archive.photos / "renamed.jpg")
    assert nothing_cloaked(archive.run())
    assert archive.rows()[copy]["duplicate_of"] == "renamed.jpg"


def test_gone_photos_are_kept_and_marked_until_pruned(archive: Archive) -> None:
    one, two = cloaked(archive, 2)
    kept = (archive.photos / one).read_bytes(), os.stat(archive.photos / one).st_mtime
    (archive.photos / one).unlink()
    (archive.photos / two).unlink()
    assert archive.run().plan.gone == tuple(sorted((one, two)))
    assert (archive.out / one).exists()
    assert archive.rows()[one]["gone"] is not None
    (archive.photos / one).write_bytes(kept[0])
    os.utime(archive.photos / one, (kept[1], kept[1]))
    outcome = archive.run(prune=True)
    assert outcome.plan.back == (one,)
    assert archive.rows()[one]["gone"] is None
    assert two not in archive.rows()
    assert not (archive.out / two).exists()


def test_pruning_a_twin_leaves_its_duplicates_with_a_row_of_their_own(archive: Archive) -> None:
    rows = archive.rows()
    copy = next(source for source, row in rows.items() if row["status"] == "duplicate")
    twin = rows[copy]["duplicate_of"]
    (archive.photos / twin).unlink()
    archive.run(prune=True)
    assert archive.rows()[copy]["duplicate_of"] is None
    assert archive.rows()[copy]["status"] == rows[twin]["status"]
    assert (archive.out / copy).exists()


def test_pruning_a_sidecars_twin_leaves_a_sidecar(archive: Archive) -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
    for name in ("one.xmp", "two.xmp"):
        (archive.photos / name).write_bytes(packet)
    archive.run()
    rows = archive.rows()
    (copy,) = (n for n in ("one.xmp", "two.xmp") if rows[n]["status"] == "duplicate")
    (archive.photos / rows[copy]["duplicate_of"]).unlink()
    archive.run(prune=True)
    assert archive.rows()[copy]["status"] == "companion"
    assert nothing_cloaked(archive.run())


def test_an_archive_that_is_not_there_is_never_pruned(archive: Archive) -> None:
    shutil.rmtree(archive.photos)
    archive.photos.mkdir()
    with pytest.raises(LibraryError, match="is the disk there"):
        archive.run(prune=True)
    assert len(photos_of(archive)) > 10


def test_new_changed_and_touched_photos(archive: Archive) -> None:
    one, two, three = cloaked(archive, 3)
    before = photos_of(archive)
    shutil.copyfile(archive.photos / one, archive.photos / "copy.jpg")  # a duplicate, later
    os.utime(archive.photos / two, (1e9, 1e9))  # the same bytes
    data = (archive.photos / three).read_bytes()
    (archive.photos / three).write_bytes(data + b"\0")  # other bytes, still a photo
    (archive.out / cloaked(archive, 4)[3]).unlink()
    outcome = archive.run()
    assert outcome.plan.why == {"changed": 1, "output lost or cut": 1}
    assert [(item.ref.source, item.how) for item in outcome.plan.known] == [
        (two, "restored"),
        ("copy.jpg", "duplicate"),
    ]
    assert outcome.statuses == {"cloaked": 2, "duplicate": 1}
    after = photos_of(archive)
    assert after["copy.jpg"] == after[one] == before[one]
    assert after[two] == before[two]
    assert os.stat(archive.out / two).st_mtime == 1e9
    assert after.keys() == {*before, "copy.jpg"}
    assert archive.plan().refs == []


def test_the_output_of_a_photo_that_has_none_any_more_is_deleted(archive: Archive) -> None:
    (one,) = cloaked(archive, 1)
    (archive.photos / one).write_bytes(b"no photo any more")
    assert archive.run().statuses["failed"] == 1
    assert not (archive.out / one).exists()


def test_the_plan_tells_what_is_known_of_faces_from_what_is_only_likely(archive: Archive) -> None:
    lost, like = cloaked(archive, 2)
    (archive.out / lost).unlink()
    with Image.open(archive.photos / like) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(archive.photos / "new.jpg")
    stamp = planning.new_stamp(archive.settings)
    plan, ahead = archive.plan(), ScanCache(archive.library.state, archive.settings, stamp)
    coming = estimate(archive.library, plan, ahead, stamp)
    rows = [row for row in archive.rows().values() if row["status"] != "duplicate"]
    assert coming.rate == sum(len(row["faces"]) for row in rows) / len(rows)
    assert (coming.scanned, coming.faces, coming.people, coming.unseen) == (1, 1, 1, 1)
    assert coming.measured
    said = plan_summary(plan, coming, None, "in")
    assert "Faces: 1 face of 1 person in the 1 scanned before; about 1 in 1 new file" in said
    assert "(a forecast: 0.86 a file in this library so far); 3 people are known" in said


def test_only_photos_since_a_date(archive: Archive) -> None:
    old, young, gone, lost = cloaked(archive, 4)
    shutil.copyfile(archive.photos / old, archive.photos / "old.jpg")
    shutil.copyfile(archive.photos / young, archive.photos / "young.jpg")
    since = time.time() + 1000
    os.utime(archive.photos / "young.jpg", (since, since))
    (archive.photos / gone).unlink()
    (archive.out / lost).unlink()
    before = archive.rows()
    outcome = archive.run(since=since, prune=True)
    assert (outcome.plan.older, outcome.plan.gone) == (2, ())
    assert archive.rows() == {**before, "young.jpg": archive.rows()["young.jpg"]}
    assert archive.run().plan.gone == (gone,)
    assert archive.plan().refs == []


def test_a_date_is_of_the_local_clock() -> None:
    day = point_in_time("2026-11-01")
    assert time.strftime("%Y-%m-%d %H:%M", time.localtime(day)) == "2026-11-01 00:00"
    assert point_in_time("2026-11-01T12:00:00Z") == 1793534400
    with pytest.raises(SettingsError, match="is no date; write it as"):
        point_in_time("last week")


def test_duplicates_can_be_hard_links(archive: Archive) -> None:
    archive.settings = QUICK.model_copy(update={"run": RunSettings(duplicates="link")})
    (one,) = cloaked(archive, 1)
    shutil.copyfile(archive.photos / one, archive.photos / "copy.jpg")
    archive.run()
    assert (archive.out / "copy.jpg").samefile(archive.out / one)


def test_a_crash_between_moving_and_cleaning_up_is_made_up_for(archive: Archive) -> None:
    (one,) = cloaked(archive, 1)
    left = (archive.out / one).read_bytes()
    (archive.photos / one).rename(archive.photos / "moved.jpg")
    archive.run()
    before = photos_of(archive)
    # As if it had been killed before the old place was emptied.
    row = {**archive.rows()["moved.jpg"], "source": one, "output": one}
    archive.add_rows(manifest.removed_row(row))
    (archive.out / one).parent.mkdir(parents=True, exist_ok=True)
    (archive.out / one).write_bytes(left)
    assert archive.run().plan.refs == []
    assert photos_of(archive) == before


def test_a_run_that_was_killed_at_its_very_end_is_tidied_up(archive: Archive) -> None:
    (one,) = cloaked(archive, 1)
    archive.add_rows(archive.rows()[one])
    shutil.rmtree(archive.state / "people")
    shutil.rmtree(archive.out / "_photoveil/runs")
    archive.run()
    assert len(list((archive.out / "_photoveil/manifest").iterdir())) == 1
    assert archive.plan().refs == []


def test_a_run_ends_at_its_limit_or_before_its_deadline(tmp_path: Path) -> None:
    archive = Archive(tmp_path, QUICK.model_copy(update={"run": RunSettings(wave_photos=3)}))
    made = make_archive(archive.photos, 12, seed=7, side=200)
    console = Console(quiet=True)
    past = Ending(deadline=time.time())
    outcome = run_job(archive.library, archive.settings, console, ending=past)
    assert (outcome.stopped, len(archive.rows())) == ("the deadline", 0)
    outcome = run_job(archive.library, archive.settings, console, ending=Ending(limit=4))
    assert len(archive.rows()) == outcome.plan.files >= 4
    run_job(archive.library, archive.settings, console)
    assert archive.rows().keys() == {item.file for item in made}


def test_a_deadline_is_the_next_time_the_clock_shows_it() -> None:
    assert 0 < next_time("06:00") - time.time() <= 25 * 3600
    with pytest.raises(SettingsError, match="no time of day"):
        next_time("6 am")


def test_each_run_that_changes_something_leaves_a_record(archive: Archive) -> None:
    (one,) = cloaked(archive, 1)
    (archive.photos / one).rename(archive.photos / "moved.jpg")
    archive.run()
    archive.run()  # nothing to do
    records = [
        json.loads(p.read_text()) for p in sorted((archive.out / "_photoveil/runs").iterdir())
    ]
    assert len(records) == 2
    assert records[0]["statuses"]["cloaked"] > 5
    assert records[0]["stopped"] is None
    assert len(list((archive.out / "_photoveil/manifest").iterdir())) == 1


def test_a_run_tells_where_its_time_went_from_the_metrics_of_its_workers(base: Base) -> None:
    work, rows = base.first.work, base.rows()
    assert work.photos == len(rows)
    faces = [row["source"] for row in rows.values() if row["status"] == "cloaked"]
    assert work.faces == sum(len(rows[source]["faces"]) for source in faces) == base.first.faces
    assert all(work.seconds[stage] > 0 for stage in STAGES)
    # Photos are read and written side by side, by a thread a core.
    assert sum(work.seconds.values()) < cores() * base.first.seconds
    (record,) = run_history.read(base.library)
    assert record["work"] == work.record(QUICK.cloak.batch_size)
    assert 0 < record["work"]["batch_fill"] <= 1
    (line,) = [line for line in summary(base.first, base.library).splitlines() if "time" in line]
    assert line.startswith("Where the time went: ")
    assert "cloaking " in line and " %" in line
