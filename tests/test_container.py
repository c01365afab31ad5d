"""The container and the compose example: what they start is a command, and mounts fit the image."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from tests.test_docs import COMMANDS, ROOT

CONTAINERFILE = (ROOT / "Containerfile").read_text("utf-8")
VOLUMES = {"/photos", "/cloaked", "/state"}
COMPOSE = yaml.safe_load((ROOT / "configs" / "compose.yaml").read_text("utf-8"))


def instruction(name: str) -> list[str]:
    """The last instruction of that name in JSON form."""
    return json.loads(re.findall(rf"^{name} (\[.*\])$", CONTAINERFILE, re.MULTILINE)[-1])


def check(words: list[str]) -> dict[str, Any]:
    """Parse the arguments of `photoveil`; its own parser ends the test where they are wrong."""
    name, *arguments = words
    return COMMANDS[name].make_context(name, arguments).params


def test_the_image_runs_a_command_over_its_volumes() -> None:
    assert instruction("ENTRYPOINT") == ["photoveil"]
    parsed = check(instruction("CMD"))
    assert (list(map(str, parsed["source"])), str(parsed["output"])) == (["/photos"], "/cloaked")
    assert set(instruction("VOLUME")) == VOLUMES
    assert "XDG_STATE_HOME=/state" in CONTAINERFILE
    assert re.findall(r"^USER (\w+)$", CONTAINERFILE, re.MULTILINE)[-1] != "root"


def test_the_base_is_a_public_image_unless_it_is_named() -> None:
    (base,) = re.findall(r"^ARG BASE=(\S+)$", CONTAINERFILE, re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python:3\.1[1-3]-slim", base)
    assert re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE) == ["${BASE}"] * 2


def test_the_compose_example_mounts_the_volumes_and_cannot_write_to_the_photos() -> None:
    (service,) = COMPOSE["services"].values()
    mounts = [mount.split(":") for mount in service["volumes"]]
    assert {inside for _, inside, *_ in mounts} == VOLUMES
    assert {inside: mode for _, inside, *mode in mounts}["/photos"] == ["ro"]
    assert len({outside for outside, *_ in mounts}) == len(VOLUMES)
    assert all(Path(outside).is_absolute() for outside, *_ in mounts)
    assert (service["network_mode"], service["read_only"]) == ("none", True)
    parsed = check(service["command"])
    assert (list(map(str, parsed["source"])), str(parsed["output"])) == (["/photos"], "/cloaked")


def test_the_guide_mounts_the_same_volumes() -> None:
    page = re.sub(r"\\\n\s*", " ", (ROOT / "docs" / "install.md").read_text("utf-8"))
    (line,) = re.findall(r"^    podman run (.*)$", page, re.MULTILINE)
    words = shlex.split(line)
    mounted = [words[at + 1].split(":")[1] for at, word in enumerate(words) if word == "--volume"]
    assert set(mounted) == VOLUMES
