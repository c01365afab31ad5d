"""Nothing is written or deleted outside of OUT, whatever a name, a link or the manifest says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from photoveil.pipeline.cli.verify import verify_job
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.identity import LibraryError
from photoveil.transforms.io import storage
from tests.archives import Archive
from tests.commands import hashes, invoked
from tests.test_verify import QUIET


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "a/../../b.jpg", "a//b.jpg", ""])
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    for root in (str(tmp_path), "gs://bucket/out"):
        with pytest.raises(OSError, match="is no place below"):
            storage.inside(root, name)


def test_links_to_folders_are_refused_and_links_to_files_written_over(tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else/a.jpg").write_bytes(b"original")
    root = tmp_path / "out"
    (root / "real").mkdir(parents=True)
    (root / "link").symlink_to("../else")
    (root / "real/deep").symlink_to("gone")
    for name in ("link/a.jpg", "link/new/b.jpg", "real/deep/a.jpg"):
        with pytest.raises(OSError, match="is a link, and nothing is written through links"):
            storage.inside(str(root), name)
    (root / "real/a.jpg").symlink_to("../../else/a.jpg")
    storage.write_atomic(storage.inside(str(root), "real/a.jpg"), b"cloaked", str(root / "tmp"))
    assert (tmp_path / "else/a.jpg").read_bytes() == b"original"
    assert (root / "real/a.jpg").read_bytes() == b"cloaked"
    assert not (root / "real/a.jpg").is_symlink()


def _state(folder: Path) -> dict[str, Any]:
    times = {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}
    return {**hashes(folder), **times}


def test_a_run_writes_through_no_link_to_the_originals(archive: Archive) -> None:
    """As somebody has it who thought that the library should show some folders as they are."""
    rows = archive.rows()
    photo = next(s for s, row in rows.items() if row["status"] == "cloaked")
    folders = [archive.photos / name for name in ("linked", "copied", "moved")]
    for folder in folders:
        folder.mkdir()
        (archive.out / folder.name).symlink_to(folder)
    new, copied, moved = (folder / "a.jpg" for folder in folders)
    new.write_bytes((archive.photos / photo).read_bytes() + b"\0")
    copied.write_bytes((archive.photos / photo).read_bytes())
    other = next(s for s, row in rows.items() if row["status"] == "cloaked" and s != photo)
    (archive.photos / other).rename(moved)
    before = _state(archive.photos)
    outcome = archive.run()
    assert _state(archive.photos) == before
    why = dict(outcome.failed)
    for folder in folders:
        assert f"{folder.name} is a link" in why[f"{folder.name}/a.jpg"]
    (archive.out / "linked").unlink()
    archive.run()
    assert archive.rows()["linked/a.jpg"]["status"] == "cloaked"
    assert _state(archive.photos) == before


def test_a_folder_of_the_library_itself_is_no_link(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_bytes(b"mine")
    scratch = archive.out / "_photoveil/unfinished"
    for path in scratch.iterdir():
        path.unlink()
    scratch.rmdir()
    scratch.symlink_to(tmp_path / "precious")
    with pytest.raises(LibraryError, match="is a link"):
        _ = archive.library
    code, said = invoked("verify", archive.out, "--state", archive.state, "--repair")
    assert (code, "is a link" in said) == (2, True)
    assert (tmp_path / "precious/file").read_bytes() == b"mine"


@pytest.fixture
def outside(archive: Archive) -> tuple[Path, Path]:
    """A file and an empty folder beside the library, which no run may touch."""
    file, folder = archive.out.parent / "mine.jpg", archive.out.parent / "empty"
    file.write_bytes(b"mine")
    folder.mkdir()
    return file, folder


@pytest.mark.parametrize("prune", [False, True])
def test_outputs_that_a_forged_manifest_names_elsewhere_are_not_deleted(
    archive: Archive, outside: tuple[Path, Path], prune: bool
) -> None:
    file, folder = outside
    library, rows = archive.library, archive.rows()
    photo, gone = [s for s, row in rows.items() if row["status"] == "cloaked"][:2]
    outputs = [f"../{file.name}", str(file), f"../{folder.name}/a.jpg", f"a/../../{file.name}"]
    forged = [{**rows[photo], "source": f"{n}.jpg", "output": o} for n, o in enumerate(outputs)]
    forged.append({**rows[gone], "output": f"../{file.name}", "output_size": 4})
    archive.add_rows(*forged)
    archive.add_rows(*(manifest.removed_row(row) for row in forged[:2]))
    (archive.photos / gone).unlink()
    archive.run(prune=prune)
    verify_job(library, QUIET, repair=True)
    assert file.read_bytes() == b"mine"
    assert folder.is_dir()


def test_an_output_makes_way_to_no_place_elsewhere(
    archive: Archive, outside: tuple[Path, Path]
) -> None:
    rows = archive.rows()
    one, two = [s for s, row in rows.items() if row["status"] == "cloaked"][:2]
    forged = [{**rows[s], "output_sha256": f"../../../{outside[0].name}"} for s in (one, two)]
    archive.add_rows(*forged)
    (archive.photos / one).rename(archive.photos / "held")
    (archive.photos / two).rename(archive.photos / one)
    (archive.photos / "held").rename(archive.photos / two)  # they changed places
    with pytest.raises(OSError, match=r"mine\.jpg is no place below"):
        archive.run()
    assert outside[0].read_bytes() == b"mine"
