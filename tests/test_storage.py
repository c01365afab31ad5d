"""Walking an archive and writing into one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from transforms import storage
from transforms.discover import discover, printable

NOT_UTF8 = os.fsdecode(b"caf\xe9.jpg")
needs_permissions = pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write anything")


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))


def problems(root: Path) -> dict[str, str | None]:
    return {entry.relative: entry.problem for entry in storage.walk(str(root))}


def test_walk_goes_folder_by_folder_in_name_order(tmp_path: Path) -> None:
    put(tmp_path, "b/2.jpg", "b/10.jpg", "a.jpg", "c.jpg", "b/deep/er/x.jpg")
    found = list(problems(tmp_path))
    assert found == ["a.jpg", "b/10.jpg", "b/2.jpg", "b/deep/er/x.jpg", "c.jpg"]


def test_walk_tells_size_and_time(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    os.utime(tmp_path / "a.jpg", (1_000_000_000.5, 1_000_000_000.5))
    (entry,) = storage.walk(str(tmp_path))
    assert entry == storage.Entry("a.jpg", 5, 1_000_000_000.5)


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path: Path) -> None:
    put(tmp_path, "folder/a.jpg")
    (tmp_path / "file_link.jpg").symlink_to("folder/a.jpg")
    (tmp_path / "folder_link").symlink_to("folder")
    assert problems(tmp_path) == {
        "file_link.jpg": None,
        "folder/a.jpg": None,
        "folder_link": "link to a folder: not followed",
    }


def test_loops_and_broken_links_are_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "broken.jpg").symlink_to("gone.jpg")
    assert problems(tmp_path) == {
        "broken.jpg": "broken link: no such file",
        "loop": "broken link: the link points to itself",
        "up": "link to a folder: not followed",
    }


def test_special_files_are_named_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert problems(tmp_path) == {"pipe.jpg": "not a regular file"}


@needs_permissions
def test_unreadable_folder_is_named_and_the_walk_goes_on(tmp_path: Path) -> None:
    put(tmp_path, "locked/a.jpg", "open/b.jpg")
    (tmp_path / "locked").chmod(0)
    try:
        found = problems(tmp_path)
    finally:
        (tmp_path / "locked").chmod(0o755)
    assert found == {"locked": "folder cannot be listed: no permission", "open/b.jpg": None}


def test_root_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(storage.walk(str(tmp_path / "gone")))


def test_name_that_is_no_utf8_can_be_opened_and_written_again(tmp_path: Path) -> None:
    put(tmp_path, NOT_UTF8)
    (ref,) = discover(str(tmp_path))
    assert ref.relative == NOT_UTF8
    data = storage.read_bytes(ref.path)
    copy = storage.join(str(tmp_path / "out"), ref.relative)
    storage.write_atomic(copy, data, str(tmp_path / "scratch"))
    assert os.listdir(os.fsencode(tmp_path / "out")) == [b"caf\xe9.jpg"]


def test_reference_has_a_printable_name_and_an_ascii_key(tmp_path: Path) -> None:
    put(tmp_path, NOT_UTF8, "été.jpg")
    by_name = {ref.source: ref for ref in discover(str(tmp_path))}
    assert set(by_name) == {"caf\\xe9.jpg", "été.jpg"}
    keys = {ref.key for ref in by_name.values()}
    assert len(keys) == 2
    assert all(key.isascii() and len(key) == 32 for key in keys)


def test_printable_leaves_ordinary_names_alone() -> None:
    assert printable("2019/été 🎉/IMG (1).jpg") == "2019/été 🎉/IMG (1).jpg"


def test_read_gives_the_whole_file_or_its_head(tmp_path: Path) -> None:
    put(tmp_path, "photo.jpg.gz")  # a name that Beam would by itself unpack
    path = str(tmp_path / "photo.jpg.gz")
    assert storage.read_bytes(path) == b"photo.jpg.gz"
    assert storage.read_bytes(path, 5) == b"photo"


def test_reading_what_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        storage.read_bytes(str(tmp_path / "gone.jpg"))


def test_write_makes_folders_sets_the_time_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out/deep/a.jpg"
    storage.write_atomic(str(path), b"new", str(tmp_path / "scratch"), mtime=1_234_567_890.25)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mtime == 1_234_567_890.25
    assert os.listdir(path.parent) == ["a.jpg"]
    assert os.listdir(tmp_path / "scratch") == []


@pytest.mark.parametrize("step", ["fsync", "utime", "replace"])
def test_failed_write_leaves_the_old_file_and_no_leftover(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "out/a.jpg")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(OSError, match="full"):
            path, scratch = str(tmp_path / "out/a.jpg"), str(tmp_path / "scratch")
            storage.write_atomic(path, b"new", scratch, mtime=1.0)
    assert (tmp_path / "out/a.jpg").read_bytes() == b"out/a.jpg"
    assert os.listdir(tmp_path / "out") == ["a.jpg"]
    assert os.listdir(tmp_path / "scratch") == []


def test_name_too_long_is_an_os_error_without_a_leftover(tmp_path: Path) -> None:
    with pytest.raises(OSError) as failure:
        storage.write_atomic(str(tmp_path / ("x" * 300)), b"new", str(tmp_path / "scratch"))
    assert storage.explain(failure.value) == "the name is too long"
    assert os.listdir(tmp_path / "scratch") == []


def test_at_no_moment_is_there_a_half_written_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "out/a.jpg")
    path = tmp_path / "out/a.jpg"
    seen = []
    replace = os.replace

    def watched(source: str, target: str) -> None:
        seen.append(path.read_bytes())
        replace(source, target)
        seen.append(path.read_bytes())

    monkeypatch.setattr(os, "replace", watched)
    storage.write_atomic(str(path), b"new", str(tmp_path / "scratch"))
    assert seen == [b"out/a.jpg", b"new"]


def test_move_goes_over_what_is_there(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    storage.move(str(tmp_path / "a"), str(tmp_path / "b"))
    assert problems(tmp_path) == {"b": None}
    assert (tmp_path / "b").read_bytes() == b"a"


def test_remove_takes_files_and_folders_and_minds_nothing_missing(tmp_path: Path) -> None:
    put(tmp_path, "a", "folder/b", "stays")
    storage.remove([str(tmp_path / name) for name in ("a", "folder", "gone")])
    assert problems(tmp_path) == {"stays": None}


@pytest.mark.parametrize("name", ["photo[1].jpg", "photo?.jpg", "photo*.jpg"])
def test_remove_takes_names_as_they_are(name: str, tmp_path: Path) -> None:
    put(tmp_path, name, "photo1.jpg")
    storage.remove([str(tmp_path / name)])
    assert problems(tmp_path) == {"photo1.jpg": None}


def test_remove_takes_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    put(tmp_path, "folder/a")
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "broken").symlink_to("gone")
    storage.remove([str(tmp_path / "link"), str(tmp_path / "broken")])
    assert problems(tmp_path) == {"folder/a": None}


def test_exists(tmp_path: Path) -> None:
    put(tmp_path, "a")
    assert storage.exists(str(tmp_path / "a"))
    assert not storage.exists(str(tmp_path / "b"))


@pytest.mark.parametrize("path", ["gs://bucket/a.jpg", "s3://bucket/a.jpg", "hdfs://host/a"])
def test_remote_paths_are_told_apart(path: str) -> None:
    assert not storage.is_local(path)


@pytest.mark.parametrize("path", ["/photos/a.jpg", "a.jpg", "C:/photos/a.jpg", "/a/gs:/b"])
def test_local_paths_are_told_apart(path: str) -> None:
    assert storage.is_local(path)
