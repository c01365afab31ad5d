"""A photo that kills, hangs or swells the process that opens it costs only itself."""

from __future__ import annotations

import hashlib
import io
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photoveil.pipeline.cli import verify_leaks
from photoveil.pipeline.library import integrity
from photoveil.transforms import codecs
from photoveil.transforms.evaluate.conditions import AS_WRITTEN
from photoveil.transforms.evaluate.embedding import Embedder
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.leaks.embedded_images import hidden
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.recognisers import load_recogniser
from tests.archives import Archive, photos_of
from tests.commands import invoked
from tests.support.processes import megabytes

LIMITS = ReadLimits()
KILLERS = {
    "segfault": (LIMITS, r"crashes the library that reads it \(SIGSEGV\)"),
    "killed": (LIMITS, "its process was killed"),
    "hang": (ReadLimits(max_seconds=0.5), "more than 0.5 seconds .*limits.max_seconds"),
    "memory": (ReadLimits(max_memory_gigabytes=1), "1 GB .*limits.max_memory_gigabytes"),
}


@pytest.fixture
def killers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The codecs of the children are those of `tests.killers`."""
    monkeypatch.setattr(codec_process, "CODECS", "tests.killers")
    monkeypatch.setattr(codec_process, "HIDDEN", "tests.killers")
    idle: list[Any] = []
    monkeypatch.setattr(codec_process, "_idle", idle)
    yield
    for child in idle:
        child.end()


def photo(how: str = "") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(out, "JPEG")
    return out.getvalue() + how.rjust(8, ".").encode()


@pytest.mark.parametrize("how", KILLERS)
def test_what_kills_is_said_and_the_next_photo_is_read(killers: None, how: str) -> None:
    limits, reason = KILLERS[how]
    with pytest.raises(codecs.CodecError, match=reason) as raised:
        codec_process.decode(photo(how), 10**6, limits)
    assert isinstance(raised.value, codecs.TooMuch) == (how != "segfault")
    assert codec_process.decode(photo(), 10**6, LIMITS).pixels.shape == (48, 64, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_a_child_holds_nothing_of_a_photo_that_it_has_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    idle: list[Any] = []
    monkeypatch.setattr(codec_process, "_idle", idle)
    codec_process.decode(photo(), 10**8, LIMITS)
    (child,) = idle
    try:
        before = megabytes(child._process.pid)
        out = io.BytesIO()
        Image.new("RGB", (8000, 4000), "red").save(out, "JPEG")
        codec_process.decode(out.getvalue(), 10**8, LIMITS)
        until = time.monotonic() + 30  # it answers first, and lets go then
        while megabytes(child._process.pid) > before + 15 and time.monotonic() < until:
            time.sleep(0.05)
        assert megabytes(child._process.pid) < before + 15  # of 92 for the pixels
    finally:
        child.end()


def test_a_time_limit_of_new_sockets_does_not_reach_the_children(killers: None) -> None:
    """Beam sets one for the whole process once it asks for credentials of Google's cloud."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(60)
    try:
        for _ in range(2):  # a child that waits for its second photo does not give up
            assert codec_process.decode(photo(), 10**6, LIMITS).pixels.shape == (48, 64, 3)
            time.sleep(0.5)
    finally:
        socket.setdefaulttimeout(before)


def test_threads_have_children_of_their_own(killers: None) -> None:
    def shape(how: str) -> tuple[int, ...] | None:
        try:
            return codec_process.decode(photo(how), 10**6, LIMITS).pixels.shape
        except codecs.CodecError:
            return None

    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(shape, ["", "segfault", ""]))
    assert found == [(48, 64, 3), None, (48, 64, 3)]


