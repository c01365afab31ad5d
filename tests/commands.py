"""Run the installed command, as a user does, and look at the files it leaves."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from photoveil.pipeline.cli import main


def photoveil(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The `photoveil` command in a process of its own, its output captured."""
    return subprocess.run(
        [Path(sys.executable).with_name("photoveil"), *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env={**os.environ, "COLUMNS": "200", **environment},
        timeout=400,
        check=False,
    )


def invoked(*arguments: object) -> tuple[int, str]:
    """Exit status and output of the command in this process, which has TensorFlow already."""
    done = CliRunner().invoke(main.app, [str(one) for one in arguments])
    return done.exit_code, done.output


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, by its path there."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
