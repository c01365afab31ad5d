"""The latest row wins, whatever the clock said when it was written."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from photoveil.pipeline.cli import status
from photoveil.pipeline.cli.verify import verify_job
from photoveil.pipeline.library import manifest, run_history, sequence
from photoveil.pipeline.run import planning, waves
from photoveil.pipeline.run.context import RunContext
from photoveil.pipeline.run.plan import WHAT_IS_NEW
from photoveil.pipeline.state import warm_starts
from photoveil.pipeline.state.warm_starts import WarmStarts
from photoveil.transforms.records import CROP_SIZE
from tests.archives import Archive, photos_of

AHEAD, BEHIND = 400 * 86_400.0, -20 * 365 * 86_400.0


def cloaked(archive: Archive, count: int) -> list[str]:
    rows = archive.rows()
    twins = {row["duplicate_of"] for row in rows.values()}
    return [s for s, row in rows.items() if row["status"] == "cloaked" and s not in twins][:count]


def run_at(archive: Archive, shift: float) -> str:
    """A run while the clock is wrong by so many seconds; the name of the run."""
    wrong = time.strftime("%Y%m%dT%H%M%S000000Z", time.gmtime(time.time() + shift))
    stamp = replace(planning.new_stamp(archive.settings), run_id=f"{wrong}-c10c4b")
    plan = planning.plan_run(archive.library, archive.settings, stamp, WHAT_IS_NEW)
    waves.run(RunContext(archive.library, archive.settings, stamp), plan)
    return stamp.run_id


def change(archive: Archive, name: str, byte: int) -> None:
    path = archive.photos / name
    path.write_bytes(path.read_bytes() + bytes([byte]))


def test_the_latest_run_wins(archive: Archive) -> None:
    (name,) = cloaked(archive, 1)
    for byte, shift in enumerate((AHEAD, 0.0, BEHIND), start=1):
        change(archive, name, byte)
        run_id = run_at(archive, shift)
        assert archive.rows()[name]["run_id"] == run_id
        assert archive.rows()[name]["source_size"] == (archive.photos / name).stat().st_size
        assert archive.plan().refs == []
        assert run_history.read(archive.library)[-1]["run_id"] == run_id
        found = status.read_status(str(archive.out), str(archive.state))
        assert found.last is not None
        assert found.last["run_id"] == run_id
    from rich.console import Console

    assert verify_job(archive.library, Console(quiet=True), False, None).findings == []


def as_made_by_0_1_0(folder: Path, run_id: str) -> None:
    """Name the files of a folder as the first version named them."""
    for number, path in enumerate(sorted(folder.iterdir())):
        more = f"-{number:06d}" if number else ""
        path.rename(folder / f"{run_id}{more}{path.suffix}")


def test_an_old_library_opens_and_its_rows_sort_below(archive: Archive) -> None:
    (name,) = cloaked(archive, 1)
    before = archive.rows()
    for folder in ("manifest", "runs"):
        as_made_by_0_1_0(archive.out / "_photoveil" / folder, "20991231T000000000000Z-abcdef")
    for folder in ("faces", "changes"):
        as_made_by_0_1_0(archive.state / "people" / folder, "20991231T000000000000Z-abcdef")
    assert archive.rows() == before
    assert archive.plan().refs == []
    change(archive, name, 1)
    archive.run()
    assert archive.rows()[name]["run_id"] != before[name]["run_id"]
    assert archive.plan().refs == []
    assert [record["run_id"] for record in run_history.read(archive.library)] == [
        before[name]["run_id"],
        archive.rows()[name]["run_id"],
    ]


def test_parts_of_an_old_library_keep_their_order() -> None:
    old = [f"20261130T0{hour}0000000000Z-abcdef-000001.parquet" for hour in range(3)]
    new = [f"{sequence.name(number, '20251130T000000')}.parquet" for number in (1, 2, 11, 10**9)]
    assert sequence.oldest_first([*new[::-1], *old[::-1], "all.parquet"]) == [
        "all.parquet",
        *old,
        *new,
    ]


def test_each_run_goes_on_from_the_largest_number(archive: Archive) -> None:
    largest = max(map(sequence.number, map(str, (archive.out / "_photoveil").rglob("p*"))))
    assert sequence.number(next(sequence.names(archive.library, "run"))) == largest + 1
    # Numbers of the private tables count, too, where the manifest was lost.
    part = archive.state / "people/faces" / f"{sequence.name(70, 'x')}.parquet"
    shutil.copyfile(archive.state / "people/faces/all.parquet", part)
    assert sequence.number(next(sequence.names(archive.library, "run"))) == 71


def test_parts_that_a_killed_compaction_left_do_not_count(archive: Archive) -> None:
    (name,) = cloaked(archive, 1)
    (whole,) = (archive.out / "_photoveil/manifest").iterdir()
    kept = whole.read_bytes()
    (archive.photos / name).unlink()
    archive.run(prune=True)
    before = photos_of(archive)
    whole.write_bytes(kept)  # a bucket deletes in any order: the row that pruned it went first
    assert name not in archive.rows()
    assert archive.run().plan.gone == ()
    assert photos_of(archive) == before
    assert len(list((archive.out / "_photoveil/manifest").iterdir())) == 1


def test_what_was_kept_of_a_person_last_counts(tmp_path: Path) -> None:
    memory, made = WarmStarts(str(tmp_path)), []
    for number, run_id in ((2, "2099"), (10, "2026"), (11, "1970")):
        change = np.full((CROP_SIZE, CROP_SIZE, 3), number, np.float16)
        made.append(change)
        row = {"face": "f", "change": change.tobytes()}
        part = sequence.name(number, run_id)
        memory.keep(pa.Table.from_pylist([row], warm_starts.CHANGES), part)
    memory.learn({"f": "p1"}, {"p1": np.ones(4, np.float32)})
    known = memory.of("p1")
    assert known is not None
    assert known.start is not None
    assert np.array_equal(known.start, made[-1])


def test_a_run_takes_as_long_as_it_took_though_the_clock_was_set(archive: Archive) -> None:
    (record,) = run_history.read(archive.library)
    assert record["seconds"] > 0
    found = status.read_status(str(archive.out), str(archive.state))
    back = replace(found, last={**record, "ended": record["started"] - AHEAD})
    assert status.words(back) == status.words(found)


def test_manifest_parts_are_named_in_order(archive: Archive) -> None:
    (part,) = (archive.out / "_photoveil/manifest").iterdir()
    assert part.name.startswith("p0000000")
    assert manifest.is_compact(archive.library.manifest)
