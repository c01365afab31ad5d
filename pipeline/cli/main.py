"""The `photoveil` command. Each of its commands is in a module of its own.

Help must appear at once. So these modules import at their top only what loads quickly; pyarrow,
pydantic, NumPy, Pillow, Beam and TensorFlow are imported within the functions that need them.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Annotated, NoReturn

import typer

from photoveil.pipeline.cli.arguments import InAndOut
from photoveil.pipeline.cli.assets import assets
from photoveil.pipeline.cli.demo import demo
from photoveil.pipeline.cli.evaluate import evaluate
from photoveil.pipeline.cli.examples import epilog
from photoveil.pipeline.cli.exit_codes import ExitCode
from photoveil.pipeline.cli.forget import forget
from photoveil.pipeline.cli.people import people
from photoveil.pipeline.cli.plan import plan
from photoveil.pipeline.cli.report import report
from photoveil.pipeline.cli.restore import restore
from photoveil.pipeline.cli.run import run
from photoveil.pipeline.cli.scan import scan
from photoveil.pipeline.cli.schedule import schedule
from photoveil.pipeline.cli.states import states
from photoveil.pipeline.cli.status import status
from photoveil.pipeline.cli.undo import redo, undo
from photoveil.pipeline.cli.verify import verify

app = typer.Typer(
    name="photoveil",
    help="Cloak a photo archive against facial recognition.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"photoveil {version('photoveil')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    if sys.platform == "win32":  # limits of a photo's time and memory, and locks, are POSIX's
        print("Photoveil runs on Linux and macOS; on Windows, use it in WSL 2 or in a container")
        raise typer.Exit(ExitCode.STOPPED)


# In the order of the help.
for command in (
    run,
    plan,
    scan,
    evaluate,
    report,
    undo,
    redo,
    status,
    restore,
    verify,
    people,
    schedule,
    forget,
    states,
    assets,
    demo,
):
    kind = InAndOut if command in (run, plan, scan) else None
    app.command(cls=kind, epilog=epilog(command.__name__))(command)


def main() -> NoReturn:
    """Run the `photoveil` command and end the process."""
    try:
        app()
    except SystemExit as ending:
        if isinstance(ending.code, int):
            _end(ending.code)
        _end(ExitCode.DONE if ending.code is None else ExitCode.STOPPED)
    _end(ExitCode.DONE)


def _end(code: int) -> NoReturn:
    """End the process without the shutdown code of the libraries.

    Everything is written by now. Threads of TensorFlow and Arrow that still ran while C++ destroyed
    what they used have ended a finished run by SIGABRT, with that as its exit code.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
