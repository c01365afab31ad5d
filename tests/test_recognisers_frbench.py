"""Recognisers of FRBench: a network that is made here, in the format of its downloads."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photoveil.transforms import codecs
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.faces.detect import load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io.assets import AssetError
from photoveil.transforms.recognisers import MissingPackage, SeenPhoto, is_known, load_recogniser

KEY = "mobilenet-wd4_arcface_made"
HERE = find_spec("frbench") is not None


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """FRBench's folder of downloads, empty."""
    monkeypatch.setenv("FRBENCH_CACHE", str(tmp_path / "frbench"))
    monkeypatch.setenv("FRBENCH_CONFIG", str(tmp_path / "config.json"))
    return tmp_path / "frbench"


def test_any_name_with_the_prefix_is_one_of_frbench() -> None:
    assert is_known(f"frbench:{KEY}")
    assert is_known("dlib")
    assert not is_known("frbench")
    assert not is_known("nobody")


@pytest.mark.skipif(HERE, reason="the extra frbench is installed")
def test_without_the_package_it_says_how_to_install_it() -> None:
    with pytest.raises(MissingPackage, match=r"frbench:x_y_z needs more packages: .*frbench"):
        load_recogniser("frbench:x_y_z")


@pytest.mark.skipif(not HERE, reason="the extra frbench is not installed")
@pytest.mark.parametrize(
    "manifest", [None, {}, {KEY: {"target_name": "x", "contents": {"a": "b"}}}]
)
def test_weights_that_are_not_here_are_not_downloaded(
    manifest: dict[str, Any] | None, cache: Path
) -> None:
    if manifest is not None:
        cache.mkdir()
        (cache / "manifest.json").write_text(json.dumps(manifest))
    before = sorted(cache.rglob("*"))
    with pytest.raises(AssetError, match=f"frbench-download {KEY} fetches them"):
        load_recogniser(f"frbench:{KEY}")
    assert sorted(cache.rglob("*")) == before


@pytest.mark.skipif(not HERE, reason="the extra frbench is not installed")
def test_a_network_in_the_format_of_its_downloads(
    cache: Path, demo_photo: Callable[[str], Path]
) -> None:
    import torch
    import yaml
    from frbench.backbones import build_backbone

    torch.manual_seed(1)
    made = build_backbone("mobilenet-wd4", {"num_features": 32}, torch.device("cpu")).eval()
    folder = cache / "made"
    folder.mkdir(parents=True)
    torch.save(made.state_dict(), folder / "weight.pth")
    config = {
        "backbone": {"name": "mobilenet-wd4", "kwargs": {"num_features": 32}},
        "input": {"size": [112, 112], "mean": [0.5] * 3, "var": [0.25] * 3, "channel": "bgr"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    contents = {"config": "config.yaml", "weight": "weight.pth"}
    manifest = {
        KEY: {"target_name": "made", "contents": contents},
        "retinaface_mobilenetv1": {"target_name": "none", "contents": {}},
    }
    (cache / "manifest.json").write_text(json.dumps(manifest))

    recogniser = load_recogniser(f"frbench:{KEY}")
    assert (recogniser.name, recogniser.dimension) == (f"frbench:{KEY}", 32)
    detector = load_retinaface(str(demo_photo("retinaface.pb")))
    pixels = codecs.decode(demo_photo("obama.jpg").read_bytes(), 10**8).pixels
    photos = [
        SeenPhoto(image, detector, DetectorParameters())
        for image in (pixels, np.full((200, 200, 3), 90, np.uint8))
    ]
    crop, none = (recogniser.align(photo) for photo in photos)
    assert none is None
    assert crop is not None and photos[0].largest is not None
    usual = crop_face(pixels, face_to_crop(photos[0].largest.landmarks))
    assert np.array_equal(crop, usual)  # FRBench's own template is ArcFace's

    levels = (crop[..., ::-1].transpose(2, 0, 1).astype(np.float32) / 255 - 0.5) / 0.25
    with torch.no_grad():
        views = torch.from_numpy(np.stack([levels, levels[..., ::-1]]))
        expected = made(views).mean(dim=0).numpy()
    found = recogniser.embed(np.repeat(crop[np.newaxis], 17, axis=0))
    assert found.shape == (17, 32)
    assert found == pytest.approx(np.tile(expected, (17, 1)), abs=1e-4)
    assert recogniser.distance(found[:1], found[1:2]) == pytest.approx(0, abs=1e-6)
