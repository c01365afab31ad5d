"""Why there is no result for a photo."""

from __future__ import annotations

import logging

from photoveil.transforms.codecs.errors import CodecError
from photoveil.transforms.io import storage
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import Failure

_log = logging.getLogger("photoveil")


def failure(what: str, error: Exception, source: str = "a photo") -> Failure:
    """Of an error that nobody foresaw, which goes to the log with where it arose.

    Args:
        what: was being done, such as "aligning faces". source: of the photo.
    """
    _log.info("%s of %s failed", what, source, exc_info=error)
    # By its name: this module does without TensorFlow, which is slow to load.
    exhausted = type(error).__name__ == "ResourceExhaustedError"
    if exhausted or isinstance(error, MemoryError):
        return Failure(Reason.STEP_MEMORY.of(step=what), True)
    if isinstance(error, OSError):
        return Failure(Reason.STEP_SYSTEM.of(step=what, system=storage.explain(error)), True)
    return Failure(Reason.STEP_UNEXPECTED.of(step=what), False)


def log_reason(source: str, error: CodecError) -> str:
    """The reason for a photo that a codec refuses; what a library said of it goes to the log."""
    if error.detail:
        _log.info("%s: %s: %s", source, error, error.detail)
    return str(error)
