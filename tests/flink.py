"""A Flink session cluster on loopback: a job manager and two task managers, each a process."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_TASK_MANAGERS = 2
_PATIENCE = 120.0  # seconds until all task managers have registered
_SETTINGS = """\
jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc}
rest.address: localhost
rest.bind-address: localhost
rest.port: {rest}
taskmanager.host: localhost
taskmanager.numberOfTaskSlots: 1
taskmanager.cpu.cores: 1
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
taskmanager.memory.task.heap.size: 384m
taskmanager.memory.task.off-heap.size: 64m
taskmanager.memory.network.min: 64m
taskmanager.memory.network.max: 64m
taskmanager.memory.managed.size: 256m
"""
# What Flink's own scripts open of Java 17 to it; Beam and Kryo look into these.
_OPENED = ["java.lang", "java.lang.invoke", "java.net", "java.io", "java.nio", "java.time"]
_OPENED += ["java.util", "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch"]


@contextlib.contextmanager
def session_cluster(jars: Path) -> Iterator[str]:
    """Start a cluster, wait for its task managers, yield its REST address, `host:port`.

    Args:
        jars: the folder `lib` of a Flink distribution.

    Raises:
        TimeoutError: the task managers have not all registered; the message has the logs.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        rest, rpc = _free_ports(2)
        base = Path(folder)
        (base / "config.yaml").write_text(_SETTINGS.format(rest=rest, rpc=rpc))
        roles = {"job-manager": "entrypoint.StandaloneSessionClusterEntrypoint"} | {
            f"task-manager-{number}": "taskexecutor.TaskManagerRunner"
            for number in range(_TASK_MANAGERS)
        }
        for role, entry in roles.items():
            log = stack.enter_context((base / f"{role}.log").open("w"))
            stack.callback(_end, _start(jars, base, entry, log))
        _await_task_managers(f"http://localhost:{rest}/taskmanagers", base)
        yield f"localhost:{rest}"


def _start(jars: Path, conf: Path, entry: str, log: IO[str]) -> subprocess.Popen[bytes]:
    command = ["java", "-Xmx512m", "-cp", f"{jars}/*"]
    command += [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    command += [f"org.apache.flink.runtime.{entry}", "--configDir", str(conf)]
    return subprocess.Popen(command, cwd=conf, stdout=log, stderr=subprocess.STDOUT)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _await_task_managers(address: str, logs: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            if len(json.load(answer)["taskmanagers"]) == _TASK_MANAGERS:
                return
        time.sleep(0.5)
    said = "\n".join(path.read_text()[-2000:] for path in sorted(logs.glob("*.log")))
    raise TimeoutError(f"no {_TASK_MANAGERS} task managers after {_PATIENCE:.0f} s: {said}")


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]
