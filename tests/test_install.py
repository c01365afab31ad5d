"""An install from the wheel, as a user without compiler, npm, git, make and network would have it.

`make test-install` runs this; it downloads some gigabytes. PHOTOVEIL_INSTALL names
the interpreters.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHONS = os.environ.get("PHOTOVEIL_INSTALL", "").split()
# How this machine reaches a package index; nothing else of its environment is passed on.
NETWORK = re.compile(r"PIP_|SSL_CERT_|REQUESTS_CA_|.*_proxy$", re.IGNORECASE)
NOWHERE = "http://127.0.0.1:9"

pytestmark = pytest.mark.skipif(not PYTHONS, reason="make test-install runs it")


@dataclass(frozen=True)
class Installed:
    """A virtual environment, and an empty home and an empty folder to work in.

    log: what pip said. names: files that the wheel installed, below site-packages.
    """

    folder: Path
    log: str
    names: Sequence[str]

    def run(
        self, *command: object, home: str = "home", network: bool = True, expected: int = 0
    ) -> str:
        """Run a program of the environment with nothing on the PATH; return what it said."""
        environment = {"HOME": str(self.folder / home), "PATH": str(self.folder / "nothing")}
        environment |= {name: v for name, v in os.environ.items() if NETWORK.match(name)}
        if not network:
            environment |= {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "PIP_NO_INDEX": "1"}
        program, *arguments = map(str, command)
        done = subprocess.run(
            [self.folder / "venv" / "bin" / program, *arguments],
            cwd=self.folder / "elsewhere",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == expected, done.stdout
        return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and an sdist, the wheel made of the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True)
    return folder


@pytest.fixture(scope="session", params=PYTHONS)
def installed(
    request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    for name in ("home", "offline", "nothing", "elsewhere"):
        (folder / name).mkdir()
    subprocess.run([request.param, "-m", "venv", folder / "venv"], check=True)
    (wheel,) = built.glob("*.whl")
    log = Installed(folder, "", []).run("pip", "install", "--verbose", wheel)
    files = Installed(folder, "", []).run("pip", "show", "--files", "photoveil")
    names = [line.strip() for line in files.partition("Files:")[2].splitlines() if line.strip()]
    return Installed(folder, log, names)


def test_nothing_is_compiled(installed: Installed) -> None:
    assert "Building wheel" not in installed.log


def test_only_one_name_is_taken(installed: Installed) -> None:
    tops = {name.partition("/")[0] for name in installed.names if not name.startswith("..")}
    assert {re.sub(r"-\d[\d.]*\d", "", top) for top in tops} == {"photoveil", "photoveil.dist-info"}


def test_demo_and_run_work_from_any_folder(installed: Installed) -> None:
    said = installed.run("photoveil", "demo")
    assert "Before, after, difference" in said
    assert "Traceback" not in said and ".py" not in said  # nor a library's warning
    demo = installed.folder / "elsewhere" / "demo"
    assert (demo / "before-after.png").is_file()
    # One photo of the demo is damaged, so a run ends with 3.
    installed.run("photoveil", "run", demo / "photos", "out", "--mode", "low", expected=3)
    assert (installed.folder / "elsewhere" / "out" / "2012" / "portrait.jpg").is_file()


def test_a_machine_without_a_network_gets_the_models_from_a_file(installed: Installed) -> None:
    file = installed.folder / "assets.zip"
    installed.run("photoveil", "assets", "--export", file)
    offline = {"home": "offline", "network": False}
    assert "cannot get" in installed.run("photoveil", "assets", expected=1, **offline)  # type: ignore[arg-type]
    installed.run("photoveil", "assets", "--import", file, **offline)  # type: ignore[arg-type]
    photos = installed.folder / "elsewhere" / "demo" / "photos" / "2012"
    installed.run("photoveil", "run", photos, "out-offline", "--mode", "low", **offline)  # type: ignore[arg-type]


def test_the_sdist_installs_the_same_files(installed: Installed, built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    installed.run("pip", "install", "--no-deps", "--force-reinstall", sdist)
    files = installed.run("pip", "show", "--files", "photoveil").partition("Files:")[2]
    code = {name for name in installed.names if "dist-info" not in name}
    assert code <= {line.strip() for line in files.splitlines()}
    assert installed.run("photoveil", "--version").startswith("photoveil ")
