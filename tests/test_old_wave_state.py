"""A run that another version of the code left unfinished goes on and ends as a whole one.

What waits in the private state is partly pickled, and a pickle names the module of its class: after
modules have moved it cannot be read.
"""

from __future__ import annotations

import pickle
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from photoveil.pipeline.run.wave import WaveRun
from tests.archives import Archive, opened_files, photos_of
from tests.commands import hashes
from tests.support.make_archive import make_archive

MODULE = "transforms.cloak.faces"  # where the class was before modules moved


@dataclass
class Cloak:
    """As it was there."""

    change: np.ndarray
    steps: int


def old_pickle(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A cloak as an older version kept it."""
    with monkeypatch.context() as patch:
        module = ModuleType(MODULE)
        module.Cloak = Cloak  # type: ignore[attr-defined]
        patch.setattr(Cloak, "__module__", MODULE)
        for name in ("transforms", "transforms.cloak"):
            patch.setitem(sys.modules, name, ModuleType(name))
        patch.setitem(sys.modules, MODULE, module)
        data = pickle.dumps(Cloak(np.zeros((112, 112), np.float32), 2))
    with pytest.raises((ImportError, AttributeError)):
        pickle.loads(data)
    return data


def rows_of(archive: Archive) -> list[dict[str, Any]]:
    """The manifest without what tells one run from another: its name, its time, and figures that
    differ in their last bits with what else is in a batch."""
    other = ("run_id", "finished", "faces")
    return [
        {name: value for name, value in row.items() if name not in other}
        | {"steps": [face["steps"] for face in row["faces"]]}
        for row in archive.rows().values()
    ]


def interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_goes_on_over_what_an_older_version_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, archive = Archive(tmp_path / "whole"), Archive(tmp_path / "interrupted")
    make_archive(whole.photos, 10, seed=7, side=200)
    archive.out.parent.mkdir()
    archive.photos.symlink_to(whole.photos, target_is_directory=True)
    whole.run()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(WaveRun, "_commit", interrupted)
        archive.run()
    assert archive.rows() == {}

    (wave,) = (archive.state / "waves").iterdir()
    cloaks = [path for path in (wave / "cloaks").rglob("*") if path.is_file()]
    handed = [path for path in (wave / "handed").rglob("*") if path.is_file()]
    assert cloaks and handed and any((wave / "scan").iterdir())
    old = old_pickle(monkeypatch)
    for path in (*cloaks, *handed):
        path.write_bytes(old)
    shutil.copytree(wave, wave.with_name("0" * 32))  # the older version gave it another name

    with opened_files() as opened:
        archive.run()
    assert {str(path) for path in cloaks} <= set(opened)  # they were looked at
    assert photos_of(archive) == photos_of(whole)
    assert rows_of(archive) == rows_of(whole)
    assert not any(name.startswith("waves/") for name in hashes(archive.state))
