"""The documentation names files, make targets, commands and options that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from photoveil.pipeline.cli import main
from photoveil.pipeline.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

FOLDERS = "benchmarks|configs|docs|pipeline|tests|transforms"
COMMANDS = typer.main.get_command(main.app).commands  # type: ignore[attr-defined]


def code(page: Path) -> list[str]:
    """What a page sets in code: spans in backquotes and indented or fenced lines."""
    text = re.sub(r"\\\n\s*", " ", page.read_text("utf-8"))
    fences = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^    +(\S.*)$", text, re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", text)
    return [*(" ".join(span.split()) for span in spans), *lines, *"".join(fences).splitlines()]


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_pages_name_files_that_exist(page: Path) -> None:
    text = " ".join(code(page))
    named = set(re.findall(rf"(?<![\w/.-])((?:{FOLDERS})/[\w./*-]*\w)", text))
    missing = [path for path in sorted(named) if not list(ROOT.glob(path.split("::")[0]))]
    assert missing == []


def test_pages_name_modules_that_exist(page: Path) -> None:
    text = " ".join(code(page))
    named = set(
        re.findall(rf"(?<![\w/.-])(?:photoveil\.)?((?:{FOLDERS})(?:\.\w+)+)(?![\w/(])", text)
    )
    for dotted in sorted(named):
        folder, _, name = dotted.replace(".", "/").rpartition("/")
        whole = ROOT / dotted.replace(".", "/")
        is_module = whole.is_dir() or whole.with_suffix(".py").is_file()
        assert is_module or defines((ROOT / folder).with_suffix(".py"), name), dotted


def defines(file: Path, name: str) -> bool:
    """True if a file has a function, class or constant of that name."""
    pattern = rf"^(?:def |class )?{name}\b"
    return file.is_file() and bool(re.search(pattern, file.read_text("utf-8"), re.MULTILINE))


def test_links_lead_to_pages_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", to.read_text("utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, target


def test_pages_name_make_targets_that_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {m for span in code(page) for m in re.findall(r"^make ([a-z][\w-]*)", span)}
    assert named <= targets


def test_pages_name_commands_and_options_that_exist(page: Path) -> None:
    for span in code(page):
        told = re.findall(r"(?<![\w/-])photoveil ([a-z]+)\b([^|`#]*)", span)
        told += re.findall(rf"^({'|'.join(COMMANDS)}) (--[^|`#]*)", span)
        for command, rest in told:
            assert command in COMMANDS, span
            there = {name for option in COMMANDS[command].params for name in option.opts}
            assert set(re.findall(r"(?<![\w-])--[a-z-]+", rest)) <= there, span


def test_options_in_the_tables_of_pages_exist(page: Path) -> None:
    options = {name for command in COMMANDS.values() for one in command.params for name in one.opts}
    rows = re.findall(r"^\| (`--.+?) \|", page.read_text("utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"(?<![\w-])--[a-z-]+", row)}
    assert named <= options


def test_pages_name_settings_that_exist(page: Path) -> None:
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    named = re.findall(rf"`({'|'.join(sections)})\.(\w+)", page.read_text("utf-8"))
    for section, name in named:
        if name in ("csv", "json"):  # files of labels and of Takeout's albums
            continue
        known = getattr(sections[section], "model_fields", None) or getattr(
            sections[section], "__dataclass_fields__", {}
        )
        assert name in known, f"{section}.{name}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    linked = set(re.findall(r"\]\(((?:guides/)?[\w-]+\.md)\)", index))
    docs = ROOT / "docs"
    pages = {str(page.relative_to(docs)) for page in PAGES if page.is_relative_to(docs)}
    assert linked == pages - {"README.md"}
