"""Why there is no result for a photo."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """Why there is no result. retry: another try may fare better with the same file."""

    reason: str
    retry: bool


def failure(what: str, error: Exception) -> Failure:
    """Of an error that nobody foresaw.

    Args:
        what: was being done, such as "aligning faces".
    """
    # By its name: this module does without TensorFlow, which is slow to load.
    exhausted = type(error).__name__ == "ResourceExhaustedError"
    retry = exhausted or isinstance(error, OSError | MemoryError)
    return Failure(f"{what} failed: {error!r}", retry)
