"""The codecs in a process of their own, so that a photo that kills or hangs it costs only itself.

C libraries parse what strangers made. A child that has loaded the codecs and nothing else takes one
photo after another; where one kills it, by a fault, by its memory or by its time, the photo gets
the reason and the next photo a new child.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from photoveil.transforms import spare_memory
from photoveil.transforms.codecs.change import PhotoChange
from photoveil.transforms.codecs.errors import CodecError, TooMuch
from photoveil.transforms.codecs.photo import DecodedPhoto, EncodedPhoto
from photoveil.transforms.photo.array_pipe import ArrayPipe
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import EmbeddedPicture

CODECS, HIDDEN = "photoveil.transforms.codecs", "photoveil.transforms.leaks.embedded_images"
PREVIEW = "photoveil.transforms.photo.preview"
_GIGA = 1_000_000_000


def decode(data: bytes, max_pixels: int, limits: ReadLimits) -> DecodedPhoto:
    """As `transforms.codecs.decode`; CodecError also where the photo takes too much or kills."""
    return _call(CODECS, "decode", limits, data, max_pixels)


def encode(
    data: bytes, change: PhotoChange, rebuild_thumbnails: bool, limits: ReadLimits
) -> EncodedPhoto:
    """As `transforms.codecs.encode`; likewise."""
    return _call(CODECS, "encode", limits, data, change, rebuild_thumbnails)


def alone(data: bytes, rebuild_thumbnails: bool, limits: ReadLimits) -> EncodedPhoto:
    """As `transforms.codecs.alone`; likewise."""
    return _call(CODECS, "alone", limits, data, rebuild_thumbnails)


def without_names(data: bytes, limits: ReadLimits) -> tuple[bytes, int]:
    """As `transforms.codecs.without_names`; likewise."""
    return _call(CODECS, "without_names", limits, data)


def without_video(data: bytes, limits: ReadLimits) -> tuple[bytes, tuple[str, ...]]:
    """As `transforms.codecs.without_video`; likewise."""
    return _call(CODECS, "without_video", limits, data)


def oddities(data: bytes, limits: ReadLimits) -> tuple[str, ...]:
    """As `transforms.codecs.oddities`; likewise."""
    return _call(CODECS, "oddities", limits, data)


def hidden(data: bytes, limits: ReadLimits) -> list[EmbeddedPicture]:
    """As `transforms.leaks.embedded_images.hidden`; likewise."""
    return _call(HIDDEN, "hidden", limits, data)


def preview(
    data: bytes, side: int, limits: ReadLimits, box: tuple[float, float, float, float] | None = None
) -> bytes:
    """As `transforms.photo.preview.preview`; likewise. box: None for the whole photo."""
    part = () if box is None else (box,)
    return _call(PREVIEW, "preview", limits, data, side, int(limits.max_megapixels * 1e6), *part)


class _Child:
    def __init__(self) -> None:
        here, there = socket.socketpair()
        for end in (here, there):  # see findings/beam-gives-all-sockets-a-time-limit.sh
            end.settimeout(None)
        # Not by `multiprocessing`: it would load the main module, and with it TensorFlow.
        # Libraries in C write warnings about a file straight to the screen.
        quiet = not logging.getLogger().isEnabledFor(logging.INFO)
        code = f"from {__name__} import serve; serve({there.fileno()}, {CODECS!r}, {quiet})"
        path = os.pathsep.join(part for part in sys.path if part)
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
        self._connection = ArrayPipe(here)
        self.is_ready = True

    def call(self, request: tuple[Any, ...], limits: ReadLimits) -> Any:
        self.is_ready = False
        try:
            self._connection.send(request)
            answer = self._connection.recv()
        except (EOFError, ConnectionError):
            raise _how_it_died(self._process.wait(), limits) from None
        self.is_ready = True
        if isinstance(answer, MemoryError):
            raise _too_large(limits)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._connection.close()


_idle: list[_Child] = []
_owner = os.getpid()


def _call(module: str, name: str, limits: ReadLimits, *args: Any) -> Any:
    request = (module, name, args, limits.max_seconds, limits.max_memory_gigabytes)
    with _child() as child:
        return child.call(request, limits)


@contextlib.contextmanager
def _child() -> Iterator[_Child]:
    """One that no other thread has, kept for the next photo unless this one killed it."""
    global _owner
    if _owner != os.getpid():  # what a fork inherited is its parent's
        _idle.clear()
        _owner = os.getpid()
    try:
        child = _idle.pop()
    except IndexError:
        child = _Child()
    try:
        yield child
    finally:
        if child.is_ready:
            _idle.append(child)
        else:
            child.end()


@atexit.register
def _end_idle() -> None:
    while _idle and _owner == os.getpid():
        _idle.pop().end()


def _how_it_died(code: int, limits: ReadLimits) -> CodecError:
    if code == -signal.SIGALRM:
        return TooMuch(Reason.TOO_SLOW.of(limits.max_seconds))
    if code == -signal.SIGKILL:
        return TooMuch(Reason.KILLED)
    what = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return CodecError(Reason.CRASHES.of(signal=what))


def _too_large(limits: ReadLimits) -> TooMuch:
    return TooMuch(Reason.TOO_LARGE.of(limits.max_memory_gigabytes))


def serve(descriptor: int, codecs: str, quiet: bool) -> None:
    """Be the child: answer requests until the other end is closed.

    Args:
        descriptor: of a connected socket. codecs: module to load ahead, as it is asked for first.
        quiet: say nothing on the screen from then on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold the photo
    with contextlib.suppress(OSError):  # where the system kills for memory, it kills this first
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    import_module(codecs)
    if quiet:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        os.close(nowhere)
    connection = ArrayPipe(socket.socket(fileno=descriptor))
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            _serve_one(connection)
            spare_memory.give_heap_back()


def _serve_one(connection: ArrayPipe) -> None:
    """Answer one request; a function, so that nothing holds its photo until the next is answered.

    Raises:
        EOFError, ConnectionError: the other end is closed.
    """
    module, name, args, seconds, gigabytes = connection.recv()
    # Kills by itself, in the midst of C code and when the parent is gone.
    signal.setitimer(signal.ITIMER_REAL, seconds)
    with _limited_memory(gigabytes):
        answer = _answer(getattr(import_module(module), name), args)
    signal.setitimer(signal.ITIMER_REAL, 0)
    connection.send(answer)


def _answer(function: Any, args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except Exception as error:
        if isinstance(error.__cause__, MemoryError):
            return error.__cause__
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return RuntimeError(repr(error))
        return error


@contextlib.contextmanager
def _limited_memory(gigabytes: float) -> Iterator[None]:
    if sys.platform != "linux":  # others do not tell what is used, or do not heed RLIMIT_AS
        yield
        return
    used = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = used * resource.getpagesize() + math.ceil(gigabytes * _GIGA)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
