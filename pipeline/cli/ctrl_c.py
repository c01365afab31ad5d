"""Ctrl-C, once to stop after the photos in hand, twice to stop at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from rich.console import Console


@contextlib.contextmanager
def stopped_by_ctrl_c(console: Console) -> Iterator[Callable[[], bool]]:
    """Let a first Ctrl-C within the block only make what is yielded return true.

    Raises:
        KeyboardInterrupt: at the second Ctrl-C, also where Beam made an error of a stage of it.
    """
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            raise KeyboardInterrupt
        console.print(
            "Stopping after the photos in hand. Ctrl-C again stops at once, and costs no more "
            "than the batch of faces in hand."
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
