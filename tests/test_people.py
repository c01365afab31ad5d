"""People: who is found, that they stay the same over runs, and who is cloaked."""

from __future__ import annotations

import csv
import datetime as dt
import io
import itertools
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scipy.cluster.hierarchy import fcluster, linkage

from photoveil.pipeline.cli.people import show_people
from photoveil.pipeline.cli.plan import check_job
from photoveil.pipeline.graph import pipelines
from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.library.library import reopen_library
from photoveil.pipeline.run import planning, waves
from photoveil.pipeline.run.context import RunContext
from photoveil.pipeline.run.estimate import estimate
from photoveil.pipeline.state.people import People
from photoveil.pipeline.state.scan_cache import ScanCache
from photoveil.transforms.faces import clustering, neighbours
from photoveil.transforms.faces.clustering import cluster
from photoveil.transforms.faces.identity import Change, name_people
from photoveil.transforms.faces.neighbours import nearest_pairs
from photoveil.transforms.faces.parameters import PeopleParameters
from tests.archives import QUICK, Archive, photos_of
from tests.commands import hashes, invoked, photoveil

Photo = Callable[[str], Path]


def faces_of(people: int, each: int, noise: float = 0.5, seed: int = 0) -> np.ndarray:
    """Embeddings, float32 (people * each, 64), person by person."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.normal(size=(people, 64)) / 8, each, axis=0)
    vectors = centres + rng.normal(size=centres.shape) * noise / 8
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_faces_alike_on_average_are_one_person() -> None:
    labels = cluster(faces_of(12, 10))
    assert len(set(labels)) == 12
    assert all(len(set(labels[start : start + 10])) == 1 for start in range(0, 120, 10))


def test_faces_in_any_order_and_in_pieces_give_the_same_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = faces_of(12, 10)
    order = np.random.default_rng(1).permutation(len(vectors))
    whole = cluster(vectors)
    shuffled = cluster(vectors[order])
    assert len(set(zip(whole[order], shuffled, strict=True))) == 12
    monkeypatch.setattr(clustering, "_MOST_LINKED", 8)  # as an archive too large to link at once
    in_pieces = cluster(np.repeat(vectors, 3, axis=0))
    assert len(set(zip(np.repeat(whole, 3), in_pieces, strict=True))) == 12


def test_people_are_those_of_average_linkage_over_all_pairs() -> None:
    vectors = faces_of(30, 12, noise=0.9)  # some are taken for another, some come apart
    apart = np.maximum(1 - vectors.astype(float) @ vectors.T, 0)
    tree = linkage(apart[np.triu_indices(len(vectors), 1)], "average")
    expected = fcluster(tree, 1 - clustering.LIKENESS, "distance")
    found = cluster(vectors)
    assert len(set(expected)) not in (1, 30, len(vectors))
    assert len(set(zip(expected, found, strict=True))) == len(set(found)) == len(set(expected))


@pytest.mark.parametrize("everywhere", [0, 90], ids=["people", "one of them everywhere"])
def test_neighbours_are_those_of_an_exhaustive_search(
    everywhere: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_BLOCK", 32)
    vectors = np.concatenate([faces_of(6, 30), faces_of(1, everywhere, seed=1), faces_of(20, 1)])
    vectors = vectors[np.random.default_rng(2).permutation(len(vectors))]
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    nearest = np.sort(cosines, axis=1)[:, -19:]
    items, others = nearest_pairs(vectors, 0.55)
    assert len(set(zip(items.tolist(), others.tolist(), strict=True))) == len(items)
    assert np.array_equal(np.bincount(items, minlength=len(vectors)), (nearest > 0.55).sum(axis=1))
    found = cosines[items, others]
    # Two that are equally near but for rounding may change places.
    assert found[np.lexsort((found, items))] == pytest.approx(nearest[nearest > 0.55], abs=1e-6)


def test_no_face_and_one_face() -> None:
    assert cluster(np.zeros((0, 64), np.float32)).tolist() == []
    assert cluster(faces_of(1, 1)).tolist() == [0]


def test_people_keep_their_names_whatever_comes_first() -> None:
    keys = [f"photo{index} 0" for index in range(6)]
    labels = np.array([0, 0, 0, 1, 1, 2])
    names, change = name_people(keys, labels, {})
    assert change == Change()
    backwards, _ = name_people(keys[::-1], labels[::-1], {})
    assert backwards == names
    first, _ = name_people(keys[::2], labels[::2], {})
    later, change = name_people(keys, labels, first)
    assert {key: later[key] for key in first} == first
    assert change == Change()


def test_merges_and_splits_are_told() -> None:
    keys = [f"photo{index} 0" for index in range(5)]
    known = dict(zip(keys, ("anna", "anna", "anna", "berta", "berta"), strict=True))
    names, change = name_people(keys, np.array([0, 0, 0, 0, 0]), known)
    assert set(names.values()) == {"anna"}
    assert change == Change(merged=(("berta", "anna"),))
    names, change = name_people(keys, np.array([0, 0, 1, 2, 2]), known)
    assert names["photo0 0"] == "anna" and names["photo3 0"] == "berta"
    assert change == Change(split=((names["photo2 0"], "anna"),))


def test_changes_within_a_run_count_where_they_befell_people_known_before() -> None:
    first = Change(merged=(("anna", "berta"), ("new", "berta")), split=(("cleo", "berta"),))
    later = Change(merged=(("cleo", "new"),), split=(("dora", "new"),))
    told = Change().then(first, {"anna", "berta"}).then(later, {"anna", "berta"})
    assert told == Change(merged=(("anna", "berta"),), split=(("cleo", "berta"),))


def test_a_damaged_file_of_the_state_is_named_with_what_to_do(
    archive: Archive, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    shutil.copytree(archive.state, state)
    photos = {row["source_sha256"] for row in archive.rows().values()}
    People(str(state)).settle(photos, len(photos))
    files = sorted(state.rglob("*.parquet"))
    assert {file.name for file in files} >= {"all.parquet", "people.parquet", "targets.parquet"}
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(whole[:-9])
        with pytest.raises(OSError, match=f"{file.name} is damaged.*Delete that file") as error:
            People(str(state)).settle(photos, len(photos))
        assert str(file) in str(error.value)
        file.unlink()
        People(str(state)).settle(photos, len(photos))
        file.write_bytes(whole)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, small_photo: Photo) -> Archive:
    """Photos of three people, after a first run."""
    archive = Archive(tmp_path_factory.mktemp("people [of 2013]"))
    archive.photos.mkdir()
    for name in ("obama.jpg", "obama2.jpg", "biden.jpg", "astronaut.png"):
        shutil.copyfile(small_photo(name), archive.photos / name)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2013:05:01 12:00:00"
    with Image.open(small_photo("biden.jpg")) as image:
        image.save(archive.photos / "biden.jpg", exif=exif)
    archive.run()
    return archive


def whose(archive: Archive) -> dict[str, str]:
    """The person of the largest face in each photo; a blurred passer-by may stand behind."""
    known = People(archive.library.state).known()
    largest = {
        source: max(range(len(row["faces"])), key=lambda index: size(row["faces"][index]))
        for source, row in archive.rows().items()
        if row["faces"]
    }
    keys = {
        source: f"{row['source_sha256']} {largest[source]}"
        for source, row in archive.rows().items()
        if source in largest
    }
    return {source: known[key] for source, key in keys.items() if key in known}


def size(face: dict[str, Any]) -> float:
    """Area of a face's box in a row of the manifest, in pixels."""
    box = face["box"]
    return (box["right"] - box["left"]) * (box["bottom"] - box["top"])


