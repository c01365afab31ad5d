"""The same archive on every runner: time, memory, and whether the outputs are the same.

    python -m benchmarks.runners [--photos 60] [--side 640] [--mode mid]

Runs the `photoveil` command on the local runner with one and with two processes, on Prism (which
must be on the PATH) with the workers in the command's own process and in a separate one, and on
Flink if FLINK_JOB_SERVER is the path of Beam's Flink job server. CPU time is printed as well,
because it says more than the clock on a machine that does other work. Memory is that of all
processes together at its highest; pages that they share count once (Linux).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from tests.support.make_archive import make_archive
from tests.support.outputs import photos_of, rows_of
from tests.support.processes import descendants, megabytes, processor_seconds, worker_pool


def main() -> None:
    """Run the archive on each runner, and print a table."""
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
        runs: dict[str, tuple[str, dict[str, Any], list[int]]] = {
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


def _run(
    base: Path, name: str, runner: str, settings: dict[str, Any], mode: str, beside: list[int]
) -> tuple[float, float, float]:
    """Measure seconds, CPU seconds and most megabytes of a run and of the processes `beside` it."""
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
        most = max(most, sum(map(megabytes, processes)))
        cpu |= {
            process: processor_seconds(process) or cpu.get(process, 0.0) for process in processes
        }
    if run.returncode not in (0, 3):
        raise SystemExit(f"{name}: exit status {run.returncode}")
    return time.monotonic() - started, sum(cpu.values()) - before, most


def _trees(roots: list[int]) -> list[int]:
    return [process for root in roots for process in (root, *descendants(root))]


if __name__ == "__main__":
    main()
