"""A photo that kills, hangs or swells the process that opens it costs only itself."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.archives import Archive, photos_of
from transforms import apart, assets, codecs
from transforms.apart import ReadLimits

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
    monkeypatch.setattr(apart, "CODECS", "tests.killers")
    idle: list[Any] = []
    monkeypatch.setattr(apart, "_idle", idle)
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
    with pytest.raises(codecs.CodecError, match=reason):
        apart.decode(photo(how), 10**6, limits)
    assert apart.decode(photo(), 10**6, LIMITS).pixels.shape == (48, 64, 3)


def test_threads_have_children_of_their_own(killers: None) -> None:
    def shape(how: str) -> tuple[int, ...] | None:
        try:
            return apart.decode(photo(how), 10**6, LIMITS).pixels.shape
        except codecs.CodecError:
            return None

    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(shape, ["", "segfault", ""]))
    assert found == [(48, 64, 3), None, (48, 64, 3)]


def test_the_same_comes_from_the_child_as_from_the_codecs() -> None:
    data = assets.fetch("obama.jpg").read_bytes()
    decoded, same = apart.decode(data, 10**8, LIMITS), codecs.decode(data, 10**8)
    assert np.array_equal(decoded.pixels, same.pixels)
    change = np.zeros(same.pixels.shape[:2], np.float32)
    change[100:150, 100:150] = 5
    assert apart.encode(data, change, True, LIMITS) == codecs.encode(data, change)
    assert apart.tidied(data, LIMITS) == codecs.tidied(data)
    assert apart.without_names(data, LIMITS) == codecs.without_names(data)
    with pytest.raises(codecs.UnsupportedFormat, match="no picture format"):
        apart.decode(b"text", 10**8, LIMITS)


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
