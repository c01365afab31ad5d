"""The same archive on every runner: time, memory, and whether the outputs are the same.

    python -m benchmarks.runners [--photos 60] [--side 640] [--mode mid]

Runs the `photoveil` command on the local runner with one and with two processes, on Prism (which
must be on the PATH) with the workers in the command's own process and in one apart, and on Flink
where FLINK_JOB_SERVER is the path of Beam's Flink job server. Time is also given as that of the
processor, which says more than the clock where other work runs beside it. Memory is that of all
processes together at its highest, pages that they share counted once (Linux).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.make_archive import make_archive
from photoveil.pipeline.library import manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--mode", default="mid")
    arguments = parser.parse_args()
    console = Console()
    table = Table("runner", "seconds", "CPU s", "memory, MB", "same photos", "same manifest")
    with tempfile.TemporaryDirectory() as folder, worker_pool() as (address, pool):
        base = Path(folder)
        make_archive(base / "in", arguments.photos, side=arguments.side)
        apart = {"environment_type": "EXTERNAL", "environment_config": address}
        runs: dict[str, tuple[str, dict, list[int]]] = {
            "local": ("local", {}, []),
            "local, 2 processes": ("local", {"workers": 2}, []),
            "Prism": ("prism", {}, []),
            "Prism, worker apart": ("prism", {"options": apart}, [pool]),
        }
        if jar := os.environ.get("FLINK_JOB_SERVER"):
            runs["Flink"] = ("flink", {"options": {"flink_job_server_jar": jar}}, [])
        results = {}
        for name, (runner, settings, beside) in runs.items():
            with console.status(name):
                figures = _run(base, name, runner, settings, arguments.mode, beside)
            results[name] = photos_of(base / name), rows_of(base / name)
            same = [
                "yes" if one == other else "no"
                for one, other in zip(results[name], results["local"], strict=True)
            ]
            table.add_row(name, *(f"{figure:,.0f}" for figure in figures), *same)
    console.print(table)


def photos_of(out: Path) -> dict[str, str]:
    """sha256 of every photo in a library, by its name there."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file() and "_photoveil" not in path.relative_to(out).parts
    }


def rows_of(out: Path) -> dict[str, dict]:
    """The manifest, by source, without the run's name and its times."""
    rows = manifest.read(str(out / "_photoveil/manifest")).drop(["run_id", "finished"])
    return {row["source"]: row for row in rows.to_pylist()}


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


def _run(
    base: Path, name: str, runner: str, settings: dict, mode: str, beside: list[int]
) -> tuple[float, float, float]:
    """Seconds, seconds of CPU and most megabytes of one run and of the processes `beside` it."""
    config = base / f"{name}.yaml"
    config.write_text(yaml.safe_dump({"run": settings}))
    before = sum(processor_seconds(process) for process in _trees(beside))
    started, most, cpu = time.monotonic(), 0.0, dict[int, float]()
    command = [
        *(Path(sys.executable).with_name("photoveil"), "run", base / "in", base / name),
        *("--state", base / f"{name} state", "--config", config),
        *("--mode", mode, "--runner", runner),
    ]
    run = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while run.poll() is None:
        time.sleep(0.5)
        processes = _trees([run.pid, *beside])
        most = max(most, sum(map(_megabytes, processes)))
        cpu |= {
            process: processor_seconds(process) or cpu.get(process, 0.0) for process in processes
        }
    if run.returncode not in (0, 3):
        raise SystemExit(f"{name}: exit status {run.returncode}")
    return time.monotonic() - started, sum(cpu.values()) - before, most


def _trees(roots: list[int]) -> list[int]:
    return [process for root in roots for process in (root, *descendants(root))]


def _megabytes(process: int) -> float:
    """Memory of a process, pages that it shares in proportion; 0 once it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


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


if __name__ == "__main__":
    main()
