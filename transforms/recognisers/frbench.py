"""Recognisers of FRBench (PyPI `frbench`), a PyTorch collection of some 45 of many kinds.

Their weights are not in its package, and nothing is fetched here: `frbench-download` does that when
a person runs it. A recogniser gets the crop of its own template, aligned by our landmarks.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from photoveil.transforms.extras import install_command
from photoveil.transforms.faces.align import crop_face, similarity
from photoveil.transforms.io.assets import AssetError
from photoveil.transforms.recognisers.recogniser import (
    MissingPackage,
    Recogniser,
    SeenPhoto,
    cosine_distance,
)

PREFIX = "frbench:"
_BATCH = 16  # faces


def load(key: str) -> Recogniser:
    """Load a recogniser of FRBench.

    Args:
        key: its key in FRBench's manifest, of the form backbone_loss_dataset.

    Raises:
        MissingPackage: FRBench is not installed.
        transforms.io.assets.AssetError: its weights are not on this machine.
    """
    name = PREFIX + key
    if find_spec("frbench") is None:
        raise MissingPackage(f"{name} needs more packages: {install_command('frbench')}")
    import frbench
    import torch

    if not _is_downloaded(Path(frbench.CACHE), key):
        raise AssetError(
            f"the weights of {name} are not on this machine: frbench-download {key} fetches them. "
            "frbench-download --list-models shows the names"
        )
    with frbench.configure_scoped(update_check=False):
        model = frbench.FR(*key.rsplit("_", 2), eager_load=True).eval()
    assert model.preprocessor is not None  # it is loaded
    template = model.preprocessor.template.numpy().astype(np.float64)
    side = model.input_size[0]

    def align(photo: SeenPhoto) -> np.ndarray | None:
        if photo.largest is None:
            return None
        landmarks = np.asarray(photo.largest.landmarks, np.float64)
        return crop_face(photo.pixels, similarity(landmarks, template), side)

    def embed(crops: np.ndarray) -> np.ndarray:
        parts = []
        with torch.no_grad():
            for start in range(0, len(crops), _BATCH):
                batch = crops[start : start + _BATCH].transpose(0, 3, 1, 2)
                images = torch.from_numpy(batch.astype(np.float32))
                parts.append(model(images, need_crop=False).embeddings.numpy())
        return np.concatenate(parts)

    return Recogniser(
        name=name,
        about="of FRBench; its name gives backbone, loss and training data",
        dimension=model.embedding_dim,
        threshold=None,
        threshold_source=None,
        distance=cosine_distance,
        align=align,
        embed=embed,
    )


def _is_downloaded(cache: Path, key: str) -> bool:
    """Return True if FRBench would load the recogniser without a download."""
    manifest = cache / "manifest.json"
    if not manifest.is_file():
        return False
    entry = json.loads(manifest.read_text("utf-8")).get(key)
    if entry is None:
        return False
    return all(
        (cache / entry["target_name"] / file).is_file() for file in entry["contents"].values()
    )
