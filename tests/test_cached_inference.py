"""Finished cloaks that a crash left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from photoveil.pipeline.graph.cloak_faces import without_embedding
from photoveil.transforms.beam.cached_inference import CachingHandler
from photoveil.transforms.cloak.handler import CloakHandler, load_optimizer
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


def test_a_face_that_is_embedded_already_is_the_same_face(tmp_path: Path) -> None:
    """A run that was killed after it kept the prototypes of a wave embeds no group again."""
    crop = face()
    embedding = load_optimizer(QUICK.cloak).embed(crop[np.newaxis])[0]
    kept = cloak(tmp_path, embedding)
    assert np.array_equal(cloak(tmp_path).change, kept.change)
    assert len(list(tmp_path.iterdir())) == 1


def face() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)


def cloak(folder: Path, embedding: np.ndarray | None = None) -> Perturbation:
    """Cloak one face, always the same, remembering it in the folder."""
    handler: CachingHandler[AlignedFace, Optimizer] = CachingHandler(
        CloakHandler(QUICK.cloak), str(folder), without_embedding
    )
    example = AlignedFace(0, face(), "a photo", embedding=embedding)
    (result,) = handler.run_inference([example], handler.load_model())
    found: Perturbation = result.inference
    return found