def test_the_same_comes_from_the_child_as_from_the_codecs() -> None:
    data = assets.fetch("obama.jpg").read_bytes()
    decoded, same = codec_process.decode(data, 10**8, LIMITS), codecs.decode(data, 10**8)
    assert np.array_equal(decoded.pixels, same.pixels)
    change = np.zeros(same.pixels.shape[:2], np.float32)
    change[100:150, 100:150] = 5
    assert codec_process.encode(
        data, codecs.PhotoChange.of_levels(change), True, LIMITS
    ) == codecs.encode(data, codecs.PhotoChange.of_levels(change))
    assert codec_process.alone(data, True, LIMITS) == codecs.alone(data)
    assert codec_process.without_video(data, LIMITS) == codecs.without_video(data)
    assert codec_process.without_names(data, LIMITS) == codecs.without_names(data)
    found, same_found = codec_process.hidden(data, LIMITS), hidden(data)  # its thumbnail
    assert [one.where for one in found] == [one.where for one in same_found] != []
    with pytest.raises(codecs.UnsupportedFormat, match="no picture format"):
        codec_process.decode(b"text", 10**8, LIMITS)


def test_a_run_passes_over_what_kills(
    killers: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    archive = Archive(tmp_path_factory.mktemp("run"))
    archive.photos.mkdir()
    portrait = assets.fetch("obama.jpg").read_bytes()
    (archive.photos / "a.jpg").write_bytes(photo("segfault"))
    (archive.photos / "b.jpg").write_bytes(portrait + b"encoding")
    (archive.photos / "c.jpg").write_bytes(photo("killed"))
    (archive.photos / "d.jpg").write_bytes(photo())
    archive.run()
    rows = archive.rows()
    assert {name: row["status"] for name, row in rows.items()} == {
        **dict.fromkeys(("a.jpg", "b.jpg", "c.jpg"), "failed"),
        "d.jpg": "no_face",
    }
    assert "SIGSEGV" in rows["a.jpg"]["reason"] and "SIGSEGV" in rows["b.jpg"]["reason"]
    assert list(photos_of(archive)) == ["d.jpg"]
    assert archive.plan().refs == []  # they are not tried for ever


@pytest.fixture
def hostile(killers: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Archive:
    """A library whose outputs were exchanged, its manifest too, for what kills when opened."""
    archive = Archive(tmp_path)
    archive.photos.mkdir()
    names = ("sound", "segfault", "hang", "memory", "killed", "carving.")
    for number, name in enumerate(names):
        out = io.BytesIO()
        Image.new("RGB", (64, 48), (9 * number, 0, 0)).save(out, "JPEG")
        (archive.photos / f"{name}.jpg").write_bytes(out.getvalue())
    archive.run()
    rows = archive.rows()
    for name in names[1:]:
        output = archive.out / f"{name}.jpg"
        data = output.read_bytes() + name.rjust(8, ".").encode()
        output.write_bytes(data)
        rows[output.name] |= {
            "output_sha256": hashlib.sha256(data).hexdigest(),
            "output_size": len(data),
        }
    archive.add_rows(*rows.values())
    for module in (integrity, verify_leaks):
        monkeypatch.setattr(module, "LIMITS", ReadLimits(max_seconds=1, max_memory_gigabytes=1))
    return archive


def test_verify_reports_what_kills(hostile: Archive) -> None:
    command = ["verify", hostile.out, "--state", hostile.state]
    code, said = invoked(*command, "--leaks")
    assert code == 3
    assert "1 files looked into." in said
    kills = {
        "segfault": "damaged in a way that crashes the library that reads it (SIGSEGV)",
        "hang": "takes more than 1 seconds",
        "memory": "takes more memory than 1 GB",
        "killed": "takes more memory than there is",
    }
    for name, why in {**kills, "carving.": kills["segfault"]}.items():
        assert f"{name}.jpg: {why}" in said
    code, said = invoked(*command, "--repair")
    assert code == 3
    assert "1  cloaked files that cannot be opened:" in said
    assert "3  cloaked files that cannot be checked here:" in said
    for name, why in kills.items():
        assert f"{name}.jpg: {why}" in said
    assert not (hostile.out / "segfault.jpg").exists()
    assert (hostile.out / "hang.jpg").exists()  # it need not be damaged


def test_the_evaluation_passes_over_what_kills(killers: None, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo("segfault"))
    recogniser, parameters = load_recogniser("mobilefacenet"), DetectorParameters()
    embedder = Embedder([recogniser], lambda pixels: np.zeros((0, 16)), parameters)
    path = str(tmp_path / "a.jpg")
    assert np.isnan(embedder.embed([path], AS_WRITTEN)["mobilefacenet"]).all()
    assert "SIGSEGV" in embedder.unreadable[path]
