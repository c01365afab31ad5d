"""How to install what only some need: the extras of the package."""

from __future__ import annotations

import re
import shlex
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = "photoveil"


def install_command(extra: str) -> str:
    """Return the command that adds the packages of an extra to the environment of this process.

    It names the packages themselves, because Photoveil need not be in any index, and the
    environment, because pipx and uv hide it.

    Args:
        extra: a name in `project.optional-dependencies` of pyproject.toml.
    """
    packages = requirements(extra)
    prefix = Path(sys.prefix)
    if (prefix / "pipx_metadata.json").is_file():
        return shlex.join(["pipx", "inject", prefix.name, *packages])
    if find_spec("pip") is None:
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, *packages])
    return shlex.join([sys.executable, "-m", "pip", "install", *packages])


def requirements(extra: str) -> list[str]:
    """Return the packages of an extra, as pip is told them."""
    lines = metadata.requires(_PACKAGE) or []
    of_extra = re.compile(rf"""extra == ["']{re.escape(extra)}["']""")
    return [line.partition(";")[0].strip() for line in lines if of_extra.search(line)]
