"""Progress from workers to the command line, through a file both can reach.

Beam reports metrics when a pipeline has ended; a person wants to see faces being done. Workers,
in whatever process, append one short line an event (`meters.tick`); appends that short are atomic.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path


class ProgressReader:
    """Counts the events of a progress file as it grows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position = 0
        self.counts: Counter[str] = Counter()

    def update(self) -> Counter[str]:
        """All counts so far."""
        if self._file.exists():
            with open(self._file, "rb") as stream:
                stream.seek(self._position)
                whole, newline, _ = stream.read().rpartition(b"\n")
            if newline:
                self._position += len(whole) + 1
                for line in whole.decode().splitlines():
                    event, count = line.split()
                    self.counts[event] += int(count)
        return self.counts