def test_people_are_found_before_the_first_photo_is_cloaked(
    archive: Archive, tmp_path: Path
) -> None:
    again = Archive(tmp_path)
    shutil.copytree(archive.photos, again.photos)
    stamp = planning.new_stamp(again.settings)
    todo = planning.plan_scan(again.library, again.settings, stamp)
    outcome = waves.scan(RunContext(again.library, again.settings, stamp), todo[:3])
    assert (outcome.files, outcome.faces) == (3, 3)
    todo = planning.plan_scan(again.library, again.settings, stamp)
    assert len(todo) == 1  # it goes on where it was
    waves.scan(RunContext(again.library, again.settings, replace(stamp, run_id="later")), todo)
    assert photos_of(again) == {}
    assert len(People(again.library.state).everyone()) == 3
    coming = estimate(again.library, again.plan(), ahead_of(again), stamp)
    assert (coming.scanned, coming.faces, coming.people, coming.unseen) == (4, 4, 3, 0)
    assert (coming.most_faces, coming.most_seen) == (1, 2)
    console = Console(file=io.StringIO(), width=100)
    sheet = show_people(again.library, console, str(tmp_path / "sheet.jpg"))
    assert sheet is not None
    assert np.asarray(Image.open(sheet))[:, 90:].std() > 40  # faces, not only names


