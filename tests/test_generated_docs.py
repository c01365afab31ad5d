"""The pages that `make docs` writes say what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from docs import generate
from photoveil.pipeline.library import columns

ROOT = Path(__file__).parents[1]
NOTICES = (ROOT / "THIRD-PARTY-NOTICES.md").read_text("utf-8")


def test_the_page_of_settings_is_up_to_date() -> None:
    written = (ROOT / "docs/settings.md").read_text("utf-8")
    assert written == generate.settings_page(), "run `make docs`"


def test_every_setting_has_a_meaning_and_a_default() -> None:
    rows = re.findall(r"^\| (`.+?`) \|(.*)\|$", generate.settings_page(), re.MULTILINE)
    assert len(rows) > 40
    for name, cells in rows:
        assert all(cell.strip() for cell in re.split(r"(?<!\\)\|", cells)), name


def test_the_columns_of_the_manifest_are_up_to_date() -> None:
    assert generate.manifest_table() in (ROOT / "docs/manifest.md").read_text("utf-8"), (
        "run `make docs`"
    )


def test_every_column_of_the_manifest_has_a_meaning_and_no_other() -> None:
    assert list(columns.MEANINGS) == [name for name, _ in generate.manifest_columns()]


def test_the_notices_of_models_are_up_to_date() -> None:
    assert generate.model_notices() in NOTICES, "run `make docs`"


@pytest.mark.parametrize(
    "dependency", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
)
def test_the_notices_name_every_dependency(dependency: str) -> None:
    assert f"\n| {Requirement(dependency).name} |" in NOTICES, "run `make docs`"
