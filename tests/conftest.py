"""Photos that the tests share: the pinned demo photos, and labelled data where a machine has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from transforms import assets

DATA_ENV = "PHOTOVEIL_DATA"


@pytest.fixture(scope="session")
def demo_photo() -> Callable[[str], Path]:
    """Path of a pinned demo photo, by its name in `configs/assets.yaml` ("obama.jpg")."""
    return assets.fetch


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of labelled data, `$PHOTOVEIL_DATA` or `../shared/data` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get(DATA_ENV, beside))
    if not folder.is_dir():
        pytest.skip(f"no labelled data: set {DATA_ENV} to its folder")
    return folder


@pytest.fixture(scope="session")
def people_data(shared_data: Path) -> Path:
    """Photos of known people; `people.csv` says whose."""
    return _part(shared_data, "people")


@pytest.fixture(scope="session")
def exif_data(shared_data: Path) -> Path:
    """Photos with real camera metadata, damaged ones too."""
    return _part(shared_data, "exif")


def _part(data: Path, name: str) -> Path:
    if not (data / name).is_dir():
        pytest.skip(f"no {name} folder in the labelled data ({DATA_ENV})")
    return data / name
