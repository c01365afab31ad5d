"""What every command has in common: examples, JSON, quiet runs, logs, tables, colours."""

from __future__ import annotations

import io
import json
import os
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from photoveil.pipeline.cli import demo, main
from photoveil.pipeline.cli.examples import EXAMPLES
from photoveil.pipeline.library.library import locked
from tests.archives import Archive
from tests.commands import hashes, invoked

COMMANDS = typer.main.get_command(main.app).commands  # type: ignore[attr-defined]
QUICK = "cloak: {steps: 2, known_steps: 1, batch_size: 4, surrogates: [mobilefacenet]}\n"
QUICK += "detector: {long_sides: [256], turned_levels: 0}\nrun: {first_wave: 64}\n"


def places(archive: Archive, *more: object) -> tuple[object, ...]:
    """The arguments of a command that works on an archive as its first run did."""
    config = archive.out.parent / "quick.yaml"
    config.write_text(QUICK)
    there = (archive.photos, archive.out, "--state", archive.state, "--config", config)
    return (*there, *more)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_examples_that_it_understands(command: str) -> None:
    code, said = invoked(command, "--help")
    assert code == 0 and "Examples" in said
    for typed, _ in EXAMPLES[command]:
        name, *arguments = shlex.split(typed)
        assert name == command
        COMMANDS[command].make_context(command, arguments)  # refuses what it does not know


@pytest.mark.parametrize("command", ["run", "plan", "scan", "schedule"])
@pytest.mark.parametrize(
    ("given", "missing"), [((), "IN"), (("photos",), "OUT"), (("--config", "a.yaml", "b"), "OUT")]
)
def test_a_folder_that_is_not_given_is_named(
    command: str, given: tuple[str, ...], missing: str
) -> None:
    code, said = invoked(command, *given)
    assert code == 2 and f"Missing argument '{missing}'" in said


def test_there_are_examples_of_commands_that_exist_alone() -> None:
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    code, said = invoked("--show-completion", shell)
    assert code == 0 and "photoveil" in said.lower()


def as_json(*arguments: object) -> dict[str, Any]:
    """What a command prints with `--json`, which has to be all that it prints."""
    code, said = invoked(*arguments, "--json")
    assert code in (0, 3), said
    return json.loads(said)


def test_what_a_command_finds_is_there_for_programs(archive: Archive) -> None:
    state, rows = ("--state", archive.state), archive.rows()
    status = as_json("status", archive.out, *state)
    assert sum(status["statuses"].values()) == len(rows)
    assert {one["source"] for one in status["failed"]} == {
        source for source, row in rows.items() if row["status"] == "failed"
    }
    assert as_json("verify", archive.out, *state)["findings"] == []
    people = as_json("people", archive.out, *state)["people"]
    assert sum(one["photos"] for one in people) and len(people) == status["people"]
    plan = as_json("plan", *places(archive))
    assert plan["to_do"] == 0 and plan["done"] + plan["failed"] + plan["left_out"] == len(rows)
    lost = next(row["output"] for row in rows.values() if row["status"] == "cloaked")
    (archive.out / lost).unlink()
    assert as_json("verify", archive.out, *state)["findings"][0]["file"] == lost
    assert as_json("plan", *places(archive))["why"] == {"output lost or cut": 1}


def test_a_dry_run_is_a_plan_and_writes_nothing(archive: Archive) -> None:
    arguments = places(archive)
    next(iter(archive.photos.rglob("*.jpg"))).rename(archive.photos / "moved.jpg")
    before = hashes(archive.out.parent)
    code, said = invoked("run", *arguments, "--dry-run")
    assert code == 0 and said == invoked("plan", *arguments)[1]
    assert hashes(archive.out.parent) == before


def test_a_dry_run_makes_no_folder(archive: Archive, tmp_path: Path) -> None:
    out = tmp_path / "new"
    code, _ = invoked("run", archive.photos, out, "--state", tmp_path / "other", "--dry-run")
    assert code == 0
    assert not out.exists() and not (tmp_path / "other").exists()


def test_a_quiet_run_says_only_what_failed(archive: Archive) -> None:
    code, said = invoked("run", *places(archive, "--quiet"))
    failed = [source for source, row in archive.rows().items() if row["status"] == "failed"]
    assert (code == 3) == bool(failed)
    assert all(source in said for source in failed)
    assert "Plan" not in said and "Nothing new" not in said


def test_a_log_is_added_to_and_is_its_owners_alone(archive: Archive, tmp_path: Path) -> None:
    log = tmp_path / "nightly.log"
    for _ in range(2):
        invoked("run", *places(archive, "--quiet", "--log", log))
    text = log.read_text("utf-8")
    assert text.startswith("Photoveil log\n") and text.count("Nothing new.") == 2
    assert stat.S_IMODE(os.stat(log).st_mode) == 0o600
    letter = tmp_path / "letter.txt"
    letter.write_text("mine")
    for place in (letter, archive.out / "run.log", archive.photos / "run.log"):
        code, said = invoked("run", *places(archive, "--log", place))
        assert code == 2 and str(place.name) in said
    assert letter.read_text() == "mine"


def test_a_log_is_begun_in_a_new_folder(archive: Archive, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "photos" / "nightly.log"
    invoked("run", *places(archive, "--quiet", "--log", log))
    assert "Nothing new." in log.read_text("utf-8")


def test_an_error_names_the_file_and_says_what_is_wrong_with_it(
    archive: Archive, tmp_path: Path
) -> None:
    letter, given = tmp_path / "letter", (archive.out, "--state", archive.state)
    letter.write_text("mine")
    for arguments, words in (
        (("report", *given, "--to", letter), f"{letter} is a file; give a folder"),
        (
            ("report", *given, "--evaluation", "nothing.json"),
            "nothing.json cannot be read:",
        ),
        (("status", tmp_path), f"{tmp_path} is no library of cloaked photos; give the folder"),
        (("run", *places(archive, "--log", letter / "log")), f"{letter}: "),
    ):
        code, said = invoked(*arguments)
        assert code in (1, 2) and words in said, said
        assert "Errno" not in said
    with locked(archive.library):
        code, said = invoked("run", *places(archive))
    assert code == 2 and f"another run is writing to {archive.out}; wait" in said


@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_table_cuts_no_name_of_a_file(archive: Archive, width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(demo._table(archive.library))
    lines = [line for line in console.export_text().splitlines() if line.startswith("│")]
    first = "".join(line.split("│")[1].strip() for line in lines)
    assert first == "".join(sorted(archive.rows()))
    assert "…" not in first


@pytest.mark.parametrize("command", ["status", "people"])
def test_without_colours_there_is_no_escape_sequence(
    archive: Archive, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    _, said = invoked(command, archive.out, "--state", archive.state)
    assert "\x1b[3" not in said and "\x1b[4" not in said
