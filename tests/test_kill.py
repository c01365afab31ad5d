"""A run that is killed at any moment, and taken up again, ends like one that was not.

`make test-kill` kills many; the default suite one.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from rich.console import Console

from photoveil.pipeline.cli.ctrl_c import stopped_by_ctrl_c
from photoveil.pipeline.graph import pipelines
from photoveil.pipeline.graph.paths import WavePaths
from photoveil.pipeline.library import manifest
from photoveil.pipeline.run import waves
from photoveil.pipeline.run.planning import new_stamp
from photoveil.pipeline.runners.select import run_pipeline
from photoveil.pipeline.settings import RunSettings
from photoveil.transforms.io import parquet
from photoveil.transforms.photo.discover import discover
from photoveil.transforms.records import ContentGroup, Face, PhotoRef, ScannedPhoto
from tests.archives import QUICK, Archive, photos_of
from tests.commands import hashes
from tests.support.make_archive import make_archive

KILLS = int(os.environ.get("PHOTOVEIL_KILLS", "1"))
SETTINGS = QUICK.model_copy(update={"run": RunSettings(wave_photos=4)})
GROWING = QUICK.model_copy(update={"run": RunSettings()})


def start(archive: Archive) -> subprocess.Popen[bytes]:
    config = archive.photos.parent / "quick.yaml"
    config.write_text(archive.settings.model_dump_json())
    return subprocess.Popen(
        [
            *(Path(sys.executable).with_name("photoveil"), "run", archive.photos, archive.out),
            *("--state", archive.state, "--config", config),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_for_events(archive: Archive, run: subprocess.Popen[bytes], count: int) -> None:
    """Until the run has reported so many scanned photos, cloaked faces and written photos."""
    progress = archive.state / "progress"
    while run.poll() is None:
        if progress.exists() and progress.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)


def rows_of(archive: Archive) -> dict[str, dict[str, Any]]:
    """The manifest without what tells one run from another: its name, its time, the rounding of
    what it measured."""
    rows = archive.rows()
    for row in rows.values():
        del row["run_id"], row["finished"]
        for face in row["faces"]:
            face["dssim"] = round(face["dssim"], 4)
            face["flip"] = round(face["flip"], 4)
            face["cosine_shift"] = [
                (pair["surrogate"], round(pair["shift"], 3)) for pair in face["cosine_shift"]
            ]
    return rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """An archive after a run that nothing disturbed."""
    archive = Archive(tmp_path_factory.mktemp("whole"), SETTINGS)
    make_archive(archive.photos, 10, seed=7, side=200)
    archive.run()
    return archive


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The same of an archive that takes waves of 8, 8, 16 and 16 photos or so."""
    archive = Archive(tmp_path_factory.mktemp("growing"), GROWING)
    make_archive(archive.photos, 60, seed=3, side=140)
    archive.run()
    steps = {face["steps"] for row in archive.rows().values() for face in row["faces"]}
    assert steps == {QUICK.cloak.steps, QUICK.cloak.known_steps}  # some had a start
    return archive


def kill_and_go_on(whole: Archive, archive: Archive, seed: int, events: int) -> None:
    """Kill a run at a random moment, take it up, and compare with one that nothing disturbed."""
    archive.photos.symlink_to(whole.photos, target_is_directory=True)
    before = hashes(whole.photos)
    rng = random.Random(seed)
    run = start(archive)
    wait_for_events(archive, run, rng.randrange(events))
    time.sleep(rng.uniform(0, 0.3))
    run.kill()
    run.communicate()
    for name, sha256 in photos_of(archive).items():
        assert sha256 == photos_of(whole)[name]  # no half-written file
    finished = archive.rows()
    archive.run()
    assert photos_of(archive) == photos_of(whole)
    assert rows_of(archive) == rows_of(whole)
    assert {s: archive.rows()[s] for s in finished} == finished  # done once
    assert hashes(archive.out / "_photoveil/unfinished") == {}
    assert not any(name.startswith("waves/") for name in hashes(archive.state))
    assert hashes(whole.photos) == before


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_killed_run_that_goes_on_ends_byte_for_byte_like_a_whole_one(
    whole: Archive, tmp_path: Path, seed: int
) -> None:
    kill_and_go_on(whole, Archive(tmp_path, SETTINGS), seed, events=60)


@pytest.mark.skipif(KILLS == 1, reason="takes a minute: make test-kill")
@pytest.mark.parametrize("seed", range(KILLS))
def test_a_run_killed_while_its_waves_grow_goes_on_with_the_same_waves(
    growing: Archive, tmp_path: Path, seed: int
) -> None:
    kill_and_go_on(growing, Archive(tmp_path, GROWING), seed, events=220)


