"""A Dask cluster on loopback: a scheduler and some workers, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 60.0  # seconds until a process must be there


@dataclass(frozen=True)
class Cluster:
    """A scheduler's address, and the processes of its workers."""

    address: str
    workers: list[subprocess.Popen[bytes]]


@contextlib.contextmanager
def cluster(
    folder: Path, workers: int = 2, resources: str = "", **environment: str
) -> Iterator[Cluster]:
    """Start a cluster and wait for its workers.

    Args:
        folder: for what the processes write.
        resources: of the last worker, as `dask worker --resources` takes them.
        environment: variables that the processes have besides this one's.

    Raises:
        TimeoutError: not all are there in time; the message has the log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note, log = folder / "scheduler.json", folder / "log"
    environment = {**os.environ, "DASK_TEMPORARY_DIRECTORY": str(folder), **environment}
    with log.open("wb") as output, contextlib.ExitStack() as stack:

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]],
                env=environment,
                stdout=output,
                stderr=output,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        at = ("--host", "127.0.0.1", "--no-dashboard")
        start("dask_scheduler", *at, "--port", "0", "--scheduler-file", str(note))
        _wait_for(note.exists, log)
        address = json.loads(note.read_text())["address"]
        one = ("dask_worker", address, *at, "--nthreads", "1", "--no-nanny")
        last = ("--resources", resources) if resources else ()
        started = [start(*one) for _ in range(workers - 1)]
        if workers:
            started.append(start(*one, *last))
        _wait_for(lambda: log.read_text().count("Register worker") >= workers, log)
        yield Cluster(address, started)


def _wait_for(condition: Callable[[], bool], log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(
                f"no Dask cluster after {_PATIENCE:.0f} s: {log.read_text()[-2000:]}"
            )
        time.sleep(0.1)
