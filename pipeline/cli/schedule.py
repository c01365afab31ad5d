"""`photoveil schedule`: a run every night, by systemd or launchd."""

from __future__ import annotations

import datetime as dt
import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.output import print_text
from photoveil.pipeline.library.identity import LibraryError
from photoveil.transforms.io import storage


class System(StrEnum):
    """What starts the run."""

    systemd = "systemd"
    launchd = "launchd"


NAME = "photoveil"
_AGENT = "org.photoveil.nightly"


@dataclass(frozen=True)
class Night:
    """When and how a run is made each night.

    start, deadline: by the machine's clock.
    threads: that a run may use at most; None for all.
    on_battery: True to run even while the machine is on battery.
    """

    start: dt.time
    deadline: dt.time
    threads: int | None = None
    on_battery: bool = False


def schedule(
    source: options.In,
    output: options.Out,
    start: Annotated[str, typer.Option(metavar="HH:MM", help="When the run starts.")] = "01:00",
    deadline: Annotated[
        str, typer.Option(metavar="HH:MM", help="When it has to be done for the day.")
    ] = "06:00",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Use no more cores than this, for a cooler machine.")
    ] = None,
    on_battery: Annotated[
        bool, typer.Option("--on-battery", help="Run even while the machine is on battery.")
    ] = False,
    system: Annotated[
        System | None, typer.Option(help="What starts it; by default that of this machine.")
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Write the files and start the timer.")
    ] = False,
    config: options.Config = None,
    state: options.State = None,
    verbose: options.Verbose = False,
) -> None:
    """Print what makes a nightly run of a systemd timer or a launchd agent, or install it.

    The run has the lowest priority, stops before the deadline, and continues the next night.
    """
    quiet_logs.configure(verbose)
    console = Console()
    with errors_as_exit_codes():
        from photoveil.pipeline.library.library import open_library
        from photoveil.pipeline.settings import load_settings

        night = Night(_clock(start), _clock(deadline), threads, on_battery)
        open_library(source, output, state, make=False)  # what a run would refuse, is refused now
        load_settings(config)
        command = run_command(source, output, deadline, config, state)
        files = FILES[system or _system()](command, night)
        if install:
            _install(files, system or _system(), console)
        else:
            for path, text in files.items():
                print_text(console, f"# {path}\n{text}")
            print_text(console, "# `--install` writes these and starts the timer.")


def run_command(
    source: str, output: str, deadline: str, config: Path | None, state: str | None
) -> list[str]:
    """Return the command of the nightly run.

    Its paths are absolute, because it does not start in the current folder.
    """
    program = shutil.which("photoveil") or str(Path(sys.executable).with_name("photoveil"))
    command = [program, "run", storage.absolute(source), storage.absolute(output)]
    command += ["--deadline", deadline, "--quiet"]
    command += ["--config", str(config.absolute())] if config is not None else []
    return command + (["--state", storage.absolute(state)] if state is not None else [])


def systemd(command: Sequence[str], night: Night) -> dict[Path, str]:
    """Return the units of a user's timer, by their paths."""
    folder = _home("XDG_CONFIG_HOME", ".config") / "systemd" / "user"
    limits = f"CPUQuota={100 * night.threads}%\n" if night.threads is not None else ""
    battery = "" if night.on_battery else "ConditionACPower=true\n"
    words = " ".join(_systemd_word(word) for word in command)
    notify = "notify-send --app-name=Photoveil Photoveil"
    service = f"""[Unit]
Description=Cloak new photos
{battery}
[Service]
Type=oneshot
ExecStart={words}
# 3: photos failed, and are told in the journal.
SuccessExitStatus=3
ExecStopPost=-/bin/sh -c '{notify} "Last night: $SERVICE_RESULT, exit status $EXIT_STATUS"'
Nice=19
IOSchedulingClass=idle
{limits}"""
    timer = f"""[Unit]
Description=Cloak new photos every night

[Timer]
OnCalendar=*-*-* {night.start:%H:%M}:00

[Install]
WantedBy=timers.target
"""
    return {folder / f"{NAME}.service": service, folder / f"{NAME}.timer": timer}


def launchd(command: Sequence[str], night: Night) -> dict[Path, str]:
    """Return the launchd agent of a user, by its path."""
    # launchd knows no power supply: the script asks, and stays away from the battery.
    on_power = "" if night.on_battery else "pmset -g batt | grep -q 'AC Power' || exit 0; "
    told = 'display notification \\"Last night: exit status $status\\" with title \\"Photoveil\\"'
    notify = f'status=$?; osascript -e "{told}"; exit $status'
    script = f"{on_power}{shlex.join(command)}; {notify}"
    agent = {
        "Label": _AGENT,
        "ProgramArguments": ["/bin/sh", "-c", script],
        "StartCalendarInterval": {"Hour": night.start.hour, "Minute": night.start.minute},
        "ProcessType": "Background",
        "LowPriorityIO": True,
        "Nice": 19,
        "StandardErrorPath": str(Path.home() / "Library" / "Logs" / "photoveil.log"),
    }
    if night.threads is not None:
        agent["EnvironmentVariables"] = {
            "TF_NUM_INTRAOP_THREADS": str(night.threads),
            "OMP_NUM_THREADS": str(night.threads),
        }
    path = Path.home() / "Library" / "LaunchAgents" / f"{_AGENT}.plist"
    return {path: plistlib.dumps(agent).decode()}


FILES = {System.systemd: systemd, System.launchd: launchd}


def _systemd_word(word: str) -> str:
    """Quote a word of a command line for systemd, to which `%` and `$` have a meaning."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _clock(text: str) -> dt.time:
    from photoveil.pipeline.settings import SettingsError

    try:
        found = dt.time.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"{text} is no time of day; write it as 06:00") from error
    if found.tzinfo is not None:
        raise SettingsError(f"{text} is no time of day; write it as 06:00")
    return found


def _system() -> System:
    return System.launchd if sys.platform == "darwin" else System.systemd


def _home(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default)


def _install(files: Mapping[Path, str], system: System, console: Console) -> None:
    """Write the files and start what they describe.

    Raises:
        LibraryError: the system's program is not there or refuses them; the files are written.
        OSError: a file cannot be written.
    """
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print_text(console, f"Written: {path}")
    if system is System.systemd:
        commands = [
            ["systemctl", "--user", "daemon-reload"],
            ["systemctl", "--user", "enable", "--now", f"{NAME}.timer"],
        ]
        off = f"systemctl --user disable --now {NAME}.timer"
    else:
        (path,) = files
        commands = [["launchctl", "load", "-w", str(path)]]
        off = f"launchctl unload -w {path}"
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise LibraryError(
                f"{command[0]} is not on this machine, so nothing starts the run; see --system"
            ) from error
        if done.returncode:
            said = done.stderr.strip() or f"exit status {done.returncode}"
            raise LibraryError(f"`{shlex.join(command)}` did not work: {said}")
    print_text(console, f"The run starts every night. `{off}` ends that.")
