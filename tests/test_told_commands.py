"""Every command that a page or a message tells is one that works."""

from __future__ import annotations

import ast
import itertools
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from packaging.requirements import InvalidRequirement, Requirement
from PIL import Image

from docs.picture import PICTURE
from docs.picture import draw as picture_of
from photoveil.pipeline.cli import main
from photoveil.pipeline.library.identity import read_identity
from photoveil.transforms.io import assets
from tests.commands import invoked
from tests.support import told as run_lines
from tests.support.exports import jpeg
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


# In this order; the last one ends with what deletes states.
RUN_PAGES = ("README.md", "docs/report.md", "docs/formats.md", "docs/archive.md")
ELSEWHERE = {
    "photoveil run IN OUT$": "test_the_commands_of_pages_work",
    "photoveil demo": "test_the_demo_shows_what_it_did",
    "photoveil schedule .* --install": "tests/test_schedule.py",
    "photoveil assets": "tests/test_assets.py",
    ".* gs://": "tests/test_cloud.py",
    ".* --runner ": "tests/test_runners.py",
}
"""Commands of pages that another test runs."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a few public photos in `Pictures`."""
    monkeypatch.setenv(assets.CACHE_ENV, str(assets.cache_folder()))  # models, of the real user
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("BROWSER", "true")  # where there is one, none is opened
    for name, asset in {
        "2012/portrait.jpg": "obama.jpg",
        "2012/speech.jpg": "obama2.jpg",
        "2019/IMG_1.jpg": "obama3.jpg",
        "2020/joe.jpg": "biden.jpg",
        "2020/cat.jpg": "chelsea.png",
    }.items():
        path = tmp_path / "Pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(asset))
    (tmp_path / "Downloads").mkdir()
    (tmp_path / "quick.yaml").write_text(run_lines.QUICK)
    return tmp_path


def test_the_commands_of_pages_work(home: Path) -> None:
    pictures, cloaked, state = home / "Pictures", home / "Pictures-cloaked", home / "state"
    config = home / "quick.yaml"

    def states() -> list[str]:
        folder = state / "photoveil/libraries"
        return [path.name for path in folder.iterdir()] if folder.exists() else []

    def meant(line: str) -> str:
        line = re.sub(r"\bIN\b", str(pictures), line)
        line = re.sub(r"\bOUT\b", str(cloaked), line)
        if "p1a2b3c" in line:
            everyone = json.loads(invoked("people", cloaked, "--json")[1])["people"]
            line = line.replace("p1a2b3c", everyone[0]["id"])
        return re.sub(r"\bID\b", "".join(states()), line)

    for page in RUN_PAGES:
        for line in run_lines.lines(ROOT / page):
            if any(re.match(other, line) for other in ELSEWHERE):
                continue
            if "--review" in line:
                marks = {"format": 1, "library": library_id(cloaked), "photos": {}}
                (home / "Downloads/photoveil-review.json").write_text(json.dumps(marks))
            deletes = re.match("photoveil (forget|states --delete)", line)
            if deletes:
                shutil.copytree(home, home.with_name("before"), dirs_exist_ok=True)
            code, said = run_lines.run(line, config, meant)
            assert code == 0, (page, line, said)
            if deletes:
                assert states() == []
                shutil.rmtree(home)
                home.with_name("before").rename(home)
    assert {path.name for path in cloaked.iterdir()} == {"2012", "2019", "2020", "_photoveil"}


def library_id(root: Path) -> str:
    identity = read_identity(str(root))
    assert identity is not None
    return identity.id


def test_every_command_of_a_page_is_run() -> None:
    run = {line for page in RUN_PAGES for line in run_lines.lines(ROOT / page)}
    for page in PAGES:
        if page.parent.name == "guides":  # tests/test_guides.py
            continue
        for line in run_lines.lines(page):
            assert line in run or any(re.match(other, line) for other in ELSEWHERE), (page, line)
    for place in ELSEWHERE.values():
        assert place in globals() or (ROOT / place).is_file()


@pytest.mark.slow
def test_the_demo_shows_what_it_did(tmp_path: Path) -> None:
    code, said = invoked("demo", tmp_path / "demo")
    assert code == 0 and "Before, after, difference x 10" in said
    with Image.open(tmp_path / "demo/before-after.png") as picture:
        assert picture.size == (1440, 504)
    drawn = picture_of(tmp_path / "demo")
    with Image.open(PICTURE) as kept:
        assert drawn.size == kept.size
