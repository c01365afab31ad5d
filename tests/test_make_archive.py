"""The generated archive that benchmarks and tests of whole runs use."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.commands import hashes
from tests.support.make_archive import SHARES, make_archive


def test_the_same_seed_gives_the_same_archive_with_every_kind_of_file(tmp_path: Path) -> None:
    made = make_archive(tmp_path / "a", 80, seed=4, side=120)
    assert make_archive(tmp_path / "b", 80, seed=4, side=120) == made
    found = hashes(tmp_path / "a")
    assert found == hashes(tmp_path / "b")
    assert found.keys() == {item.file for item in made}
    kinds = Counter(item.kind for item in made)
    assert kinds.keys() == SHARES.keys()
    for item in made:
        same_bytes = item.of != "" and found[item.file] == found[item.of]
        assert same_bytes == (item.kind == "exact")
    distinct = {found[item.file] for item in made if item.kind != "exact"}
    assert len(distinct) >= len(made) - kinds["exact"] - kinds["corrupt"]


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.jpg").touch()
    with pytest.raises(FileExistsError):
        make_archive(tmp_path, 3)
