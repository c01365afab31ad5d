"""Turn exceptions into the reasons why there is no result for a photo."""

from __future__ import annotations

import logging

from photoveil.transforms.codecs.errors import CodecError
from photoveil.transforms.io import storage
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import Failure

_log = logging.getLogger("photoveil")


def failure(what: str, error: Exception, source: str = "a photo") -> Failure:
    """Return the failure for an unexpected error, and log where the error arose.

    Args:
        what: the step, such as "aligning faces".
        source: of the photo.
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
    """Return the reason for a photo that a codec refuses, and log the library's message."""
    if error.detail:
        _log.info("%s: %s: %s", source, error, error.detail)
    return str(error)
