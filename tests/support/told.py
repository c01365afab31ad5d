"""Run the commands that a page tells, as a shell would."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from glob import glob
from pathlib import Path

import typer
from typer.testing import CliRunner

from photoveil.pipeline.cli import main

COMMANDS = typer.main.get_command(main.app).commands  # type: ignore[attr-defined]
QUICK = (
    "cloak: {steps: 2, known_steps: 1, batch_size: 4, surrogates: [mobilefacenet]}\n"
    "detector: {long_sides: [256], turned_levels: 0}\nrun: {first_wave: 64}\n"
)


def lines(page: Path) -> list[str]:
    """The commands of Photoveil that a page sets in lines of their own, without what follows."""
    text = re.sub(r"\\\n\s*", " ", page.read_text("utf-8"))
    found = re.findall(r"^    +(photoveil \S.*)$", text, re.MULTILINE)
    return [re.split(r"\s{2,}", line)[0] for line in found]


def run(line: str, config: Path, meant: Callable[[str], str] = str) -> tuple[int, str]:
    """Exit status and output of such a line, at the quickest settings; questions are agreed to.

    Args:
        config: a file with `QUICK`, for commands that take settings.
        meant: gives what a placeholder of the page stands for.
    """
    name, *given = shlex.split(meant(line))[1:]
    words = [name, *(found for word in given for found in _expanded(word))]
    options = {option for one in COMMANDS[name].params for option in one.opts}
    if "--config" in options and "--config" not in words:
        words += ["--config", str(config)]
    if "--quick" in options:
        words.append("--quick")
    done = CliRunner().invoke(main.app, words, input="y\n")
    return done.exit_code, done.output


def _expanded(word: str) -> Iterator[str]:
    path = os.path.expanduser(word)
    yield from sorted(glob(path)) if "*" in path else [path]
