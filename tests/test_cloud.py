"""Whole runs with photos, library and private state in buckets: `make test-cloud`."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import piexif
import pytest
from PIL import Image

from photoveil.pipeline.fingerprints import settings_hash
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import Library, locked, open_library
from photoveil.pipeline.run import planning, waves
from photoveil.pipeline.run.context import RunContext
from photoveil.pipeline.run.plan import Plan
from photoveil.pipeline.run.result import RunResult
from photoveil.pipeline.settings import RunSettings
from photoveil.pipeline.state.people import People
from photoveil.transforms.io import object_store, storage
from tests import clouds
from tests.archives import QUICK, Archive
from tests.commands import invoked, photoveil
from tests.support.make_archive import make_archive

pytestmark = pytest.mark.skipif(
    not clouds.CLOUDS, reason="takes minutes and servers that are built with Go: make test-cloud"
)
SETTINGS = QUICK.model_copy(update={"run": RunSettings(wave_photos=4)})
ODD = "100% [odd] é?*.jpg"


class Cloud:
    """A copy of an archive, its library and its state, wherever they are to lie."""

    def __init__(self, local: Archive, photos: str, out: str, state: str) -> None:
        self.photos, self.out, self.state = photos, out, state
        self.config = local.photos.parent / "quick.yaml"
        self.config.write_text(SETTINGS.model_dump_json())
        for entry in storage.walk(str(local.photos)):
            self.put(entry.relative, (local.photos / entry.relative).read_bytes())

    @property
    def library(self) -> Library:
        return open_library(self.photos, self.out, self.state)

    def put(self, name: str, data: bytes) -> None:
        storage.write_atomic(storage.join(self.photos, name), data, f"{self.photos}.unfinished")

    def take(self, name: str) -> bytes:
        path = storage.join(self.photos, name)
        data = storage.read_bytes(path)
        storage.remove([path])
        return data

    def command(self, *more: object) -> list[object]:
        return ["run", self.photos, self.out, "--state", self.state, "--config", self.config, *more]

    def plan(self) -> Plan:
        return planning.plan_run(self.library, SETTINGS, planning.new_stamp(SETTINGS))

    def run(self) -> RunResult:
        stamp = planning.new_stamp(SETTINGS)
        with locked(self.library):
            plan = planning.plan_run(self.library, SETTINGS, stamp)
            return waves.run(RunContext(self.library, SETTINGS, stamp), plan)

    def rows(self) -> dict[str, dict[str, Any]]:
        rows = manifest.read(self.library.manifest).to_pylist()
        assert len({row["source"] for row in rows}) == len(rows)
        return {row["source"]: row for row in rows}

    def cloaked(self, count: int) -> list[str]:
        """Photos with faces that no other file is like."""
        rows = self.rows()
        twins = {row["duplicate_of"] for row in rows.values()}
        return [
            source
            for source, row in rows.items()
            if row["status"] == "cloaked" and source not in twins and row["distance"] is None
        ][:count]

    def outputs(self) -> dict[str, bytes]:
        return {
            entry.relative: storage.read_bytes(storage.join(self.out, entry.relative))
            for entry in storage.walk(self.out)
            if not entry.relative.startswith("_photoveil/")
        }

    def tidy(self) -> None:
        """Assert that nothing but what is meant to stay was left."""
        left = {entry.relative.split("/")[1] for entry in storage.walk(f"{self.out}/_photoveil")
                if "/" in entry.relative}  # fmt: skip
        assert "unfinished" not in left
        assert not storage.exists(f"{self.out}/_photoveil/lock")
        assert not storage.exists(f"{self.state}/waves")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, demo_photo: Callable[[str], Path]) -> Archive:
    """The same archive on a local disk, after its run."""
    archive = Archive(tmp_path_factory.mktemp("local"), SETTINGS)
    make_archive(archive.photos, 12, seed=7, side=200)
    shutil.copyfile(demo_photo("biden.jpg"), archive.photos / ODD)
    archive.run()
    return archive


def expected(local: Archive) -> dict[str, bytes]:
    return {
        entry.relative: (local.out / entry.relative).read_bytes()
        for entry in storage.walk(str(local.out))
        if not entry.relative.startswith("_photoveil/")
    }


@pytest.fixture(scope="module", params=["gs", "s3"])
def cloud(request: pytest.FixtureRequest, servers: None, local: Archive) -> Cloud:
    """All in one bucket, after a run of the command."""
    base = f"{clouds.new_bucket(request.param)}/the [first] one"
    cloud = Cloud(local, f"{base}/in", f"{base}/out", f"{base}/state")
    done = photoveil(*cloud.command())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return cloud


def test_a_run_in_a_bucket_gives_what_one_on_a_disk_does(cloud: Cloud, local: Archive) -> None:
    assert cloud.outputs() == expected(local)
    there, here = cloud.rows(), local.rows()
    assert there.keys() == here.keys()
    for source, row in there.items():
        for column in ("status", "reason", "duplicate_of", "output_sha256", "format", "notes"):
            assert row[column] == here[source][column]
    known = People(cloud.state).known()
    assert known.keys() == People(str(local.state)).known().keys()
    cloud.tidy()


def test_a_second_run_does_nothing(cloud: Cloud) -> None:
    before = {item.path: item.version for item in object_store.find(f"{cloud.out}/")}
    outcome = cloud.run()
    assert outcome.plan.refs == []
    assert {item.path: item.version for item in object_store.find(f"{cloud.out}/")} == before


def test_status_and_verify_read_what_lies_there(cloud: Cloud) -> None:
    status = photoveil("status", cloud.out, "--state", cloud.state)
    assert (status.returncode, status.stderr) == (0, "")
    assert f"Originals:     {cloud.photos}\n" in status.stdout
    assert f"Private state: {cloud.state} (" in status.stdout
    assert "Last run:" in status.stdout
    assert f"{len(cloud.rows())} originals in the manifest" in status.stdout
    verify = photoveil("verify", cloud.out, "--state", cloud.state)
    assert (verify.returncode, verify.stderr) == (0, "")
    assert "All is in order." in verify.stdout
    cloud.tidy()


def test_verify_finds_what_is_wrong_and_what_it_offers_mends_it(cloud: Cloud) -> None:
    before = cloud.outputs()
    damaged, lost = cloud.cloaked(2)
    path = storage.join(cloud.out, damaged)
    data = bytearray(storage.read_bytes(path))
    data[600:603] = b"\0\1\2"
    object_store.write(path, bytes(data))
    object_store.remove([storage.join(cloud.out, lost)])
    stray = storage.join(cloud.out, "holiday.jpg")
    object_store.write(stray, bytes(data))
    table = f"{cloud.state}-findings.csv"
    verify = ["verify", cloud.out, "--state", cloud.state, "--csv", table]
    done = photoveil(*verify)
    assert (done.returncode, done.stderr) == (3, "")
    assert set(storage.read_bytes(table).decode().split("\r\n")) == {
        *("kind,file,detail", f"damaged,{damaged},", f"lost,{lost},", "stray,holiday.jpg,", "")
    }
    offered = [shlex.split(line) for line in re.findall("    photoveil (.*)", done.stdout)]
    assert [command[0] for command in offered] == ["verify", "run"]
    assert photoveil(*offered[0]).returncode == 3
    assert not storage.exists(path)
    object_store.remove([stray])
    code, said = invoked(*offered[1], "--config", cloud.config)
    assert code == 0, said
    assert photoveil(*verify).returncode == 0
    assert cloud.outputs().keys() == before.keys()


def test_what_hides_in_a_file_there_is_found(cloud: Cloud) -> None:
    leaks = ["verify", cloud.out, "--leaks", "--state", cloud.state]
    code, said = invoked(*leaks)
    assert (code, "No clean face hides in them." in said) == (0, True), said
    path = storage.join(cloud.out, ODD)
    cloaked = storage.read_bytes(path)
    with Image.open(io.BytesIO(storage.read_bytes(storage.join(cloud.photos, ODD)))) as photo:
        photo.thumbnail((320, 320))
        small, whole = io.BytesIO(), io.BytesIO()
        photo.save(small, "JPEG")
    exif = {"0th": {}, "1st": {}, "thumbnail": small.getvalue()}
    piexif.insert(piexif.dump(exif), cloaked, whole)
    object_store.write(path, whole.getvalue())
    code, said = invoked(*leaks)
    object_store.write(path, cloaked)
    assert code == 3, said
    assert f"  {ODD}: an uncloaked face in the " in said


def test_scanned_chosen_cloaked_and_evaluated(
    cloud: Cloud, demo_photo: Callable[[str], Path]
) -> None:
    """A new person: found before the first cloak, left alone, then looked for."""
    names = [f"them/{name}.jpg" for name in ("obama", "obama2")]
    for name in names:
        cloud.put(name, demo_photo(Path(name).name).read_bytes())
    places = [cloud.photos, cloud.out, "--state", cloud.state]
    code, said = invoked("scan", *places, "--config", cloud.config)
    assert code == 0, said
    assert "2 files scanned" in said
    assert "nothing is cloaked yet" in said
    code, said = invoked("plan", *places, "--config", cloud.config)
    assert "as scanned before" in said
    assert cloud.run().statuses == {"cloaked": 2}
    table = f"{cloud.state}-labels.csv"
    lines = ["file,person", *(f"{name},them" for name in names)]
    object_store.write(table, "\n".join(lines).encode())
    report = f"{cloud.state}-report.json"
    code, said = invoked(
        *("evaluate", cloud.out, "--originals", cloud.photos, "--people", table, "--quick"),
        *("--recogniser", "mobilefacenet", "--report", report, "--state", cloud.state),
    )
    assert code == 0, said
    assert f"Contact sheet (it shows uncloaked faces): {cloud.state}/contact-sheet.png" in said
    assert storage.read_bytes(f"{cloud.state}/contact-sheet.png").startswith(b"\x89PNG")
    assert json.loads(storage.read_bytes(report))
    cloud.tidy()


def test_the_other_commands_find_it_there(cloud: Cloud) -> None:
    listed = photoveil("people", cloud.out, "--state", cloud.state)
    assert listed.returncode == 0, listed.stderr
    assert f"Faces: {cloud.state}/people/people.jpg" in listed.stdout
    assert storage.read_bytes(f"{cloud.state}/people/people.jpg").startswith(b"\xff\xd8")
    planned = photoveil("plan", *cloud.command()[1:])
    assert "done by an earlier run" in planned.stdout
    nowhere = photoveil("plan", f"{cloud.photos}-gone", cloud.out, "--state", cloud.state)
    assert (nowhere.returncode, "holds nothing" in nowhere.stderr) == (2, True)
    other = photoveil("plan", "hdfs://host/in", cloud.out, "--state", cloud.state)
    assert (other.returncode, "only local folders" in other.stderr) == (2, True)


def test_moved_copied_changed_and_gone_photos(cloud: Cloud) -> None:
    moved, copied, changed, gone = cloud.cloaked(4)
    before = cloud.outputs()
    cloud.put("new/moved [1].jpg", cloud.take(moved))
    cloud.put("copy.jpg", storage.read_bytes(storage.join(cloud.photos, copied)))
    cloud.put(changed, cloud.take(changed) + b"\0")
    cloud.take(gone)
    outcome = cloud.run()
    assert outcome.moved == 1
    assert outcome.statuses == {"cloaked": 1, "duplicate": 1}
    assert outcome.plan.gone == (gone,)
    after, new = cloud.outputs(), cloud.rows()
    assert after["new/moved [1].jpg"] == before[moved]
    assert moved not in after
    assert after["copy.jpg"] == after[copied] == before[copied]
    assert new["copy.jpg"]["duplicate_of"] == copied
    assert after[gone] == before[gone]
    done = photoveil(*cloud.command("--prune"))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert gone not in cloud.outputs()
    assert gone not in cloud.rows()
    assert cloud.plan().refs == []
    cloud.tidy()


def test_recloaking_does_them_all_anew(cloud: Cloud) -> None:
    other = cloud.config.with_name("other.yaml")
    settings = QUICK.model_copy(update={"cloak": replace(QUICK.cloak, steps=3)})
    other.write_text(settings.model_dump_json())
    before = cloud.rows()
    places = [cloud.photos, cloud.out, "--state", cloud.state, "--config", other]
    code, said = invoked("run", *places, "--recloak")
    assert code == 0, said
    after = cloud.rows()
    assert after.keys() == before.keys()
    assert {row["settings_hash"] for row in after.values()} == {settings_hash(settings)}
    assert photoveil("verify", cloud.out, "--state", cloud.state).returncode == 0
    code, said = invoked("run", *places, "--recloak")
    assert (code, "Nothing new." in said) == (0, True), said
    cloud.tidy()


def test_a_killed_run_is_resumed_and_ends_like_a_whole_one(cloud: Cloud, local: Archive) -> None:
    base = f"{cloud.out}/../killed".replace("out/../", "")
    again = Cloud(local, f"{base}/in", f"{base}/out", f"{base}/state")
    executable = Path(sys.executable).with_name("photoveil")
    run = subprocess.Popen([str(word) for word in (executable, *again.command())])
    while run.poll() is None and not any(object_store.find(f"{again.out}/_photoveil/manifest/", 1)):
        time.sleep(0.1)
    time.sleep(0.5)  # in the midst of the second wave
    run.kill()
    run.wait()
    finished = again.rows()
    assert 0 < len(finished) < len(local.rows())
    assert storage.exists(f"{again.out}/_photoveil/lock")
    again.run()  # its process died here, so its lock is free
    assert again.outputs() == expected(local)
    assert {source: again.rows()[source] for source in finished} == finished
    again.tidy()


def test_a_library_that_another_run_writes_to_is_refused(cloud: Cloud) -> None:
    path = f"{cloud.out}/_photoveil/lock"
    words = {"host": "elsewhere", "machine": 1, "process": 7, "token": "another"}
    object_store.write(path, json.dumps(words).encode())
    done = photoveil(*cloud.command())
    object_store.remove([path])
    assert done.returncode == 2
    assert "process 7 on elsewhere" in done.stderr


def test_photos_library_and_state_may_lie_apart(
    local: Archive, servers: None, tmp_path: Path
) -> None:
    out, state = clouds.new_bucket("s3"), clouds.new_bucket("gs")
    apart = Cloud(local, str(tmp_path / "in"), out, state)
    done = photoveil(*apart.command("--workers", 2))
    assert done.returncode == 0, done.stdout + done.stderr
    assert apart.outputs() == expected(local)
    back = Cloud(local, f"{state}/in", str(tmp_path / "out"), f"{out}-state")
    assert back.photos.startswith("gs://")
    done = photoveil(*back.command())
    assert done.returncode == 2  # no such bucket
    assert "there is no such bucket" in done.stderr
    back.state = f"{clouds.new_bucket('s3')}/state"
    assert photoveil(*back.command()).returncode == 0
    assert back.outputs() == expected(local)
    assert os.stat(tmp_path / "out").st_mode & 0o400


def test_forgetting_empties_the_state_alone(cloud: Cloud) -> None:
    before = cloud.outputs()
    done = photoveil("forget", cloud.out, "--state", cloud.state, "--yes")
    assert done.returncode == 0, done.stderr
    assert storage.is_empty(cloud.state)
    assert cloud.outputs() == before
    assert cloud.plan().refs == []
