"""Keep the log lines of libraries off the screen."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_hidden = False


def configure(verbose: bool) -> None:
    """Show the libraries' own logs, or ask for silence, as a user wants it."""
    if verbose:
        logging.basicConfig(level=logging.INFO)
    else:
        hide()


class _LogHandler(logging.StreamHandler[TextIO]):
    """Writes to the log of `keep`."""


LOG_MARK = b"Photoveil log"
"""In the first line of a log."""


def keep(path: str) -> None:
    """Add what this program says, and what libraries say of photos, to a log of its owner's.

    A process has one log; another one takes its place.

    Raises:
        OSError: it cannot be written.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    stream = os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
    if not os.fstat(descriptor).st_size:
        stream.write(f"{LOG_MARK.decode()}\n")
    handler = _LogHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("photoveil")
    for earlier in [one for one in logger.handlers if isinstance(one, _LogHandler)]:
        logger.removeHandler(earlier)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = not _hidden


def is_hidden() -> bool:
    """True once `hide` was called."""
    return _hidden


def hide() -> None:
    """Silence libraries in this process and those it starts. Call before TensorFlow is imported."""
    global _hidden
    _hidden = True
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["PYTHONWARNINGS"] = "ignore"
    warnings.simplefilter("ignore")
    for name in ("apache_beam", "absl", "distributed", "tensorflow", "root"):
        # Not ERROR: Beam logs each exception of a stage with its traceback, and then raises it.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    threading.excepthook = _told_but_beams


def _told_but_beams(ending: threading.ExceptHookArgs) -> None:
    """Tell what ended a thread, unless it is one of Beam's that talks to a worker which is gone.

    `pipeline.runners.worker_pool` reports the worker itself.
    """
    frames = traceback.walk_tb(ending.exc_traceback)
    if not any("apache_beam" in Path(frame.f_code.co_filename).parts for frame, _ in frames):
        threading.__excepthook__(ending)


def load_tensorflow(console: Console) -> None:
    """Import TensorFlow and say so; quietly if `hide` was called."""
    if _hidden:
        with console.status("loading TensorFlow"):
            import_tensorflow()


def import_tensorflow() -> None:
    """Import TensorFlow without the lines that it prints before it has read its log level.

    scikit-learn has joblib count the cores, once in a process, by the program lscpu. Where none is
    on the PATH joblib prints a traceback and takes another number, so it counts here, too.
    """
    with _stderr_closed():
        import joblib
        import tensorflow as tf

        tf.config.list_physical_devices()
        joblib.cpu_count(only_physical_cores=True)


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