def test_a_run_after_a_scan_looks_at_no_photo_again_and_ends_the_same(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = Archive(tmp_path)
    shutil.copytree(archive.photos, again.photos)
    stamp = planning.new_stamp(again.settings)
    waves.scan(RunContext(again.library, again.settings, stamp), again.plan().todo)
    names = {person.name for person in People(again.library.state).everyone()}
    monkeypatch.setattr(pipelines, "scan", None)
    again.run()
    assert photos_of(again) == photos_of(archive)
    assert {person.name for person in People(again.library.state).everyone()} == names
    assert not any(name.startswith("scans/") for name in hashes(again.state))


def test_the_choice_can_be_made_from_a_scan(archive: Archive, tmp_path: Path) -> None:
    again = Archive(tmp_path)
    shutil.copytree(archive.photos, again.photos)
    (tmp_path / "quick.yaml").write_text(QUICK.model_dump_json())
    how = [again.photos, again.out, "--state", again.state, "--config", tmp_path / "quick.yaml"]
    code, said = invoked("plan", *how)
    assert "Faces: those in 4 files show once they are scanned" in said
    code, said = invoked("scan", *how)
    assert code == 0, said
    assert "4 photos scanned ahead" in invoked("status", again.out, "--state", again.state)[1]
    assert "4 files scanned" in said and "3 people are known now; nothing is cloaked yet." in said
    code, said = invoked("plan", *how)
    assert "Faces: 4 faces of 3 people, as scanned before." in said
    (obama,) = (p.name for p in People(again.library.state).everyone() if len(p.photos) == 2)
    code, said = invoked("run", *how, "--only", obama)
    assert code == 0, said
    statuses = {source: row["status"] for source, row in again.rows().items()}
    assert {source for source, status in statuses.items() if status == "cloaked"} == {
        "obama.jpg",
        "obama2.jpg",
    }


def ahead_of(archive: Archive) -> ScanCache:
    return ScanCache(archive.library.state, archive.settings, planning.new_stamp(archive.settings))


def test_new_photos_join_the_people_that_are_known(archive: Archive, small_photo: Photo) -> None:
    before = whose(archive)
    assert before["obama.jpg"] == before["obama2.jpg"]
    assert len({before[name] for name in ("obama.jpg", "biden.jpg", "astronaut.png")}) == 3
    shutil.copyfile(small_photo("obama3.jpg"), archive.photos / "obama3.jpg")
    archive.run()
    after = whose(archive)
    assert after["obama3.jpg"] == after["obama.jpg"]
    assert {name: after[name] for name in before} == before


def test_the_command_lists_them_with_dates_and_a_private_sheet(archive: Archive) -> None:
    done = photoveil("people", archive.out, "--state", archive.state)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "2013-05-01" in line)
    assert whose(archive)["biden.jpg"] in line
    sheet = archive.state / "people/people.jpg"
    assert sheet.stat().st_mode & 0o077 == 0
    assert Image.open(sheet).height == 112 * len(People(str(archive.state)).everyone())
    with pytest.raises(LibraryError, match="no clean face"):
        show_people(archive.library, Console(quiet=True), str(archive.out / "sheet.jpg"))


def test_who_is_in_the_photos_stays_out_of_the_library(archive: Archive) -> None:
    names = [person.name.encode() for person in People(str(archive.state)).everyone()]
    for path in (archive.out / "_photoveil").rglob("*"):
        if path.is_file():
            assert not any(name in path.read_bytes() for name in names)


