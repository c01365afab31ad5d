"""The processes of a run: a worker pool of Beam, what a process has started, and their CPU time."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def worker_pool(**environment: str) -> Iterator[tuple[str, int]]:
    """Beam's worker pool, which starts a Python process for each job; yields its address and its
    process.

    Args:
        environment: variables that its processes have besides this one's.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    beside = Path(sys.executable).parent  # the pool starts what `python` is on the PATH
    pool = subprocess.Popen(
        [
            *(sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main"),
            *("--service_port", str(port)),
        ],
        env={**os.environ, "PATH": f"{beside}:{os.environ['PATH']}", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"localhost:{port}", pool.pid
    finally:
        pool.terminate()
        pool.wait()


def processor_seconds(process: int) -> float:
    """Seconds of a processor that a process has used; 0 once it is gone."""
    with contextlib.suppress(OSError):
        after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def descendants(process: int) -> list[int]:
    """The processes that a process has started, and those that they have (Linux)."""
    found = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def megabytes(process: int) -> float:
    """Memory of a process, pages that it shares in proportion; 0 once it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
