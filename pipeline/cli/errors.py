"""The one place where an error becomes a message and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import typer
from rich.console import Console

from photoveil.pipeline.cli.exit_codes import ExitCode


@contextlib.contextmanager
def errors_as_exit_codes(
    interrupted: str = "Stopped.", bad_input: ExitCode = ExitCode.BAD_INPUT
) -> Iterator[None]:
    """Turn the errors that a user can do something about into a message and an exit code.

    All other errors are faults of the program and pass through. Ctrl-C ends the process at once.

    Args:
        interrupted: message after Ctrl-C.
        bad_input: exit code for wrong settings and folders.

    Raises:
        typer.Exit: such an error was raised within the block; its message is on standard error.
    """
    errors = Console(stderr=True)
    try:
        yield
    except KeyboardInterrupt:
        errors.print(interrupted)
        sys.stderr.flush()
        # Worker threads are in the middle of a photo and cannot be joined.
        os._exit(ExitCode.INTERRUPTED)
    except Exception as error:
        code = _exit_code(error, bad_input)
        if code is None:
            raise
        errors.print(f"photoveil: {_words(error)}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(code) from error


def _words(error: Exception) -> str:
    """Return what to say of an error: of the system's own, which file, and why in plain words."""
    if isinstance(error, OSError) and error.filename is not None:
        from photoveil.transforms.io import storage

        return f"{storage.printable(os.fsdecode(error.filename))}: {storage.explain(error)}"
    return str(error)


def _exit_code(error: Exception, bad_input: ExitCode) -> ExitCode | None:
    """Return the exit code for an error; None for a fault of the program."""
    from photoveil.pipeline.cli.ask import NoAnswer
    from photoveil.pipeline.library.identity import LibraryError
    from photoveil.pipeline.settings import SettingsError
    from photoveil.transforms.io.assets import AssetError

    if isinstance(error, LibraryError | SettingsError | NoAnswer):
        return bad_input
    if isinstance(error, AssetError | OSError):
        return ExitCode.STOPPED
    return None