def test_the_waves_that_are_left_are_those_that_a_whole_run_would_take() -> None:
    def ref(name: str) -> PhotoRef:
        return PhotoRef("in", name, 1, 1.0)

    groups = [
        ContentGroup(ref(f"{n}"), tuple(ref(f"{n} copy {copy}") for copy in range(n % 3)))
        for n in range(200)
    ]
    done: set[str] = set()
    taken = []  # each wave, and what was done before it
    for wave in waves._waves(groups, RunSettings(wave_photos=64), done):
        taken.append((set(done), wave))
        done.update(one.source for group in wave for one in (group.ref, *group.copies))
    sizes = [len(wave) for _, wave in taken]
    assert sizes[0] == 8 and sizes == sorted(sizes[:-1]) + sizes[-1:] and max(sizes) == 64
    for before, wave in taken:
        left = [group for group in groups if group.ref.source not in before]
        assert next(waves._waves(left, RunSettings(wave_photos=64), before)) == wave


@pytest.mark.slow
def test_ctrl_c_finishes_the_photos_in_hand_and_says_how_to_go_on(
    whole: Archive, tmp_path: Path
) -> None:
    archive = Archive(tmp_path, SETTINGS)
    archive.photos.symlink_to(whole.photos, target_is_directory=True)
    run = start(archive)
    wait_for_events(archive, run, 5)
    run.send_signal(signal.SIGINT)
    said = run.communicate()[0].decode()
    assert run.returncode == 130
    assert "Stopping after the photos in progress" in said
    assert "Stopped by Ctrl-C" in said
    assert "to go: the same command goes on." in said
    assert 0 < len(archive.rows()) < len(whole.rows())
    archive.run()
    assert photos_of(archive) == photos_of(whole)


def test_a_second_ctrl_c_within_a_stage_is_no_error_of_the_stage() -> None:
    """Beam wraps what a stage raises, Ctrl-C too, in a RuntimeError."""

    def press_twice(number: int) -> int:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        return number

    with pytest.raises(KeyboardInterrupt), stopped_by_ctrl_c(Console(quiet=True)):
        run_pipeline(lambda p: p | beam.Create([1]) | beam.Map(press_twice), RunSettings())


def test_an_error_in_the_optimiser_is_a_failed_row_for_its_photos_alone(
    whole: Archive, tmp_path: Path
) -> None:
    refs = [ref for ref in discover(str(whole.photos)) if ref.source in whole.rows()]
    good = next(ref for ref in refs if whole.rows()[ref.source]["status"] == "cloaked")
    row = whole.rows()[good.source]
    bad = replace(good, root=str(tmp_path), relative="bad.jpg")
    shutil.copyfile(good.path, bad.path)
    box = tuple(row["faces"][0]["box"].values())
    landmarks = tuple((point["x"], point["y"]) for point in row["faces"][0]["landmarks"])
    face = Face(box, landmarks, 1.0)
    size = row["width"], row["height"]
    photos = [
        ScannedPhoto(
            ref,
            row["source_sha256"],
            "JPEG",
            *size,
            (face,),
            crops,
        )
        for ref, crops in (
            (bad, np.zeros((1, 112, 112, 7), np.uint8)),  # no picture of a face
            (good, np.full((1, 112, 112, 3), 99, np.uint8)),
        )
    ]
    out = whole.out / "_photoveil/test"
    (out / "cloaks").mkdir(parents=True)
    wave = WavePaths(
        type(whole.library.destination)(str(out), str(out / "unfinished")),
        handed=str(out / "handed"),
        scans=str(out / "scan"),
        pairs=str(out / "pairs"),
        cloaks=str(out / "cloaks"),
        changes=str(out / "changes"),
        prototypes=str(out / "prototypes"),
        manifest=str(out / "part"),
        stamp=new_stamp(SETTINGS),
        progress=None,
    )

    def build(pipeline: beam.Pipeline) -> None:
        pipelines.cloak(pipeline, photos, SETTINGS, wave)

    run_pipeline(build, SETTINGS.run)
    rows = parquet.gathered(str(out / "part"), manifest.SCHEMA).to_pylist()
    by_source = {row["source"]: row for row in rows}
    assert by_source[good.source]["status"] == "cloaked"
    assert by_source[bad.source]["status"] == "failed"
    assert not by_source[bad.source]["retry"]
    assert by_source[bad.source]["reason"].startswith("cloaking failed: ")
