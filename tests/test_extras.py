"""What is told to install an optional package fits the environment and pyproject.toml."""

from __future__ import annotations

import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from photoveil.transforms import extras
from photoveil.transforms.io import object_store, storage

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
FOR_USERS = sorted(EXTRAS.keys() - {"dev"})


@pytest.mark.parametrize("extra", FOR_USERS)
def test_the_packages_of_an_extra_are_named(extra: str) -> None:
    told = {str(Requirement(line)) for line in extras.requirements(extra)}
    assert told == {str(Requirement(line)) for line in EXTRAS[extra]} != set()


def test_pip_of_this_environment_is_told() -> None:
    words = shlex.split(extras.install_command("heif"))
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    assert [Requirement(word).name for word in words[4:]] == ["pillow-heif"]


def test_pipx_is_told_where_it_made_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "photoveil"
    environment.mkdir()
    (environment / "pipx_metadata.json").write_text("{}")
    monkeypatch.setattr(sys, "prefix", str(environment))
    assert shlex.split(extras.install_command("heif"))[:3] == ["pipx", "inject", "photoveil"]


def test_uv_is_told_where_there_is_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    words = shlex.split(extras.install_command("heif"))
    assert words[:5] == ["uv", "pip", "install", "--python", sys.executable]


def test_a_bucket_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)  # as if it were not installed
    object_store._s3.cache_clear()
    with pytest.raises(OSError, match=r"s3:// needs more packages: .*boto3") as raised:
        storage.exists("s3://bucket/photo.jpg")
    assert extras.install_command("aws") in str(raised.value)
