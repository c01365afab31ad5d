"""Which files of an archive are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from photoveil.transforms.photo.discover import discover, holds_photo

TRASH = (
    *("#recycle/a.jpg", "@Recycle/a.jpg", "$RECYCLE.BIN/S-1-5/a.jpg", ".Trash/a.jpg"),
    *(".Trashes/501/a.jpg", ".Trash-1000/files/a.jpg", "Album/.dtrash/files/a.jpg"),
    "DCIM/.trashed-1730000000-IMG_1.jpg",
)
KEPT = ("Recycler/a.jpg", "trash/a.jpg", "DCIM/.trashed.jpg", "a.trash-1000.jpg")


@pytest.mark.parametrize("name", TRASH)
def test_what_was_deleted_is_not_published(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"photo")
    assert list(discover(str(tmp_path))) == []
    assert not holds_photo(str(tmp_path))


@pytest.mark.parametrize("name", KEPT)
def test_what_only_sounds_like_a_trash_is(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"photo")
    assert [ref.source for ref in discover(str(tmp_path))] == [name]