@pytest.mark.parametrize("choice", ["only", "spare"])
def test_only_the_chosen_are_cloaked(
    archive: Archive, tmp_path: Path, small_photo: Photo, choice: str
) -> None:
    again = Archive(tmp_path)
    for name in ("photos", "out", "state"):
        shutil.copytree(archive.photos.parent / name, tmp_path / name)
    obama = whose(archive)["obama.jpg"]
    again.settings = QUICK.model_copy(update={"people": PeopleParameters(**{choice: (obama,)})})
    again.run(recloak=True)
    same = {
        name for name, sha256 in hashes(again.photos).items() if hashes(again.out)[name] == sha256
    }
    his = {"obama.jpg", "obama2.jpg", "obama3.jpg"}
    assert same == ({"biden.jpg", "astronaut.png"} if choice == "only" else his)
    assert all("because of who they are" in again.rows()[name]["reason"] for name in same)


def test_the_faces_of_a_pruned_photo_are_forgotten(archive: Archive, tmp_path: Path) -> None:
    again = Archive(tmp_path)
    for name in ("photos", "out", "state"):
        shutil.copytree(archive.photos.parent / name, tmp_path / name)
    before = whose(again)
    (again.photos / "biden.jpg").unlink()
    again.run()
    assert whose(again) == before
    again.run(prune=True)
    assert whose(again) == {name: who for name, who in before.items() if name != "biden.jpg"}


def test_forgetting_deletes_the_private_state_and_nothing_else(
    archive: Archive, tmp_path: Path
) -> None:
    again = Archive(tmp_path)
    for name in ("photos", "out", "state"):
        shutil.copytree(archive.photos.parent / name, tmp_path / name)
    before = hashes(again.out)
    wrong = photoveil("forget", again.out, "--state", again.photos, "--yes")
    assert wrong.returncode == 2
    assert "is not the private state" in wrong.stderr
    done = photoveil("forget", again.out, "--state", again.state, "--yes")
    assert done.returncode == 0, done.stderr
    assert not again.state.exists()
    notes = ("_photoveil/lock", "_photoveil/library.json")
    assert {n: h for n, h in hashes(again.out).items() if n not in notes} == {
        n: h for n, h in before.items() if n not in notes
    }
    assert again.plan().refs == []


def test_nobody_of_that_name(archive: Archive, tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"people": PeopleParameters(only=("Berta",))})
    with pytest.raises(LibraryError, match="nobody is called Berta"):
        check_job(archive.library, settings)
    with pytest.raises(LibraryError, match="is no library"):
        reopen_library(str(tmp_path))


def test_dates_and_counts_come_from_the_photos(archive: Archive) -> None:
    biden = whose(archive)["biden.jpg"]
    (person,) = (p for p in People(str(archive.state)).everyone() if p.name == biden)
    assert person.first == person.last == dt.datetime(2013, 5, 1, 12)
    assert len(person.photos) == 1


@pytest.mark.slow
def test_labelled_people_are_told_apart_in_one_run_and_in_two(
    people_data: Path, tmp_path: Path
) -> None:
    by_person = defaultdict(list)
    with open(people_data / "people.csv", newline="") as stream:
        for row in csv.DictReader(stream):
            by_person[row["person"]].append(row["file"])
    chosen = {p: files[:4] for p, files in by_person.items() if p and len(files) >= 4}
    archive = Archive(tmp_path)
    archive.photos.mkdir()
    for half in (slice(0, 2), slice(2, 4)):
        for files in itertools.islice(chosen.values(), 6):
            for name in files[half]:
                shutil.copyfile(people_data / name, archive.photos / name)
        archive.run()
    found = whose(archive)
    truth = {name: person for person, files in chosen.items() for name in files if name in found}
    pairs = list(itertools.combinations(truth, 2))
    together = [truth[a] == truth[b] for a, b in pairs if found[a] == found[b]]
    of_one = [found[a] == found[b] for a, b in pairs if truth[a] == truth[b]]
    assert np.mean(together) >= 0.98
    assert np.mean(of_one) >= 0.85
