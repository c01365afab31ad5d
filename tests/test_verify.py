"""What `status` and `verify` say of a library, and that what they offer mends it."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from photoveil.pipeline.cli.status import read_status
from photoveil.pipeline.cli.status import words as told
from photoveil.pipeline.cli.verify import Report, summary, verify_job
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.library.integrity import Finding
from photoveil.pipeline.library.library import locked
from tests.archives import Archive, Base, photos_of
from tests.commands import invoked

QUIET = Console(quiet=True)


def found(archive: Archive, repair: bool = False) -> set[tuple[str, str]]:
    """What a verification finds: files and what is wrong with them."""
    report = verify_job(archive.library, QUIET, repair)
    assert len(set(report.findings)) == len(report.findings)
    return {(finding.file, finding.kind) for finding in report.findings}


def cloaked(archive: Archive, count: int) -> list[str]:
    """Outputs with faces that no other file shares."""
    rows = archive.rows()
    twins = {row["duplicate_of"] for row in rows.values()}
    return [s for s, row in rows.items() if row["status"] == "cloaked" and s not in twins][:count]


def overwrite(path: Path, at: int, data: bytes) -> None:
    """Other bytes of a file, its size and date as they were."""
    status = path.stat()
    with open(path, "r+b") as stream:
        stream.seek(at)
        stream.write(data)
    os.utime(path, (status.st_mtime, status.st_mtime))


def test_a_library_as_a_run_leaves_it_is_in_order(base: Base) -> None:
    assert found(base) == set()
    status = read_status(str(base.out), str(base.state))
    assert not status.is_well  # the generated archive holds damaged photos
    assert all(source.endswith("_bad.jpg") for source, _ in status.failed)


def test_what_was_lost_or_damaged_is_found_and_made_anew(archive: Archive) -> None:
    before = photos_of(archive)
    lost, cut, damaged = cloaked(archive, 3)
    twin = next(s for s, row in archive.rows().items() if row["status"] == "duplicate")
    (archive.out / lost).unlink()
    (archive.out / cut).write_bytes((archive.out / cut).read_bytes()[:-7])
    overwrite(archive.out / damaged, 600, b"\0\1\2")
    overwrite(archive.out / twin, 600, b"\0\1\2")
    wrong = {(damaged, "damaged"), (twin, "damaged")}
    assert found(archive) == {(lost, "lost"), (cut, "lost"), *wrong}
    archive.run()  # sees what has another size
    assert found(archive) == wrong
    assert found(archive, repair=True) == wrong
    assert not (archive.out / damaged).exists()
    archive.run()
    assert found(archive) == set()
    assert photos_of(archive).keys() == before.keys()


def test_the_commands_that_verify_offers_mend_the_library(archive: Archive) -> None:
    before = photos_of(archive)
    (damaged,) = cloaked(archive, 1)
    overwrite(archive.out / damaged, 600, b"\0\1\2")
    config = archive.photos.parent / "quick.yaml"
    config.write_text(archive.settings.model_dump_json())
    verify = ["verify", archive.out, "--state", archive.state]
    code, said = invoked(*verify)
    assert code == 3, said
    assert f"1  cloaked files with other bytes than were written:\n          {damaged}" in said
    offered = [shlex.split(line) for line in re.findall("    photoveil (.*)", said)]
    assert [command[0] for command in offered] == ["verify", "run"]
    assert invoked(*offered[0])[0] == 3
    code, said = invoked(*offered[1], "--config", config)
    assert code == 3, said  # the generated archive holds damaged photos
    code, said = invoked(*verify)
    assert code == 0
    assert "All is in order." in said
    assert photos_of(archive).keys() == before.keys()


def test_every_file_of_both_folders_is_accounted_for(archive: Archive) -> None:
    changed, gone, spoilt, unwritten = cloaked(archive, 4)
    photos, out = archive.photos, archive.out
    (photos / "new.jpg").write_bytes((photos / changed).read_bytes())
    with open(photos / changed, "ab") as stream:
        stream.write(b"\0")
    (photos / gone).unlink()
    overwrite(photos / spoilt, 600, b"\0\1\2")
    (out / "holiday.jpg").write_bytes((photos / unwritten).read_bytes())
    (out / ".DS_Store").write_bytes(b"a file browser was here")
    # As a run leaves it that is killed before it commits a wave.
    archive.add_rows(manifest.removed_row(archive.rows()[unwritten]))
    assert found(archive) == {
        ("new.jpg", "new"),
        (changed, "changed"),
        (gone, "gone"),
        (spoilt, "spoilt"),
        ("holiday.jpg", "stray"),
        (unwritten, "unfinished"),
        (unwritten, "new"),
    }


def test_what_cannot_be_made_anew_is_never_taken_away(archive: Archive) -> None:
    damaged, lost = cloaked(archive, 2)
    for name in (damaged, lost):
        (archive.photos / name).unlink()
    archive.run()
    overwrite(archive.out / damaged, 600, b"\0\1\2")
    (archive.out / lost).unlink()
    assert found(archive, repair=True) == {(damaged, "orphan"), (lost, "orphan")}
    assert (archive.out / damaged).exists()
    archive.run(prune=True)
    assert found(archive) == set()


def test_an_output_that_cannot_be_opened_is_found_though_its_bytes_are_as_written(
    archive: Archive,
) -> None:
    (name,) = cloaked(archive, 1)
    data = (archive.out / name).read_bytes()[:300] + bytes(500)
    (archive.out / name).write_bytes(data)
    row = archive.rows()[name]
    row |= {"output_sha256": hashlib.sha256(data).hexdigest(), "output_size": len(data)}
    archive.add_rows(row)
    assert found(archive) == {(name, "unreadable")}


def test_a_damaged_manifest_is_found_and_its_photos_are_made_anew(archive: Archive) -> None:
    before, library = photos_of(archive), archive.library
    (name,) = cloaked(archive, 1)
    (part,) = (archive.out / "_photoveil/manifest").iterdir()
    rows = archive.rows()
    manifest.write_part([rows.pop(name)], library.manifest, library.scratch, "8")
    manifest.write_part(list(rows.values()), library.manifest, library.scratch, "9")
    part.unlink()
    overwrite(archive.out / "_photoveil/manifest/8.parquet", 300, bytes(100))
    with pytest.raises(OSError, match=r"is damaged: .*photoveil verify"):
        archive.plan()
    damaged = ("_photoveil/manifest/8.parquet", "part")
    assert found(archive) == {damaged}
    assert found(archive, repair=True) == {damaged, (name, "unfinished"), (name, "new")}
    archive.run()
    assert found(archive) == set()
    assert photos_of(archive).keys() == before.keys()


def test_long_lists_are_cut_on_the_screen_and_whole_in_a_table(
    archive: Archive, tmp_path: Path
) -> None:
    for number in range(30):
        (archive.out / f"stray {number}.jpg").write_bytes(b"")
    table = tmp_path / "found.csv"
    report = verify_job(archive.library, QUIET, table=str(table))
    said = summary(report, archive.library)
    assert "30  files in the library that the manifest does not know" in said
    assert said.count("stray ") == 20
    assert "… and 10 more: --csv FILE lists all" in said
    with open(table, newline="") as stream:
        assert [row["kind"] for row in csv.DictReader(stream)] == ["stray"] * 30
    with pytest.raises(LibraryError, match="choose another place"):
        verify_job(archive.library, QUIET, table=str(archive.out / "found.csv"))


def test_the_way_out_names_the_mode_and_state_of_the_library(base: Base) -> None:
    report = verify_job(base.library, QUIET)
    row = {**report.rows[0], "mode": "low"}
    said = summary(Report([row], findings=[Finding("lost", "a.jpg")]), base.library)
    assert f"photoveil run {base.photos} {base.out} --mode low --state {base.state}" in said


def test_no_verification_while_a_run_is_writing(archive: Archive) -> None:
    with locked(archive.library), pytest.raises(LibraryError, match="a run is writing"):
        verify_job(archive.library, QUIET)


def test_originals_that_are_not_there_are_no_verdict_on_each_of_them(archive: Archive) -> None:
    archive.photos.rename(archive.photos.parent / "elsewhere")
    code, said = invoked("verify", archive.out, "--state", archive.state)
    assert code == 2
    assert "say where they are: --originals" in said
    again = archive.photos.parent / "elsewhere"
    assert invoked("verify", archive.out, "--state", archive.state, "--originals", again)[0] == 0


def test_status_tells_what_is_there_and_where(archive: Archive) -> None:
    code, said = invoked("status", archive.out, "--state", archive.state)
    assert code == 3, said  # photos fail, and are listed
    listed = "Failed when they were last tried:\n  "
    for words in (f"Originals:     {archive.photos}", "people known", "cloaked\n", listed):
        assert words in said
    assert invoked("status", archive.photos)[0] == 2


def test_status_tells_an_interrupted_run_from_one_that_goes_on(archive: Archive) -> None:
    (record,) = (archive.out / "_photoveil/runs").iterdir()
    record.write_text(re.sub('"ended": [0-9.]+', '"ended": null', record.read_text()))
    (archive.out / "_photoveil/unfinished/x").write_bytes(b"half a pho")
    status = read_status(str(archive.out), str(archive.state))
    assert not status.is_well
    assert "was interrupted" in told(status)
    assert "1 unfinished file" in told(status)
    with locked(archive.library):
        status = read_status(str(archive.out), str(archive.state))
    assert status.is_well
    assert "A run is going on since" in told(status)


def test_status_says_when_the_private_state_is_lost(archive: Archive) -> None:
    shutil.rmtree(archive.state)
    status = read_status(str(archive.out), str(archive.state))
    assert "not known: the private state is lost" in told(status)
