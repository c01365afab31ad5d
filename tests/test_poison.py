"""A photo that makes any stage raise is a failed row, and costs no other photo anything."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.beam.isolate_errors import ErrorIsolatingHandler
from photoveil.transforms.cloak import handler as cloak_handler
from photoveil.transforms.cloak import measure
from photoveil.transforms.duplicates.perceptual_hash import NearDuplicateParameters
from photoveil.transforms.embedding import handler
from photoveil.transforms.embedding.surrogates import Surrogate, load_surrogate
from photoveil.transforms.faces.align import crop_face
from photoveil.transforms.faces.detect import detect_faces
from photoveil.transforms.io import assets
from photoveil.transforms.photo import codec_process, scan
from photoveil.transforms.photo import find_faces as detector
from tests.archives import QUICK, Archive, photos_of

STAGES = {
    "read": "reading failed: ",
    "detect": "finding faces failed: ",
    "align": "aligning faces failed: ",
    "embed": "embedding faces failed: ",
    "cloak": "cloaking failed: ",
    "publish": "writing failed: ",
    "measure": "measuring failed: ",
}
WIDTHS = {name: 300 + number for number, name in enumerate(STAGES)}
# What reaches a model are crops: they are told by a colour that the photo lacks.
LACKS = {"embed": 0, "cloak": 1, "measure": 2}


def make_photos(folder: Path) -> None:
    folder.mkdir()
    with Image.open(assets.fetch("obama.jpg")) as image:
        width, height = image.size
        for name in (*STAGES, "good"):
            wide = WIDTHS.get(name, 320)
            pixels = np.array(image.convert("RGB").resize((wide, round(wide * height / width))))
            if name in LACKS:
                pixels[..., LACKS[name]] = 0
            Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "measure_copy.png").write_bytes((folder / "measure.png").read_bytes())


def poisoned(stage: str, work: Callable[..., Any], seen: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but for the photo of this stage, which makes it raise."""

    def poison(*args: Any, **kwargs: Any) -> Any:
        if is_of(stage, seen(*args)):
            raise KeyError(stage)
        return work(*args, **kwargs)

    return poison


def is_of(stage: str, pixels: np.ndarray) -> bool:
    if pixels.ndim == 3:
        return pixels.shape[1] == WIDTHS[stage]
    return any(crop[..., LACKS[stage]].max() == 0 for crop in pixels)


def poison_all(patch: pytest.MonkeyPatch) -> None:
    def first(pixels: np.ndarray, *_: Any) -> np.ndarray:
        return pixels

    def of_data(data: bytes, *_: Any) -> np.ndarray:
        return codecs.decode(data, 10**9).pixels

    patch.setattr(codec_process, "decode", poisoned("read", codec_process.decode, of_data))
    patch.setattr(codec_process, "encode", poisoned("publish", codec_process.encode, of_data))
    patch.setattr(detector, "detect_faces", poisoned("detect", detect_faces, first))
    patch.setattr(scan, "crop_face", poisoned("align", crop_face, first))
    embedder = handler.load_embedder()
    patch.setattr(handler, "load_embedder", lambda: poisoned("embed", embedder, first))
    optimizer = cloak_handler.load_optimizer(QUICK.cloak)
    patch.setattr(optimizer, "cloak", poisoned("cloak", optimizer.cloak, first))
    measured = measure.load_measure(QUICK.cloak.recognisers, QUICK.cloak.batch_size)
    patch.setattr(measured, "compare", poisoned("measure", measured.compare, first))


def test_a_photo_that_makes_a_stage_raise_is_a_failed_row_and_not_tried_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = NearDuplicateParameters(policy="off")  # one picture in many forms
    archive = Archive(tmp_path, QUICK.model_copy(update={"near_duplicates": off}))
    make_photos(archive.photos)
    with monkeypatch.context() as patch:
        poison_all(patch)
        archive.run()
        rows = archive.rows()
        for stage, reason in STAGES.items():
            row = rows[f"{stage}.png"]
            assert row["status"] == "failed" and row["output"] is None, stage
            assert row["reason"] == f"{reason}unexpected error (--verbose shows it)"
        assert rows["measure_copy.png"]["status"] == "failed"
        assert rows["good.png"]["status"] == "cloaked"
        assert list(photos_of(archive)) == ["good.png"]
        assert archive.plan().refs == []
    for name in ("measure.png", "measure_copy.png"):
        (archive.photos / name).touch()  # what is new is tried again
    archive.run()
    rows = archive.rows()
    assert rows["measure.png"]["status"] == "cloaked"
    assert rows["measure_copy.png"]["status"] == "duplicate"
    assert rows["cloak.png"]["status"] == "failed"


def test_what_may_pass_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(photo: Any, *_: Any, **__: Any) -> Any:
        raise OSError(5, "input/output error")

    archive = Archive(tmp_path)
    archive.photos.mkdir()
    Image.new("RGB", (64, 48), "red").save(archive.photos / "red.png")
    with monkeypatch.context() as patch:
        patch.setattr(detector, "detect_faces", fail)
        archive.run()
        assert archive.rows()["red.png"]["retry"]
    archive.run()
    assert archive.rows()["red.png"]["status"] == "no_face"


def test_the_threads_of_a_process_share_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step loads its model, and a worker has many threads that start at once."""
    loaded = []

    def load(name: str) -> Surrogate:
        loaded.append(name)
        return load_surrogate(name)

    monkeypatch.setattr(handler, "load_surrogate", load)
    monkeypatch.setattr(handler, "load_embedder", cache(handler.load_embedder.__wrapped__))
    steps: list[ErrorIsolatingHandler[Any, Any]] = [
        ErrorIsolatingHandler(handler.EmbedHandler(), "embedding") for _ in range(8)
    ]
    with ThreadPoolExecutor(len(steps)) as threads:
        models = set(threads.map(lambda step: step.load_model(), steps))
    assert len(models) == len(loaded) == 1
