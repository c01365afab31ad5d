"""Ctrl-C: once to stop after the photos in progress, twice to stop at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from rich.console import Console


@contextlib.contextmanager
def stopped_by_ctrl_c(console: Console) -> Iterator[Callable[[], bool]]:
    """Let a first Ctrl-C within the block only set a flag.

    Yields:
        A function that returns True after the first Ctrl-C.

    Raises:
        KeyboardInterrupt: at the second Ctrl-C, even if Beam turned it into the error of a stage.
    """
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            raise KeyboardInterrupt
        console.print(
            "Stopping after the photos in progress. Ctrl-C again stops at once, and loses no more "
            "than the current batch of faces."
        )

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    except RuntimeError as error:
        if len(pressed) > 1:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
