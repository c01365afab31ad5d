"""What is wrong with one file never stops the others: the command on an archive of wrecks."""

from __future__ import annotations

import io
import os
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photoveil.pipeline.library import manifest
from tests.commands import hashes, invoked, photoveil

DemoPhoto = Callable[[str], Path]

_LONG = "n" * 251 + ".jpg"
_ODD = os.fsdecode(b"caf\xe9.jpg")  # Latin-1, no UTF-8


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _bomb() -> bytes:
    """A PNG of a few kilobytes that says it has 60,000 x 60,000 pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
        )

    side = (60_000).to_bytes(4, "big")
    header = chunk(b"IHDR", side + side + b"\x08\x02\0\0\0")
    rows = chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
    return b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b"")


def build_wrecks(folder: Path, demo_photo: DemoPhoto) -> None:
    """Every file that a row is expected for in `EXPECTED`, and one that none is for."""
    folder.mkdir()
    portrait = demo_photo("obama.jpg")
    with Image.open(portrait) as image:
        small = image.resize((image.width // 2, image.height // 2))
    files = {
        "good.jpg": _saved(small, "JPEG"),
        "cut.jpg": portrait.read_bytes()[:40_000],
        "empty.jpg": b"",
        "text.jpg": b"This is no picture.\n",
        "pixel.png": _saved(Image.new("RGB", (1, 1)), "PNG"),
        "pixel.jpg": _saved(Image.new("RGB", (1, 1)), "JPEG"),
        "cmyk.jpg": _saved(small.convert("CMYK"), "JPEG"),
        "grey16.png": _saved(
            Image.fromarray(np.asarray(small.convert("L"), np.uint16) * 257), "PNG"
        ),
        "palette.png": _saved(small.convert("P"), "PNG"),
        "alpha.png": demo_photo("32bit.png").read_bytes(),
        "bomb.png": _bomb(),
        _LONG: _saved(small, "JPEG"),
        _ODD: _saved(small.rotate(2), "JPEG"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "movie.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "around").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.jpg")


EXPECTED = {
    "good.jpg": ("cloaked", None),
    "cut.jpg": ("failed", "damaged or cut off"),
    "empty.jpg": ("failed", "the file is empty"),
    "text.jpg": ("failed", "named as a photo but holds none"),
    "pixel.png": ("no_face", None),
    "pixel.jpg": ("no_face", None),
    "cmyk.jpg": ("cloaked", None),
    "grey16.png": ("cloaked", None),
    "palette.png": ("cloaked", None),
    "alpha.png": ("cloaked", None),
    "bomb.png": ("failed", "more than the limit of 250 megapixels"),
    _LONG: ("duplicate", None),
    r"caf\xe9.jpg": ("cloaked", None),
    "folder.jpg/movie.mp4": ("unsupported", "video: left out"),
    "loop.jpg": ("failed", "the link points to itself"),
    "around": ("failed", "link to a folder: not followed"),
    "pipe.jpg": ("failed", "not a regular file"),
}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tmp_path_factory.mktemp("config") / "quick.yaml"
    config.write_text(
        "cloak: {steps: 2, batch_size: 4, surrogates: [mobilefacenet]}\nrun: {first_wave: 64}\n"
        "detector: {long_sides: [256], turned_levels: 0}\n"
    )
    return config


@pytest.fixture(scope="module")
def wrecks(
    tmp_path_factory: pytest.TempPathFactory, demo_photo: DemoPhoto, quick: Path
) -> tuple[Path, Path, tuple[int, str]]:
    base = tmp_path_factory.mktemp("wrecks")
    build_wrecks(base / "in", demo_photo)
    done = invoked("run", base / "in", base / "out", "--state", base / "state", "--config", quick)
    return base / "in", base / "out", done


Wrecks = tuple[Path, Path, tuple[int, str]]


def test_each_has_a_row_that_says_what_became_of_it(wrecks: Wrecks) -> None:
    _, out, (code, said) = wrecks
    rows = {r["source"]: r for r in manifest.read(str(out / "_photoveil/manifest")).to_pylist()}
    assert {s: row["status"] for s, row in rows.items()} == {s: e[0] for s, e in EXPECTED.items()}
    for source, (_, reason) in EXPECTED.items():
        assert (reason or "") in (rows[source]["reason"] or "")
    assert code == 3
    assert "empty.jpg: the file is empty" in said


def test_outputs_keep_mode_depth_and_size(wrecks: Wrecks) -> None:
    photos, out, _ = wrecks
    for name in ("cmyk.jpg", "grey16.png", "alpha.png", _LONG, _ODD):
        with Image.open(photos / name) as before, Image.open(out / name) as after:
            assert (after.mode, after.size) == (before.mode, before.size)


def test_nothing_is_written_for_what_failed(wrecks: Wrecks) -> None:
    _, out, _ = wrecks
    written = {os.fsencode(n) for n in hashes(out) if not n.startswith("_photoveil/")}
    expected = {
        os.fsencode(source) for source, (status, _) in EXPECTED.items() if "face" in status
    } | {b"good.jpg", b"cmyk.jpg", b"grey16.png", b"palette.png", b"alpha.png"}
    assert written == expected | {os.fsencode(_LONG), os.fsencode(_ODD)}


@pytest.mark.skipif(
    "workers" not in os.environ.get("PHOTOVEIL_RUNNERS", ""),
    reason="takes long: make test-prism",
)
def test_two_worker_processes_write_the_same_photos(
    wrecks: Wrecks, tmp_path: Path, quick: Path
) -> None:
    photos, out, _ = wrecks
    done = photoveil(
        *("run", photos, tmp_path / "out", "--state", tmp_path / "state"),
        *("--config", quick, "--workers", "2"),
    )
    assert done.returncode == 3, done.stderr
    names, others = set(hashes(out)), set(hashes(tmp_path / "out"))
    assert _photos(others) == _photos(names)
    for name in _photos(names):
        # Faces are batched another way, which moves the last bits of a sum.
        with Image.open(out / name) as one, Image.open(tmp_path / "out" / name) as two:
            difference = np.asarray(one, np.float32) - np.asarray(two, np.float32)
        assert np.abs(difference).mean() < (30 if one.mode.startswith("I") else 0.1), name


def _photos(names: set[str]) -> set[str]:
    return {name for name in names if not name.startswith("_photoveil/")}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_said_and_leaves_no_half_file(
    small_disk: Path, tmp_path: Path, demo_photo: DemoPhoto, quick: Path
) -> None:
    photos = tmp_path / "in"
    photos.mkdir()
    out = small_disk / "out"
    command = ("run", photos, out, "--state", tmp_path / "state", "--config", quick)
    (photos / "rocket.jpg").write_bytes(demo_photo("rocket.jpg").read_bytes())
    code, said = invoked(*command)  # a run of its own: which of two is written first is open
    assert code == 0, said
    (photos / "coffee.png").write_bytes(demo_photo("coffee.png").read_bytes())
    code, said = invoked(*command)
    assert code == 1, said
    assert "no space left on the disk" in said
    assert "make room and run the same command again" in said
    assert (out / "rocket.jpg").read_bytes() == (photos / "rocket.jpg").read_bytes()
    assert not (out / "coffee.png").exists()
    assert list((out / "_photoveil/unfinished").iterdir()) == []


def test_an_unreadable_file_is_reported(tmp_path: Path, quick: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    photos = tmp_path / "in"
    photos.mkdir()
    (photos / "secret.jpg").write_bytes(b"\xff\xd8\xff")
    (photos / "secret.jpg").chmod(0)
    done = photoveil("run", photos, tmp_path / "out", "--state", tmp_path / "s", "--config", quick)
    assert "secret.jpg: cannot be read: no permission" in done.stdout


def test_a_second_run_on_a_library_in_use_says_so_and_stops(tmp_path: Path) -> None:
    import filelock

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"a photo")
    (tmp_path / "out/_photoveil").mkdir(parents=True)
    with filelock.FileLock(tmp_path / "out/_photoveil/lock"):
        code, said = invoked(
            "run", tmp_path / "in", tmp_path / "out", "--state", tmp_path / "state"
        )
    assert code == 2
    assert "another run is writing to" in said
