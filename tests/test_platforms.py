"""What differs by operating system; nothing is faked but its name."""

from __future__ import annotations

import re
import resource
import sys
import tomllib

import pytest

from photoveil.transforms.photo import codec_process
from tests.commands import invoked
from tests.test_docs import ROOT


def test_windows_is_told_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    code, said = invoked("states")
    assert code == 1
    assert "Linux and macOS" in said and "WSL 2" in said


@pytest.mark.parametrize(("platform", "is_limited"), [("linux", True), ("darwin", False)])
def test_memory_is_limited_where_the_system_can(
    monkeypatch: pytest.MonkeyPatch, platform: str, is_limited: bool
) -> None:
    if platform == "linux" != sys.platform:
        pytest.skip("Linux alone has /proc")
    before = resource.getrlimit(resource.RLIMIT_AS)
    monkeypatch.setattr(sys, "platform", platform)
    with codec_process._limited_memory(100):
        assert (resource.getrlimit(resource.RLIMIT_AS) != before) == is_limited
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_the_versions_of_python_are_those_that_pages_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    for page in ("README.md", "CONTRIBUTING.md", "docs/install.md"):
        text = (ROOT / page).read_text("utf-8")
        assert re.search(r"Python 3\.11, 3\.12(?: or|,) 3\.13", text), page
