"""`--prune` is hard to do by mistake, and what it deletes can be put back."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from photoveil.pipeline.cli import status
from photoveil.pipeline.library import manifest, sequence, trash
from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.run import pruning
from photoveil.pipeline.run.pruning import Consent
from photoveil.transforms.io import storage
from tests.archives import Archive, photos_of
from tests.commands import hashes, invoked
from tests.disks import FoldingStore

JUNK = (
    *(".DS_Store", "Thumbs.db", "desktop.ini", "lost+found/#1234.jpg", "@eaDir/a.jpg/thumb.jpg"),
    *("._a.jpg", ".Trashes/501/a.jpg", ".Spotlight-V100/store.db", "#recycle/a.jpg"),
    *("2019/.DS_Store", "$RECYCLE.BIN/a.jpg", ".Trash-1000/files/a.jpg"),
)

DONE = 3  # exit status: all is done, but the generated archive holds photos that fail


def cloaked(archive: Archive) -> list[str]:
    """Sources of photos with faces that have no duplicate."""
    rows = archive.rows()
    twins = {row["duplicate_of"] for row in rows.values()}
    return [s for s, row in rows.items() if row["status"] == "cloaked" and s not in twins]


def run(archive: Archive, *more: object) -> tuple[int, str]:
    """The command as scripts run it, with nobody to answer; words may be broken into lines."""
    code, said = invoked("run", *places(archive), *more)
    return code, " ".join(said.split())


def places(archive: Archive) -> tuple[object, ...]:
    config = archive.photos.parent / "quick.yaml"
    config.write_text(archive.settings.model_dump_json())
    return archive.photos, archive.out, "--state", archive.state, "--config", config


def on_a_terminal(answer: bytes, *arguments: object) -> tuple[int, str]:
    """The command with a person before it, who types `answer` once asked."""
    ours, theirs = pty.openpty()
    command = [str(Path(sys.executable).with_name("photoveil")), *map(str, arguments)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # how Linux tells that the other end is closed
        while data := os.read(ours, 4096):
            said += data
            if b"[y/N]" in said and answer:
                os.write(ours, answer)
                answer = b""
    os.close(ours)
    return process.wait(), " ".join(said.decode().split())


def emptied(archive: Archive) -> None:
    shutil.rmtree(archive.photos)
    archive.photos.mkdir()


@pytest.mark.parametrize("name", [*JUNK, "a.jpg.xmp", "IMG_1.AAE", None])
def test_a_disk_that_is_not_there_is_never_pruned(archive: Archive, name: str | None) -> None:
    before, rows = hashes(archive.out), archive.rows()
    emptied(archive)
    if name is not None:
        (archive.photos / name).parent.mkdir(parents=True, exist_ok=True)
        (archive.photos / name).write_bytes(b"\0\0\0\1Bud1")
    for more in ((), ("--prune",), ("--prune", "--yes"), ("--prune", "--max-delete", 1000)):
        code, said = run(archive, *more)
        assert code == 2
        assert f"no photo was found in {archive.photos}" in said
    with pytest.raises(LibraryError, match="is the disk there"):
        archive.run(prune=True)  # whatever the command has looked at before
    assert photos_of(archive) == {n: h for n, h in before.items() if not n.startswith("_photo")}
    assert {s: row["gone"] for s, row in archive.rows().items() if s in rows} == {
        s: row["gone"] for s, row in rows.items() if s in archive.rows()
    }


def test_another_disk_with_the_same_names_is_never_pruned(archive: Archive) -> None:
    names = cloaked(archive)
    data = (archive.photos / names[0]).read_bytes()
    emptied(archive)
    for number, name in enumerate(names[:2]):  # a camera counts from 1 on each of its cards
        (archive.photos / name).parent.mkdir(parents=True, exist_ok=True)
        (archive.photos / name).write_bytes(data + bytes(number + 1))
    before = photos_of(archive)
    code, said = run(archive, "--prune", "--yes")
    assert code == 2
    assert "with the bytes that it had; is the disk there, and is it the right folder?" in said
    assert photos_of(archive) == before
    code, said = run(archive)
    assert code == DONE
    assert "WARNING: none of the" in said
    assert "no longer there: cloaked files kept" in said
    assert "so it asks" not in said and "--prune deletes" not in said  # it is refused
    assert not any(row["gone"] for row in archive.rows().values())


def test_an_archive_is_the_same_wherever_its_disk_is_mounted(archive: Archive) -> None:
    (gone,) = cloaked(archive)[:1]
    copy = archive.photos.parent / "a new disk"  # other device, inodes and path, the same photos
    shutil.copytree(archive.photos, copy)
    shutil.rmtree(archive.photos)
    (copy / gone).unlink()
    archive.photos = copy
    code, _ = run(archive, "--prune")
    assert code == DONE
    assert gone not in archive.rows()


def test_much_is_pruned_with_consent_only(archive: Archive) -> None:
    names = cloaked(archive)
    for name in names:
        (archive.photos / name).unlink()
    before, count = photos_of(archive), len(names)
    code, said = run(archive, "--prune")
    assert code == 2
    assert f"{count} cloaked files would be pruned" in said
    assert f"add --max-delete {count}, or --yes" in said
    assert "% of the photos in the library" in said
    code, said = run(archive, "--prune", "--max-delete", count - 1)
    assert code == 2
    assert f"more than --max-delete {count - 1} allows" in said
    assert photos_of(archive) == before
    code, said = run(archive, "--prune", "--max-delete", count)
    assert code == DONE
    assert f"{count} pruned: their originals are gone" in said
    assert photos_of(archive).keys() == before.keys() - set(names)


def test_a_tenth_or_less_is_pruned_without_a_question(archive: Archive) -> None:
    (name,) = cloaked(archive)[:1]
    (archive.photos / name).unlink()
    plan = archive.plan()
    assert plan.gone_photos <= pruning.MUCH * plan.photos
    code, _ = run(archive, "--prune")
    assert code == DONE
    assert not (archive.out / name).exists()


def test_on_a_terminal_it_asks(archive: Archive) -> None:
    for name in cloaked(archive):
        (archive.photos / name).unlink()
    plan, asked = archive.plan(), list[str]()

    def answer(yes: bool) -> Callable[[str], bool]:
        return lambda question: asked.append(question) or yes  # type: ignore[func-returns-value]

    with pytest.raises(LibraryError, match="nothing was done"):
        pruning.check(archive.library, plan, Consent(ask=answer(False)))
    pruning.check(archive.library, plan, Consent(ask=answer(True)))
    pruning.check(archive.library, plan, Consent(yes=True, ask=answer(False)))
    assert len(asked) == 2
    assert "% of the photos in the library" in asked[0]
    assert asked[0].endswith("Prune them?")


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"n\n", "nothing was done. Without --prune"), (b"\x04", "nobody is here to answer")],
)
def test_what_is_not_agreed_to_on_a_terminal_is_not_pruned(
    archive: Archive, answer: bytes, words: str
) -> None:
    for name in cloaked(archive):
        (archive.photos / name).unlink()
    before = photos_of(archive)
    code, said = on_a_terminal(answer, "run", *places(archive), "--prune")
    assert (code, "Prune them? [y/N]" in said) == (2, True), said
    assert words in said
    assert photos_of(archive) == before


def test_a_folder_that_is_still_there_but_empty_is_doubted(archive: Archive) -> None:
    (name,) = cloaked(archive)[:1]
    (archive.photos / "card").mkdir()
    (archive.photos / name).rename(archive.photos / "card/a.jpg")
    archive.run()
    (archive.photos / "card/a.jpg").unlink()  # as if what was mounted there were away
    (archive.photos / "card/.DS_Store").write_bytes(b"Bud1")
    code, said = run(archive, "--prune")
    assert code == 2
    assert "card: still there, but empty" in said
    assert (archive.out / "card/a.jpg").exists()
    shutil.rmtree(archive.photos / "card")
    assert run(archive, "--prune")[0] == DONE
    assert not (archive.out / "card").exists()


def test_what_was_pruned_lies_in_the_trash_until_the_next_prune(archive: Archive) -> None:
    one, two = cloaked(archive)[:2]
    before = photos_of(archive)
    (archive.photos / one).unlink()
    code, said = run(archive, "--prune", "--yes")
    assert code == DONE
    (kept,) = trash.listing(archive.library)
    assert f"kept until the next prune, in {kept.folder}" in said
    assert kept.files == 1
    assert hashes(Path(kept.folder, "photos")) == {one: before[one]}
    assert f"1 deleted file kept in {kept.folder}" in status.words(
        status.read_status(str(archive.out), str(archive.state))
    )
    archive.run(prune=True)  # nothing to prune: nothing is emptied
    assert trash.listing(archive.library) == [kept]
    (archive.photos / two).unlink()
    archive.run(prune=True)
    (later,) = trash.listing(archive.library)
    assert hashes(Path(later.folder, "photos")) == {two: before[two]}


def test_what_was_pruned_is_put_back_with_its_row(archive: Archive) -> None:
    names = cloaked(archive)
    before, rows = photos_of(archive), archive.rows()
    aside = archive.photos.parent / "aside"
    for name in names:  # a folder that was moved away by mistake
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        (archive.photos / name).rename(aside / name)
    assert run(archive, "--prune", "--yes")[0] == DONE
    assert names[0] not in archive.rows()
    code, said = invoked("restore", archive.out, "--state", archive.state)
    assert (code, f"{len(names)} pruned files are back" in " ".join(said.split())) == (0, True)
    for name in names:
        (aside / name).rename(archive.photos / name)
    assert photos_of(archive) == before
    assert {name: archive.rows()[name] for name in names} == {name: rows[name] for name in names}
    assert archive.plan().refs == []
    assert trash.listing(archive.library) == []
    code, said = invoked("restore", archive.out, "--state", archive.state)
    assert (code, "Nothing that was pruned" in " ".join(said.split())) == (0, True)


def test_what_the_library_has_newer_is_not_put_back(archive: Archive) -> None:
    (name,) = cloaked(archive)[:1]
    data = (archive.photos / name).read_bytes()
    (archive.photos / name).unlink()
    archive.run(prune=True)
    (archive.photos / name).write_bytes(data)
    archive.run()
    before = photos_of(archive)
    code, said = invoked("restore", archive.out, "--state", archive.state)
    said = " ".join(said.split())
    assert code == 0
    assert f"1 file stays in {archive.state}/trash" in said
    assert said.endswith(f"something newer in its place: {name}")
    assert photos_of(archive) == before


def test_files_that_stay_in_the_trash_are_counted_and_three_are_named(archive: Archive) -> None:
    names = sorted(cloaked(archive))[:4]
    photos = {name: (archive.photos / name).read_bytes() for name in names}
    for name in names:
        (archive.photos / name).unlink()
    archive.run(prune=True)
    for name, data in photos.items():
        (archive.photos / name).write_bytes(data)
    archive.run()
    said = " ".join(invoked("restore", archive.out, "--state", archive.state)[1].split())
    assert f"4 files stay in {archive.state}/trash" in said
    assert said.endswith(f"in their place: {', '.join(names[:3])} and 1 more")


def test_the_output_of_a_photo_that_was_spoilt_goes_to_the_trash(archive: Archive) -> None:
    one, two = cloaked(archive)[:2]
    before = photos_of(archive)
    (archive.photos / one).write_bytes(b"a disk that dies, or a program that encrypts it")
    (archive.photos / two).rename(archive.photos / "moved.jpg")
    archive.run()
    (kept,) = trash.listing(archive.library)
    assert hashes(Path(kept.folder, "photos")) == {one: before[one]}  # what moved is no loss


def test_a_prune_that_is_killed_halfway_loses_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = cloaked(archive)[:1]
    before = photos_of(archive)
    (archive.photos / name).unlink()

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trash, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            archive.run(prune=True)
    assert photos_of(archive) == before
    archive.run()
    (kept,) = trash.listing(archive.library)
    assert hashes(Path(kept.folder, "photos")) == {name: before[name]}
    assert not (archive.out / name).exists()


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no second file system at hand")
def test_the_trash_may_lie_on_another_disk(
    archive: Archive, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = cloaked(archive)[:1]
    before = photos_of(archive)
    (archive.photos / name).unlink()
    state = Path("/dev/shm") / f"photoveil-{os.getpid()}"
    shutil.copytree(archive.state, state)
    try:
        archive.state = state
        if os.stat(state).st_dev == os.stat(archive.out).st_dev:
            pytest.skip("it is the same file system")
        with monkeypatch.context() as patch:
            usage = shutil.disk_usage(state)._replace(free=10)
            patch.setattr(shutil, "disk_usage", lambda path: usage)
            with pytest.raises(LibraryError, match="Nothing was pruned; make room there"):
                archive.run(prune=True)
        assert photos_of(archive) == before
        archive.run(prune=True)
        (kept,) = trash.listing(archive.library)
        assert hashes(Path(kept.folder, "photos")) == {name: before[name]}
        assert trash.restore(archive.library, sequence.names(archive.library, "again")) == (1, [])
        assert photos_of(archive) == before
    finally:
        shutil.rmtree(state)


def test_the_trash_keeps_what_lies_in_a_bucket(root: str, tmp_path: Path, archive: Archive) -> None:
    row = archive.rows()[cloaked(archive)[0]]
    for state in (str(tmp_path / "s"), f"{root}/state"):
        library = Library("in", f"{root}/out", state)
        place = storage.join(library.root, row["output"])
        storage.write_atomic(place, b"cloaked", library.scratch)
        trash.put(library, {row["output"]: row}, "p000000001-run", "p000000002-run")
        storage.remove([place])
        assert [kept.files for kept in trash.listing(library)] == [1]
        names = sequence.names(library, "again")
        assert trash.restore(library, names) == (1, [])
        assert storage.read_bytes(place) == b"cloaked"
        assert manifest.read(library.manifest).to_pylist() == [row]
        assert trash.listing(library) == []
        storage.remove([place])
        storage.remove_folder(library.manifest)


def test_a_trash_that_takes_two_names_for_one_loses_neither(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = archive.library
    row = next(row for row in archive.rows().values() if row["status"] == "cloaked")
    files = {"twins/IMG.jpg": b"one", "twins/img.jpg": b"other"}
    for name, data in files.items():
        (archive.out / name).parent.mkdir(exist_ok=True)
        (archive.out / name).write_bytes(data)
    FoldingStore(archive.state, monkeypatch)
    with pytest.raises(OSError, match=r"two of their names for one.*None of them was deleted"):
        trash.put(library, dict.fromkeys(files, row), "p000000001-run", "p000000002-run")
    assert {name: (archive.out / name).read_bytes() for name in files} == files


def test_a_plan_shows_what_a_prune_would_delete(archive: Archive) -> None:
    names = cloaked(archive)
    for name in names:
        (archive.photos / name).unlink()
    config = archive.photos.parent / "quick.yaml"
    config.write_text(archive.settings.model_dump_json())
    places = (archive.photos, archive.out, "--state", archive.state, "--config", config)
    code, said = invoked("plan", *places)
    assert code == 0
    assert f"{len(names)} no longer there" in " ".join(said.split())
    assert all(f"  {name}\n" in said for name in names)


def test_settings_of_a_plan_are_no_reason_to_think_the_disk_away(archive: Archive) -> None:
    plan = archive.plan(archive.settings.model_copy(update={"mode": "high"}))
    assert plan.present == plan.photos > 0
    assert not replace(plan, gone=("a.jpg",)).is_away
