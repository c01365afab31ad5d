"""Every command that a page or a message tells is one that works."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from packaging.requirements import InvalidRequirement, Requirement

from photoveil.pipeline.cli import main
from tests.commands import invoked
from tests.test_docs import PAGES, ROOT, code

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SOURCES = sorted(
    path
    for folder in ("pipeline", "transforms", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
COMMANDS = typer.main.get_command(main.app).commands  # type: ignore[attr-defined]
PROSE = re.compile(r"[A-Za-z][a-z]*|[A-Z]+")


def strings(source: Path) -> Iterator[str]:
    """The texts of a module, with a word in place of each value that is put into them."""
    tree = ast.parse(source.read_text("utf-8"))
    parts: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= set(node.values)
            yield "".join(
                str(value.value) if isinstance(value, ast.Constant) else "VALUE"
                for value in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            yield node.value


def told(path: Path) -> list[str]:
    """What a page sets in code, or the texts of a module without their line breaks."""
    if path.suffix == ".md":
        return code(path)
    if path.suffix == ".py":
        return [line for text in strings(path) for line in (" ".join(text.split()), text)]
    return path.read_text("utf-8").splitlines()


@cache
def everywhere() -> list[str]:
    return [text for path in (*PAGES, *SOURCES, ROOT / "Makefile") for text in told(path)]


def test_photoveil_has_the_command_and_its_options() -> None:
    for text in everywhere():
        spans = re.findall(r"`(photoveil [^`]+)`", text) or re.findall(
            r"(?:^|: |/|\()(photoveil [a-z][^`|#)]*)", text
        )
        for span in spans:
            _, command, *rest = span.split()
            if not re.fullmatch("[a-z]+", command):
                continue
            assert command in COMMANDS, span
            there = {name for option in COMMANDS[command].params for name in option.opts}
            named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(rest)))
            assert named <= there | {"--help"}, span


def test_options_that_a_message_names_alone_exist() -> None:
    options = {name for command in COMMANDS.values() for one in command.params for name in one.opts}
    sources = [path for path in SOURCES if "benchmarks" not in path.parts]
    named = {
        name
        for source in sources
        for text in told(source)
        for name in re.findall(r"\((--[a-z-]+)\)", text)
    }
    assert "--state" in named
    assert named <= options


def test_installed_packages_are_those_of_the_project() -> None:
    extras = PROJECT["optional-dependencies"]
    known = itertools.chain(PROJECT["dependencies"], *extras.values())
    names = {Requirement(line).name for line in known} | {"pip"}
    for text in everywhere():
        for rest in re.findall(r"(?:pip install|pipx inject photoveil)\b([^`|#;&$]*)", text):
            for word in shlex.split(rest, posix=True):
                # Photoveil is in no index: only its folder or its wheel can be installed.
                local = re.fullmatch(r"\S*?(?:\.|photoveil-\S+\.whl)(?:\[([\w,-]+)\])?", word)
                if local:
                    assert set((local[1] or "").split(",")) <= {"", *extras}, text
                elif not word.startswith("-") and not PROSE.fullmatch(word):
                    assert name_of(word) in names, text


def name_of(word: str) -> str | None:
    try:
        return Requirement(word).name
    except InvalidRequirement:
        return None


def test_modules_that_python_is_to_run_exist() -> None:
    for text in everywhere():
        for module in re.findall(r"python\d?(?:\.\d+)? -m ([\w.]+)", text):
            assert find_spec(module) is not None, text


def test_make_has_the_target() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for text in everywhere():
        for target in re.findall(r"`make ([a-z][\w-]*)", text):
            assert target in targets, text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_help(command: str) -> None:
    exit_status, said = invoked(command, "--help")
    assert exit_status == 0 and "Usage:" in said
