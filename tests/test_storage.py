"""Walking an archive and writing into one: on a local disk, and in buckets of GCS and S3."""

from __future__ import annotations

import errno
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from photoveil.transforms.duplicates.exact import not_copied
from photoveil.transforms.io import object_store, storage
from photoveil.transforms.io.storage import printable
from photoveil.transforms.photo.discover import discover
from photoveil.transforms.records import PhotoRef
from tests import clouds

NOT_UTF8 = os.fsdecode(b"caf\xe9.jpg")
needs_permissions = pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write anything")


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))


def problems(root: Path) -> dict[str, str | None]:
    return {entry.relative: entry.problem for entry in storage.walk(str(root))}


def fill(root: str, *names: str) -> None:
    """Files, each with its name in it."""
    for name in names:
        scratch = storage.join(root, "scratch")
        storage.write_atomic(storage.join(root, name), name.encode(), scratch)
    storage.remove_folder(storage.join(root, "scratch"))


def names(root: str) -> list[str]:
    return [entry.relative for entry in storage.walk(root)]


def test_walk_goes_folder_by_folder_in_name_order(root: str) -> None:
    fill(root, "b/2.jpg", "b.jpg", "b/10.jpg", "a.jpg", "c.jpg", "b/deep/er/x.jpg")
    assert names(root) == ["a.jpg", "b/10.jpg", "b/2.jpg", "b/deep/er/x.jpg", "b.jpg", "c.jpg"]


def test_walk_tells_size_and_when_it_was_written(root: str) -> None:
    before = time.time()
    fill(root, "a.jpg")
    (entry,) = storage.walk(root)
    assert (entry.relative, entry.size, entry.problem) == ("a.jpg", 5, None)
    assert before - 2 <= entry.mtime <= time.time() + 2


def test_read_gives_the_whole_file_or_its_head(root: str) -> None:
    fill(root, "photo.jpg.gz", "empty")  # a name that Beam would by itself unpack
    storage.write_atomic(storage.join(root, "empty"), b"", root)
    path = storage.join(root, "photo.jpg.gz")
    assert storage.read_bytes(path) == b"photo.jpg.gz"
    assert storage.read_bytes(path, 5) == b"photo"
    assert storage.read_bytes(path, 500) == b"photo.jpg.gz"
    assert storage.read_bytes(storage.join(root, "empty")) == b""
    assert storage.read_bytes(storage.join(root, "empty"), 32) == b""


def test_reading_what_is_not_there_is_an_error_in_plain_words(root: str) -> None:
    with pytest.raises(FileNotFoundError) as failure:
        storage.read_bytes(storage.join(root, "gone.jpg"))
    assert storage.explain(failure.value) == "no such file"


def test_write_goes_over_what_is_there(root: str) -> None:
    path, scratch = storage.join(root, "a.jpg"), storage.join(root, "scratch")
    storage.write_atomic(path, b"old and long", scratch)
    storage.write_atomic(path, b"new", scratch)
    assert storage.read_bytes(path) == b"new"
    assert names(root) == ["a.jpg"]


def test_a_reader_sees_the_old_file_or_the_whole_new_one(root: str) -> None:
    path, scratch = storage.join(root, "a"), storage.join(root, "scratch")
    storage.write_atomic(path, b"0" * 1_000_000, scratch)

    def write() -> None:
        for number in range(1, 8):
            storage.write_atomic(path, str(number).encode() * 1_000_000, scratch)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            seen = storage.read_bytes(path)
            assert (len(seen), len(set(seen))) == (1_000_000, 1)
        writing.result()


@pytest.mark.parametrize("links", [True, False])
def test_of_several_that_write_a_new_file_one_succeeds(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: str, target: str) -> None:
        raise OSError(errno.EPERM, "as on exFAT")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    for turn in range(20):
        path, scratch = str(tmp_path / f"{turn}"), str(tmp_path / "scratch")

        def write(data: bytes, path: str = path, scratch: str = scratch) -> bool:
            return storage.write_new(path, data, scratch)

        contents = [b"a" * 1000, b"b" * 1000, b"c" * 1000]
        with ThreadPoolExecutor(3) as pool:
            written = list(pool.map(write, contents))
        assert sum(written) == 1
        assert storage.read_bytes(path) == contents[written.index(True)]
        assert not write(b"late")
        assert not os.listdir(scratch)


def test_link_puts_the_same_bytes_in_another_place(root: str) -> None:
    fill(root, "photo[1].jpg", "b")
    storage.link_atomic(
        storage.join(root, "photo[1].jpg"), storage.join(root, "b"), storage.join(root, "scratch")
    )
    assert storage.read_bytes(storage.join(root, "b")) == b"photo[1].jpg"
    assert names(root) == ["b", "photo[1].jpg"]


