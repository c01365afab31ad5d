"""The processes of `--workers`, which outlive the pipelines that they work for.

Beam's own multi-process mode starts its processes again for each pipeline, of which a wave has
three, and each start loads TensorFlow, the models and the compiled optimiser. It also waits for
ever for a process that was killed. This is a worker pool of Beam's protocol instead: it starts
nothing, but assigns each pipeline's workers to existing processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from itertools import cycle
from typing import Any, TypeVar

import grpc
from apache_beam.portability.api import beam_fn_api_pb2 as api
from apache_beam.portability.api import beam_fn_api_pb2_grpc as api_grpc
from apache_beam.runners.worker.sdk_worker import SdkHarness
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance

from photoveil.pipeline import quiet_logs

T = TypeVar("T")

_LOOKED_AFTER = 0.5  # seconds


class WorkerEnded(OSError):
    """A worker process has ended."""


class Workers:
    """A number of worker processes, which end with this one."""

    def __init__(self, count: int) -> None:
        # Sockets in a folder of one's own: whoever reaches a worker can have it do anything.
        self._folder = tempfile.TemporaryDirectory(prefix="photoveil-")
        self._address = f"unix:{self._folder.name}/pool"
        addresses = [f"unix:{self._folder.name}/{number}" for number in range(count)]
        self._processes = [_start(address) for address in addresses]
        self._server = _serve(_Dealer(addresses), self._address)

    def see_through(self, work: Callable[[str], T]) -> T:
        """Run what the processes take part in.

        Raises:
            WorkerEnded: one of them ended.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        def attempt() -> None:
            try:
                results.append(work(self._address))
            except BaseException as error:
                errors.append(error)

        # Beam does not notice the end of a worker: its thread is left behind.
        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_LOOKED_AFTER)
            self._raise_if_one_ended()
        if errors:
            raise errors[0]
        return results[0]

    def stop(self) -> None:
        """End the processes."""
        self._server.stop(None)
        for process in self._processes:
            process.kill()
            process.wait()
        self._folder.cleanup()

    def _raise_if_one_ended(self) -> None:
        for process in self._processes:
            if process.poll() is not None:
                raise WorkerEnded(
                    f"a worker process ended with status {process.returncode}, as where memory "
                    "is short; fewer --workers need less. What is done is kept: the same command "
                    "goes on from there"
                )


_kept: dict[int, Workers] = {}


def see_through(work: Callable[[str], T], count: int) -> T:
    """Run `work` on a pool of worker processes; the pool is kept and reused.

    Args:
        work: is given the address of the pool.

    Raises:
        WorkerEnded: a process ended; its current work is lost.
    """
    if count not in _kept:
        _kept[count] = Workers(count)
    try:
        return _kept[count].see_through(work)
    except WorkerEnded:
        _kept.pop(count).stop()
        raise


def _start(address: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "photoveil.pipeline.runners.worker_pool", address],
        stdin=subprocess.PIPE,  # closes, which ends it, however this process ends
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet_logs.is_hidden() else None,
        start_new_session=True,  # Ctrl-C on a terminal is for this process alone
    )


def _serve(servicer: api_grpc.BeamFnExternalWorkerPoolServicer, address: str) -> grpc.Server:
    server = grpc.server(shared_unbounded_instance())
    server.add_insecure_port(address)
    api_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(servicer, server)
    server.start()
    return server


class _Dealer(api_grpc.BeamFnExternalWorkerPoolServicer):
    """Gives each worker that a pipeline asks for to the next process."""

    def __init__(self, addresses: list[str]) -> None:
        stubs = [
            api_grpc.BeamFnExternalWorkerPoolStub(grpc.insecure_channel(one)) for one in addresses
        ]
        self._next = cycle(stubs)

    def StartWorker(self, request: Any, context: Any) -> Any:
        # Beam names this machine by its name, which need not be known to itself.
        port = request.control_endpoint.url.rpartition(":")[2]
        request.control_endpoint.url = f"localhost:{port}"
        return next(self._next).StartWorker(request, wait_for_ready=True)  # it may be starting


class _Worker(api_grpc.BeamFnExternalWorkerPoolServicer):
    """Works for one pipeline after the other; what a process loads stays loaded."""

    def StartWorker(self, request: Any, context: Any) -> Any:
        harness = SdkHarness(request.control_endpoint.url, worker_id=request.worker_id)
        threading.Thread(target=harness.run, daemon=True).start()
        return api.StartWorkerResponse()


def main() -> None:
    """Run a worker process: serve at the given address until standard input closes."""
    _server = _serve(_Worker(), sys.argv[1])
    sys.stdin.read()
    os._exit(0)  # threads may be in the middle of a photo


if __name__ == "__main__":
    main()
