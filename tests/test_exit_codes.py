"""The errors that a user can do something about become a message and an exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from photoveil.pipeline.cli.ask import NoAnswer
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.exit_codes import ExitCode
from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.settings import SettingsError
from photoveil.transforms.io.assets import AssetError
from photoveil.transforms.recognisers import MissingPackage


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (LibraryError("the [disk] is away"), ExitCode.BAD_INPUT, "the [disk] is away"),
        (SettingsError("no such [setting]"), ExitCode.BAD_INPUT, "no such [setting]"),
        (NoAnswer("nobody is here"), ExitCode.BAD_INPUT, "nobody is here"),
        (AssetError("no source has the model"), ExitCode.STOPPED, "no source has the model"),
        (MissingPackage("dlib is not installed"), ExitCode.STOPPED, "dlib is not installed"),
        (PermissionError(13, "Permission denied", "a"), ExitCode.STOPPED, "a: no permission"),
        (FileNotFoundError(2, "No such file", "b"), ExitCode.STOPPED, "b: No such file"),
        (OSError("the system has no words"), ExitCode.STOPPED, "the system has no words"),
    ],
)
def test_an_error_is_told_on_stderr_and_gives_its_code(
    error: Exception, code: ExitCode, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ending, errors_as_exit_codes():
        raise error
    assert ending.value.exit_code == code
    assert capsys.readouterr() == ("", f"photoveil: {said}\n")


@pytest.mark.parametrize(
    "error",
    [ValueError("a fault"), RuntimeError("a fault"), typer.Exit(7), typer.BadParameter("x")],
)
def test_any_other_error_passes_through(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)) as raised, errors_as_exit_codes():
        raise error
    assert raised.value is error
    assert capsys.readouterr() == ("", "")


def test_ctrl_c_ends_the_process_though_threads_are_at_work() -> None:
    script = """
import threading, time
from photoveil.pipeline.cli.errors import errors_as_exit_codes
threading.Thread(target=time.sleep, args=(60,)).start()
with errors_as_exit_codes("Stopped. What is done is kept."):
    raise KeyboardInterrupt
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 130
    assert (done.stdout, done.stderr) == ("", "Stopped. What is done is kept.\n")


def test_the_numbers_are_what_the_help_and_scripts_say() -> None:
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 130]