def test_remove_takes_files_and_minds_nothing_missing(root: str) -> None:
    fill(root, "a", "b", "stays")
    storage.remove([storage.join(root, name) for name in ("a", "b", "gone")])
    assert names(root) == ["stays"]


def test_remove_folder_takes_all_below_it_and_nothing_else(root: str) -> None:
    fill(root, "folder/a", "folder/deep/b", "folder.jpg", "folders/c")
    for _ in range(2):
        storage.remove_folder(storage.join(root, "folder"))
    assert names(root) == ["folder.jpg", "folders/c"]


@pytest.mark.parametrize("name", ["photo[1].jpg", "photo?.jpg", "photo*.jpg", "é 100% #1+2&3.jpg"])
def test_names_are_taken_as_they_are(name: str, root: str) -> None:
    fill(root, name, "photo1.jpg")
    path = storage.join(root, name)
    assert names(root) == sorted([name, "photo1.jpg"])
    assert storage.read_bytes(path) == name.encode()
    assert storage.exists(path)
    storage.remove([path])
    assert not storage.exists(path)
    assert names(root) == ["photo1.jpg"]


def test_exists(root: str) -> None:
    assert not storage.exists(root)
    assert storage.is_empty(root)
    fill(root, "folder/a")
    assert storage.exists(root)
    assert not storage.is_empty(root)
    assert storage.exists(storage.join(root, "folder"))
    assert storage.exists(storage.join(root, "folder/a"))
    assert not storage.exists(storage.join(root, "fold"))
    assert storage.is_empty(storage.join(root, "fold"))


def test_a_private_folder_can_be_written_to(root: str) -> None:
    folder = storage.join(root, "state")
    storage.make_private_folder(folder)
    storage.write_private(storage.join(folder, "sheet.png"), b"faces")
    assert names(root) == ["state/sheet.png"]
    if storage.is_local(root):
        assert os.stat(folder).st_mode & 0o077 == 0
        assert os.stat(f"{folder}/sheet.png").st_mode & 0o077 == 0


@pytest.fixture(params=["gs", "s3"])
def bucket(request: pytest.FixtureRequest, servers: None) -> str:
    return clouds.new_bucket(request.param)


def test_a_whole_bucket_can_be_the_root(bucket: str) -> None:
    assert storage.absolute(f"{bucket}/") == bucket
    assert storage.is_empty(bucket)
    fill(bucket, "a.jpg", "b/c.jpg")
    assert names(bucket) == ["a.jpg", "b/c.jpg"]


@pytest.mark.skipif(not clouds.CLOUDS, reason="slow with these servers: make test-cloud")
def test_a_listing_of_several_pages(bucket: str) -> None:
    wanted = [f"{number:04}.jpg" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: object_store.write(f"{bucket}/in/{name}", b""), wanted))
    assert names(f"{bucket}/in") == wanted
    storage.remove_folder(f"{bucket}/in")
    assert storage.is_empty(bucket)


def test_objects_whose_names_are_no_paths_are_named_and_folder_marks_left_out(bucket: str) -> None:
    if bucket.startswith("gs") != bool(clouds.CLOUDS):
        pytest.skip("this server keeps no such names")
    for name in ("in/", "in/folder/", "in/folder/a.jpg", "in/../b.jpg", "in//etc/c.jpg"):
        object_store.write(f"{bucket}/{name}", b"" if name.endswith("/") else b"photo")
    found = {entry.relative: entry.problem for entry in storage.walk(f"{bucket}/in")}
    assert found.pop("folder/a.jpg") is None
    assert found.keys() == {"../b.jpg", "/etc/c.jpg"}
    assert all("cannot be that of a file" in (problem or "") for problem in found.values())


def test_a_name_that_is_no_utf8_is_refused_in_plain_words(bucket: str) -> None:
    with pytest.raises(OSError) as failure:
        storage.write_atomic(storage.join(bucket, NOT_UTF8), b"", "")
    assert "no UTF-8" in storage.explain(failure.value)


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    for work in (
        lambda: list(storage.walk(f"{bucket}-gone/photos")),
        lambda: storage.write_atomic(f"{bucket}-gone/a.jpg", b"", ""),
        lambda: storage.exists(f"{bucket}-gone/photos"),
    ):
        with pytest.raises(FileNotFoundError) as failure:
            work()
        assert storage.explain(failure.value) == "there is no such bucket"


