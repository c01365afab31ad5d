"""`photoveil schedule`: what it prints is what systemd and launchd take."""

from __future__ import annotations

import configparser
import datetime as dt
import os
import plistlib
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from photoveil.pipeline.cli.schedule import Night, launchd, systemd
from tests.commands import invoked

NIGHT = Night(dt.time(1, 30), dt.time(6, 0))
# What a folder may be called.
COMMAND = ["/opt/photoveil", "run", '/my photos/100 % "best" $HOME', "/out\\put", "--quiet"]


def units(night: Night = NIGHT) -> dict[str, configparser.ConfigParser]:
    found = {}
    for path, text in systemd(COMMAND, night).items():
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text)
        found[path.name] = parser
    return found


def test_a_systemd_unit_has_the_words_of_the_command() -> None:
    line = units()["photoveil.service"]["Service"]["ExecStart"]
    words = shlex.split(line.replace("%%", "%").replace("$$", "$"))
    assert words == COMMAND


def test_a_systemd_timer_starts_when_asked() -> None:
    assert units()["photoveil.timer"]["Timer"]["OnCalendar"] == "*-*-* 01:30:00"


def test_battery_and_cores_are_spared_as_asked() -> None:
    unit = units()["photoveil.service"]
    assert unit["Unit"]["ConditionACPower"] == "true"
    assert unit["Service"]["Nice"] == "19" and "CPUQuota" not in unit["Service"]
    bold = units(Night(dt.time(1), dt.time(6), threads=2, on_battery=True))["photoveil.service"]
    assert bold["Service"]["CPUQuota"] == "200%" and "ConditionACPower" not in bold["Unit"]


def test_systemd_itself_finds_no_fault(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    for path, text in systemd(["/bin/true", *COMMAND[1:]], NIGHT).items():
        (tmp_path / path.name).write_text(text)
    timer = tmp_path / "photoveil.timer"
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", timer],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_launchd_agent_has_the_words_of_the_command() -> None:
    ((path, text),) = launchd(COMMAND, Night(dt.time(1, 30), dt.time(6), threads=2)).items()
    agent = plistlib.loads(text.encode())
    assert path.name == f"{agent['Label']}.plist"
    assert agent["StartCalendarInterval"] == {"Hour": 1, "Minute": 30}
    assert agent["EnvironmentVariables"]["TF_NUM_INTRAOP_THREADS"] == "2"
    shell, flag, script = agent["ProgramArguments"]
    assert (shell, flag) == ("/bin/sh", "-c")
    assert shlex.join(COMMAND) in script and script.startswith("pmset")
    checked = subprocess.run([shell, "-n", flag, script], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def program(folder: Path, name: str, exit_status: int = 0) -> Path:
    """A program that notes its arguments, a line each, in a file beside it."""
    path = folder / name
    path.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$@\" >>'{path}.called'\nexit {exit_status}\n", "utf-8"
    )
    path.chmod(0o755)
    return path


def calls(path: Path) -> list[str]:
    called = path.with_name(f"{path.name}.called")
    return called.read_text().splitlines() if called.exists() else []


def test_systemd_tells_how_the_night_ended(tmp_path: Path) -> None:
    notify = program(tmp_path, "notify-send")
    line = units()["photoveil.service"]["Service"]["ExecStopPost"]
    assert line.startswith("-")  # where there is no notify-send, the run has not failed
    ending = {"SERVICE_RESULT": "success", "EXIT_STATUS": "3"}  # as systemd passes them
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(shlex.split(line[1:]), env={"PATH": path, **ending}, check=True)
    assert calls(notify) == [
        "--app-name=Photoveil",
        "Photoveil",
        "Last night: success, exit status 3",
    ]


@pytest.mark.parametrize("power", ["AC Power", "Battery Power"])
def test_launchd_tells_how_the_night_ended_and_stays_off_the_battery(
    tmp_path: Path, power: str
) -> None:
    photoveil, notify = program(tmp_path, "photoveil", 3), program(tmp_path, "osascript")
    pmset = program(tmp_path, "pmset")
    pmset.write_text(f"#!/bin/sh\necho \"Now drawing from '{power}'\"\n")
    ((_, text),) = launchd([str(photoveil), *COMMAND[1:]], NIGHT).items()
    words = plistlib.loads(text.encode())["ProgramArguments"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(words, env={"PATH": path}, check=False)
    if power == "Battery Power":
        assert (done.returncode, calls(photoveil), calls(notify)) == (0, [], [])
        return
    assert done.returncode == 3
    assert calls(photoveil) == COMMAND[1:]
    assert calls(notify) == [
        "-e",
        'display notification "Last night: exit status 3" with title "Photoveil"',
    ]


@pytest.mark.parametrize(
    ("system", "starter", "files", "asked"),
    [
        (
            "systemd",
            "systemctl",
            [".config/systemd/user/photoveil.service", ".config/systemd/user/photoveil.timer"],
            ["--user", "daemon-reload", "--user", "enable", "--now", "photoveil.timer"],
        ),
        (
            "launchd",
            "launchctl",
            ["Library/LaunchAgents/org.photoveil.nightly.plist"],
            ["load", "-w", "HOME/Library/LaunchAgents/org.photoveil.nightly.plist"],
        ),
    ],
)
def test_install_writes_below_the_home_and_starts_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    starter: str,
    files: list[str],
    asked: list[str],
) -> None:
    home, tools = tmp_path / "home", tmp_path / "tools"
    for folder in (home / "Pictures", tools):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tools))
    started = program(tools, starter)
    given = ("schedule", home / "Pictures", home / "out", "--system", system, "--install")
    code, said = invoked(*given)
    assert code == 0 and "ends that" in said, said
    written = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    assert written == sorted(files)
    assert calls(started) == [word.replace("HOME", str(home)) for word in asked]
    program(tools, starter, 1)
    code, said = invoked(*given)
    assert code == 2 and "did not work: exit status 1" in said


def test_the_command_prints_and_writes_nothing_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    photos = tmp_path / "my photos"
    photos.mkdir()
    given = ("schedule", photos, tmp_path / "out", "--system", "systemd")
    code, said = invoked(*given, "--deadline", "05:45")
    assert code == 0 and f'"{photos}"' in said and '"--deadline" "05:45"' in said
    assert not (tmp_path / "config").exists()
    for wrong in (("--start", "25:00"), ("--deadline", "soon")):
        assert invoked(*given, *wrong)[0] == 2
    assert invoked("schedule", tmp_path / "nowhere", tmp_path / "out")[0] == 2
    code, said = invoked("schedule", photos, photos / "out")  # a run would refuse it each night
    assert code == 2 and "lies inside the input folder" in said.replace("\n", " ")
    code, said = invoked(*given, "--config", tmp_path / "nothing.yaml")
    assert code == 2 and "nothing.yaml cannot be read" in said


def test_install_writes_the_units_and_says_where_nothing_starts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", str(tmp_path))  # a machine without systemd
    code, said = invoked("schedule", tmp_path, tmp_path.parent / "out", "--install")
    units = tmp_path / "config/systemd/user"
    assert {path.name for path in units.iterdir()} == {"photoveil.service", "photoveil.timer"}
    assert code == 2 and "systemctl is not on this machine" in said.replace("\n", " ")
