"""Each pipeline of a wave alone, and its steps, on a few real photos."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that
from PIL import Image

from photoveil.pipeline.graph import pipelines
from photoveil.pipeline.graph.cloak_faces import prototype, with_prototype
from photoveil.pipeline.graph.find_near_duplicates import FindNearDuplicates
from photoveil.pipeline.graph.pair_table import PAIRS
from photoveil.pipeline.graph.paths import WavePaths
from photoveil.pipeline.graph.place_copies import PlaceCopies
from photoveil.pipeline.graph.publish_photos import PublishPhotos
from photoveil.pipeline.graph.read_photos import ReadPhotos, is_sound
from photoveil.pipeline.library import manifest
from photoveil.pipeline.run.planning import new_stamp
from photoveil.pipeline.state.scans import read_scans
from photoveil.pipeline.state.warm_starts import CHANGES
from photoveil.transforms.beam.progress import ProgressReader
from photoveil.transforms.duplicates.perceptual_hash import pdq
from photoveil.transforms.io import parquet
from photoveil.transforms.photo.discover import discover
from photoveil.transforms.photo.parameters import WriteParameters
from photoveil.transforms.records import (
    AlignedFace,
    ContentGroup,
    Destination,
    Failure,
    HashedPhoto,
    PersonPrior,
    PhotoRef,
    ScannedPhoto,
    Status,
    WrittenPhoto,
)
from tests.archives import QUICK

WRITING = WriteParameters(QUICK.cloak.budget, QUICK.metadata, QUICK.limits)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, demo_photo: Callable[[str], Path]) -> Path:
    """A photo with a face, a copy of it, a smaller one, one without a face and no photo at all."""
    folder = tmp_path_factory.mktemp("photos")
    with Image.open(demo_photo("obama.jpg")) as image:
        image.thumbnail((500, 500))
        image.save(folder / "face.jpg", quality=90)
        image.thumbnail((300, 300))
        image.save(folder / "smaller.jpg", quality=85)
    shutil.copyfile(folder / "face.jpg", folder / "the same.jpg")
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).resize((240, 160)).save(folder / "noise.png")
    (folder / "broken.jpg").write_bytes((folder / "face.jpg").read_bytes()[:900])
    return folder


@pytest.fixture(scope="module")
def refs(folder: Path) -> dict[str, PhotoRef]:
    return {ref.relative: ref for ref in discover(str(folder))}


@pytest.fixture(scope="module")
def groups(refs: dict[str, PhotoRef]) -> list[ContentGroup]:
    names = ("broken.jpg", "noise.png", "smaller.jpg")
    one = ContentGroup(refs["face.jpg"], (refs["the same.jpg"],))
    return [one, *(ContentGroup(refs[name]) for name in names)]


_PRIVATE = ("handed", "scans", "pairs", "cloaks", "changes", "prototypes")


def wave_in(base: Path) -> WavePaths:
    base.mkdir(exist_ok=True)
    state = {name: str(base / name) for name in _PRIVATE}
    return WavePaths(
        Destination(str(base / "out"), str(base / "unfinished")),
        **state,
        manifest=str(base / "manifest"),
        stamp=new_stamp(QUICK),
        progress=str(base / "progress"),
    )


def carried_out(build: Callable[..., None], given: Sequence[Any], wave: WavePaths) -> None:
    with TestPipeline(FnApiRunner()) as pipeline:
        build(pipeline, given, QUICK, wave)


def counts(wave: WavePaths) -> dict[str, int]:
    return dict(ProgressReader(Path(str(wave.progress))).update())


@pytest.fixture(scope="module")
def wave(tmp_path_factory: pytest.TempPathFactory) -> WavePaths:
    return wave_in(tmp_path_factory.mktemp("wave"))


@pytest.fixture(scope="module")
def scans(groups: list[ContentGroup], wave: WavePaths) -> dict[str, ScannedPhoto]:
    """What the scan pipeline found."""
    carried_out(pipelines.scan, groups, wave)
    return {photo.ref.relative: photo for photo in read_scans(wave.scans)}


def test_the_scan_tells_what_each_file_is_and_where_its_faces_are(
    scans: dict[str, ScannedPhoto], refs: dict[str, PhotoRef], wave: WavePaths
) -> None:
    assert {name: len(photo.faces) for name, photo in scans.items()} == {
        **{"broken.jpg": 0, "face.jpg": 1, "noise.png": 0, "smaller.jpg": 1}
    }
    assert {name: photo.status for name, photo in scans.items()} == {
        **{"broken.jpg": Status.FAILED, "face.jpg": None, "noise.png": None, "smaller.jpg": None}
    }
    photo = scans["face.jpg"]
    data = Path(photo.ref.path).read_bytes()
    assert photo.sha256 == hashlib.sha256(data).hexdigest()
    assert photo.copies == (refs["the same.jpg"],)
    assert (photo.crops.shape, photo.embeddings.shape) == ((1, 112, 112, 3), (1, 192))
    cosine = float(photo.embeddings[0] @ scans["smaller.jpg"].embeddings[0])
    assert cosine > 0.9  # the same person
    found = counts(wave)
    assert (found["scanned"], found["found"]) == (5, 2)


def test_reading_takes_a_file_that_is_no_photo_for_what_it_is(groups: list[ContentGroup]) -> None:
    def check(found: list[tuple[ContentGroup, Any]]) -> None:
        assert {group.ref.relative for group, _ in found} == {
            group.ref.relative for group in groups
        }
        for item in found:
            assert is_sound(item) == (item[0].ref.relative != "broken.jpg")
            assert is_sound(item) == (item[1].pixels is not None)

    with TestPipeline(FnApiRunner()) as pipeline:
        assert_that(pipeline | beam.Create(groups) | ReadPhotos(QUICK.limits), check)


def hashed(folder: Path, name: str, known: bool = False) -> HashedPhoto:
    with Image.open(folder / name) as image:
        value = pdq(np.asarray(image.convert("RGB")))
    assert value is not None
    return HashedPhoto(name, value, str(folder / name), known)


def test_near_duplicates_are_the_pairs_that_look_the_same(folder: Path, wave: WavePaths) -> None:
    one, other = (hashed(folder, name) for name in ("face.jpg", "smaller.jpg"))
    # Its hash is that of the face, its picture another.
    impostor = HashedPhoto("noise.png", one.pdq, str(folder / "noise.png"))
    lost = HashedPhoto("lost.jpg", one.pdq, str(folder / "lost.jpg"))
    photos = [one, other, impostor, lost]

    def check(found: list[Any]) -> None:
        (pair,) = found
        assert (pair.one, pair.other) == (one, other)
        assert 0 <= pair.distance <= QUICK.near_duplicates.max_distance

    with TestPipeline(FnApiRunner()) as pipeline:
        steps = FindNearDuplicates(QUICK.near_duplicates, QUICK.limits)
        assert_that(pipeline | beam.Create(photos) | steps, check)
    carried_out(pipelines.find_near_duplicates, photos, wave)
    (row,) = parquet.gathered(wave.pairs, PAIRS).to_pylist()
    assert (row["one"], row["other"]) == ("face.jpg", "smaller.jpg")


def test_known_photos_are_not_paired_with_each_other(folder: Path) -> None:
    photos = [hashed(folder, name, known=True) for name in ("face.jpg", "smaller.jpg")]
    with TestPipeline(FnApiRunner()) as pipeline:
        steps = FindNearDuplicates(QUICK.near_duplicates, QUICK.limits)
        assert_that(pipeline | beam.Create(photos) | steps, _is_empty)


def _is_empty(found: list[Any]) -> None:
    assert found == []


def test_cloaking_writes_photos_copies_and_rows(
    scans: dict[str, ScannedPhoto], wave: WavePaths
) -> None:
    carried_out(pipelines.cloak, list(scans.values()), wave)
    rows = {
        row["source"]: row for row in parquet.gathered(wave.manifest, manifest.SCHEMA).to_pylist()
    }
    assert {name: row["status"] for name, row in rows.items()} == {
        "broken.jpg": "failed",
        "face.jpg": "cloaked",
        "noise.png": "no_face",
        "smaller.jpg": "cloaked",
        "the same.jpg": "duplicate",
    }
    out = Path(wave.destination.root)
    written = {path.name: path.read_bytes() for path in out.iterdir()}
    assert written.keys() == rows.keys() - {"broken.jpg"}
    for name, data in written.items():
        assert hashlib.sha256(data).hexdigest() == rows[name]["output_sha256"]
    assert written["the same.jpg"] == written["face.jpg"]
    originals = Path(scans["face.jpg"].ref.root)
    assert written["noise.png"] == (originals / "noise.png").read_bytes()
    assert written["face.jpg"] != (originals / "face.jpg").read_bytes()
    for name in ("face.jpg", "smaller.jpg"):
        (face,) = rows[name]["faces"]
        assert face["steps"] == QUICK.cloak.steps
    changes = parquet.gathered(wave.changes, CHANGES).to_pylist()
    assert len(changes) == 2 and len({row["face"] for row in changes}) == 2
    found = counts(wave)
    assert (found["face"], found["published"]) == (2, 5)


def test_a_photo_with_a_failed_face_is_not_written(
    scans: dict[str, ScannedPhoto], tmp_path: Path
) -> None:
    photo = scans["face.jpg"]
    place = Destination(str(tmp_path / "out"), str(tmp_path / "unfinished"))

    def check(found: list[WrittenPhoto]) -> None:
        (written,) = found
        assert (written.status, written.reason) == (Status.FAILED, "cloaking failed: so")
        assert written.retry and written.output is None

    with TestPipeline(FnApiRunner()) as pipeline:
        photos = pipeline | "Photos" >> beam.Create([("key", photo)])
        failure = Failure("cloaking failed: so", True)
        cloaks = pipeline | "Cloaks" >> beam.Create([("key", (0, failure))])
        written = (photos, cloaks) | PublishPhotos(WRITING, place, None)
        assert_that(written, check)
    assert not (tmp_path / "out").exists()


def test_copies_of_a_photo_without_output_get_none(
    refs: dict[str, PhotoRef], tmp_path: Path
) -> None:
    stamp = new_stamp(QUICK)
    scan = ScannedPhoto(refs["face.jpg"], "0" * 64, "JPEG", copies=(refs["the same.jpg"],))
    lost = WrittenPhoto(scan.ref, Status.FAILED, scan, reason="damaged or cut off")
    row = manifest.manifest_row(lost, (), stamp)
    place = Destination(str(tmp_path / "out"), str(tmp_path / "unfinished"))

    def check(found: list[dict[str, Any]]) -> None:
        (copy,) = found
        assert (copy["source"], copy["status"]) == ("the same.jpg", "failed")
        assert copy["output"] is None

    with TestPipeline(FnApiRunner()) as pipeline:
        done = pipeline | beam.Create([(row, None, scan.copies)])
        assert_that(done | PlaceCopies(place, "copy", None), check)
    assert not (tmp_path / "out").exists()


def test_a_prototype_is_the_mean_in_whatever_order_faces_come() -> None:
    rng = np.random.default_rng(3)
    members = [(f"face {n}", rng.normal(size=40).astype(np.float32)) for n in range(7)]
    group, mean = prototype("a group", members)
    assert group == "a group"
    expected = np.mean([vector for _, vector in members], axis=0)
    assert np.allclose(mean, expected, atol=1e-3)
    # A face that comes from two photos counts once.
    for others in (members[::-1], members[3:] + members[:4]):
        assert np.array_equal(prototype(group, others)[1], mean)


def test_a_group_that_cannot_be_embedded_has_no_prototype() -> None:
    face = AlignedFace(0, np.zeros((112, 112, 3), np.uint8), "origin", PersonPrior(group="a group"))
    ((key, found),) = with_prototype("a group", {"faces": [("photo", face)], "prototype": []})
    assert key == "photo"
    assert found.known == PersonPrior()
