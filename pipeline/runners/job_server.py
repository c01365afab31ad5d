"""Beam's job servers: separate programs that accept pipelines and run them.

Beam starts them too, but stops them at the first Ctrl-C, which here only asks a run to end after
the current photos, and leaves them behind when its process is killed.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from typing import IO

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.job_server import SubprocessJobServer

_PATIENCE = 120.0  # seconds until a server must answer
_MOST_WORDS = 2000  # bytes of a server's log in an error message
# Ends the server, and deletes its folder, when standard input closes: when this process is gone.
_GUARDED = """
exec 3<&0
"$@" & server=$!
{ read _; kill $server; } <&3 &
wait $server
rm -rf "$0"
"""

_started: dict[tuple[str, ...], tuple[subprocess.Popen[bytes], str]] = {}


def endpoint(server: type[SubprocessJobServer], flags: tuple[str, ...]) -> str:
    """Return the address of a job server that lives as long as this process; start it if necessary.

    Args:
        flags: Beam's options, which say where the server's program is.

    Raises:
        OSError: it does not start; the message has its last output.
    """
    if flags not in _started or _started[flags][0].poll() is not None:
        _started[flags] = _start(server, flags)
    return _started[flags][1]


def _start(
    server: type[SubprocessJobServer], flags: tuple[str, ...]
) -> tuple[subprocess.Popen[bytes], str]:
    folder = tempfile.mkdtemp(prefix="photoveil-")
    options = PipelineOptions([*flags, f"--artifacts_dir={folder}"])
    command, address = server(options).subprocess_cmd_and_endpoint()
    log = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the server lives
    process = subprocess.Popen(
        ["sh", "-c", _GUARDED, folder, *map(str, command)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C on a terminal is for this process alone
    )
    until = time.monotonic() + _PATIENCE
    host, port = address.split(":")
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port))):
            return process, address
        time.sleep(0.1)
    process.kill()
    raise OSError(f"{command[0]} does not start: {_last_words(log)}")


def _last_words(log: IO[bytes]) -> str:
    size = log.seek(0, 2)
    log.seek(max(0, size - _MOST_WORDS))
    return log.read().decode(errors="replace").strip() or "it says nothing"
