"""Finished cloaks that a crash left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from photoveil.transforms.beam.cached_inference import CachingHandler
from photoveil.transforms.cloak.handler import CloakHandler
from photoveil.transforms.cloak.optimizer import Optimizer
from photoveil.transforms.records import AlignedFace, Perturbation
from tests.archives import QUICK


def test_a_cloak_that_is_kept_is_not_made_again(tmp_path: Path) -> None:
    kept = cloak(tmp_path)
    (file,) = tmp_path.iterdir()
    before = file.stat()
    assert np.array_equal(cloak(tmp_path).change, kept.change)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("damage", [b"", b"no pickle", b"cno_module\nno_class\n."])
def test_a_damaged_one_is_made_again(tmp_path: Path, damage: bytes) -> None:
    kept = cloak(tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage)
    assert np.array_equal(cloak(tmp_path).change, kept.change)
    assert file.read_bytes() == whole


def cloak(folder: Path) -> Perturbation:
    """Cloak one face, always the same, remembering it in the folder."""
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    handler: CachingHandler[AlignedFace, Optimizer] = CachingHandler(
        CloakHandler(QUICK.cloak), str(folder)
    )
    (result,) = handler.run_inference([AlignedFace(0, crop, "a photo")], handler.load_model())
    found: Perturbation = result.inference
    return found