def test_writes_on_a_condition(bucket: str) -> None:
    if bucket.startswith("gs://") and not clouds.CLOUDS:
        pytest.skip("gcp-storage-emulator takes no notice of conditions: make test-cloud")
    path = f"{bucket}/lock"
    first = object_store.write(path, b"1", object_store.ABSENT)
    with pytest.raises(object_store.ConditionFailed):
        object_store.write(path, b"2", object_store.ABSENT)
    second = object_store.write(path, b"3", first)
    with pytest.raises(object_store.ConditionFailed):
        object_store.write(path, b"4", first)
    found = object_store.stat(path)
    assert found is not None and found.version == second
    assert storage.read_bytes(path) == b"3"
    storage.remove([path])
    with pytest.raises(object_store.ConditionFailed):
        object_store.write(path, b"5", second)


def test_wrong_keys_are_no_permission(servers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if not clouds.CLOUDS:
        pytest.skip("moto lets everybody in: make test-cloud")
    bucket = clouds.new_bucket("s3")
    object_store._s3.cache_clear()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(PermissionError) as failure:
        storage.exists(bucket)
    object_store._s3.cache_clear()
    assert storage.explain(failure.value) == "no permission"


def test_no_credentials_and_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for key, words in ((None, "no credentials"), ("key", "the server cannot be reached")):
        if key:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)
        object_store._s3.cache_clear()
        with pytest.raises(OSError) as failure:
            storage.exists("s3://photos/in")
        object_store._s3.cache_clear()
        assert words in storage.explain(failure.value)


def test_no_credentials_for_google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    object_store._gcs.cache_clear()
    assert "no credentials" in (storage.problem("gs://photos/in") or "")


@pytest.mark.parametrize("path", ["hdfs://host/photos", "abfs://photos/in", "s3:///photos"])
def test_other_places_are_refused(path: str) -> None:
    assert storage.problem(path) in (
        "only local folders, gs:// and s3:// can be used",
        "it names no bucket",
    )


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

    def full(*args: object, **more: object) -> None:
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


def test_times_and_deletions_survive_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[os.stat_result] = []
    fsync = os.fsync

    def spy(handle: int) -> None:
        synced.append(os.fstat(handle))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", spy)
    path = str(tmp_path / "folder" / "a.jpg")
    storage.write_atomic(path, b"new", str(tmp_path / "scratch"), mtime=1_234_567_890.0)
    assert [status.st_mtime for status in synced if status.st_size == 3] == [1_234_567_890.0]
    folder = os.stat(tmp_path / "folder").st_ino
    synced.clear()
    storage.remove([path, str(tmp_path / "nowhere" / "b.jpg")])
    assert [status.st_ino for status in synced] == [folder]
    storage.remove_folder(str(tmp_path / "folder"))
    assert synced[-1].st_ino == os.stat(tmp_path).st_ino


def test_a_disk_that_sets_no_times_and_syncs_no_folders_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def no_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(handle)

    def no_times(*arguments: object, **more: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fsync", no_folders)
    monkeypatch.setattr(os, "utime", no_times)
    storage.write_atomic(str(tmp_path / "a/b.jpg"), b"photo", str(tmp_path / "scratch"), 1e9)
    assert (tmp_path / "a/b.jpg").read_bytes() == b"photo"

    def broken(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        storage.write_atomic(str(tmp_path / "a/c.jpg"), b"photo", str(tmp_path / "scratch"))


@pytest.mark.parametrize(
    ("number", "is_of_name"),
    [
        (errno.ENAMETOOLONG, True),
        (errno.EINVAL, True),
        (errno.ENOSPC, False),
        (errno.EACCES, False),
    ],
)
def test_only_a_bad_name_is_not_tried_again(number: int, is_of_name: bool) -> None:
    error = OSError(number, os.strerror(number))
    assert storage.is_of_name(error) == is_of_name
    assert not_copied(PhotoRef("", "a.jpg", 1, 1.0), error).retry != is_of_name


def test_remove_takes_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    put(tmp_path, "folder/a")
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "broken").symlink_to("gone")
    storage.remove([str(tmp_path / "link"), str(tmp_path / "broken")])
    assert problems(tmp_path) == {"folder/a": None}


@pytest.mark.parametrize("path", ["gs://bucket/a.jpg", "s3://bucket/a.jpg", "hdfs://host/a"])
def test_remote_paths_are_told_apart(path: str) -> None:
    assert not storage.is_local(path)


@pytest.mark.parametrize("path", ["/photos/a.jpg", "a.jpg", "C:/photos/a.jpg", "/a/gs:/b"])
def test_local_paths_are_told_apart(path: str) -> None:
    assert storage.is_local(path)
