"""Exit codes of the `photoveil` command."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended; scripts rely on the numbers.

    DONE: nothing is left to do. STOPPED: an error stopped the command, or the user did not agree.
    BAD_INPUT: wrong usage, settings or folders. SOME_FAILED: done, but photos failed or a check
    found faults. INTERRUPTED: Ctrl-C.
    """

    DONE = 0
    STOPPED = 1
    BAD_INPUT = 2
    SOME_FAILED = 3
    INTERRUPTED = 130
