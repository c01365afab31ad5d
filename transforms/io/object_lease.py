"""A lock in a bucket: an object that is created only if it does not exist, and renewed while held.

The holder of the lease writes its object again every minute. A lease that was not renewed for ten
minutes, by the server's own clock, belongs to a run that died, and may be taken over; so may one of
a process of this machine that no longer exists. Every write names the version that it replaces, so
if two try to take over, one is too late, and a holder that slept learns that it lost the lease.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from photoveil.transforms.io import object_store

_RENEWED = 60.0  # seconds
_LAPSED = 600.0


class LeaseError(Exception):
    """The lease cannot be taken, or was lost; the message says why and what to do."""


@contextlib.contextmanager
def lease(path: str, renewed: float = _RENEWED, lapsed: float = _LAPSED) -> Iterator[None]:
    """Hold the lease whose object is at `path`, a `gs://` or `s3://` path.

    If it is lost, for example because this machine slept, the main thread is interrupted as by
    Ctrl-C.

    Args:
        renewed: seconds between two renewals.
        lapsed: seconds without renewal after which the holder counts as dead.

    Raises:
        LeaseError: another process holds it or took it over, or the server cannot keep it safe.
        OSError: the bucket cannot be reached or written to.
    """
    holder = _Holder(path, lapsed)
    holder.take()
    done, lost = threading.Event(), threading.Event()
    main = threading.main_thread().ident or 0

    def renew() -> None:
        while not done.wait(renewed):
            try:
                holder.renew()
            except object_store.ConditionFailed:
                lost.set()
                signal.pthread_kill(main, signal.SIGINT)
                return
            except OSError:
                continue  # the network is away; the lease lives for a while yet

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        if lost.is_set():
            raise LeaseError(
                f"another run took over {path}, for this one gave no sign of life for a long time; "
                "what it did is kept"
            )
        holder.give_back()


class _Holder:
    def __init__(self, path: str, lapsed: float) -> None:
        self._path, self._lapsed = path, lapsed
        self._version = object_store.ABSENT
        self._token = uuid.uuid4().hex

    def take(self) -> None:
        try:
            self.renew()
        except object_store.ConditionFailed:
            self._take_over()
        for wrong in (object_store.ABSENT, "1"):
            with contextlib.suppress(object_store.ConditionFailed):
                object_store.write(self._path, b"{}", wrong)
                object_store.remove([self._path])
                raise LeaseError(
                    f"the server of {self._path} takes no notice of conditions on a write, so two "
                    "runs could work on one library at once; use another server"
                )

    def renew(self) -> None:
        try:
            self._version = object_store.write(self._path, self._words(), self._version)
        except object_store.ConditionFailed:
            there, words = self._look()
            if there is None or words["token"] != self._token:
                raise
            self._version = there.version  # the answer to an earlier try was lost on its way

    def give_back(self) -> None:
        with contextlib.suppress(OSError):  # else it lapses by itself
            there = object_store.stat(self._path)
            if there is not None and there.version == self._version:
                object_store.remove([self._path])

    def _take_over(self) -> None:
        there, words = self._look()
        if there is None:
            raise LeaseError(f"another run has ended just now ({self._path}); start this one again")
        silent = self._server_time() - there.modified
        if silent < self._lapsed and not _died(words):
            raise LeaseError(
                f"another run holds {self._path}: process {words['process']} on {words['host']}, "
                f"which gave a sign of life {silent:.0f} s ago. Wait until it is done or stop it; "
                f"if it died, its lock is free in {self._lapsed - silent:.0f} s"
            )
        self._version = there.version
        try:
            self.renew()
        except object_store.ConditionFailed as error:
            raise LeaseError(f"another run took over {self._path} first") from error

    def _look(self) -> tuple[object_store.Stored | None, dict[str, Any]]:
        """The lease as it is, and the words of who holds it."""
        there = object_store.stat(self._path)
        if there is not None:
            with contextlib.suppress(FileNotFoundError):
                return there, json.loads(object_store.read(self._path))
        return None, {}

    def _server_time(self) -> float:
        probe = f"{self._path}.{self._token}"
        object_store.write(probe, b"")
        found = object_store.stat(probe)
        object_store.remove([probe])
        assert found is not None
        return found.modified

    def _words(self) -> bytes:
        """Who holds it; other bytes, and so another version, each time."""
        words = {
            "host": platform.node(),
            "machine": uuid.getnode(),
            "process": os.getpid(),
            "token": self._token,
            "renewed": datetime.now(UTC).isoformat(),
        }
        return json.dumps(words).encode()


def _died(words: Mapping[str, Any]) -> bool:
    """True if the holder was a process of this machine that no longer exists."""
    if (words["host"], words["machine"]) != (platform.node(), uuid.getnode()):
        return False
    try:
        os.kill(words["process"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
