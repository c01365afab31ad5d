"""What to do about a file that has no output, by its reason."""

from __future__ import annotations

from photoveil.transforms.reasons import Reason, matches

_NEXT_RUN = "The next run tries it again."
_ANOTHER_COPY = (
    "Open it in another program. If that cannot show it either, look for another copy, such as in "
    "a backup or on the camera's card."
)
_RAISE_LIMIT = "Raise that limit in the settings (--config) and run again, if the file is yours."
_CONVERT = "Export it as JPEG or PNG and put that beside it, if you want to publish it."
ADVICE = {
    Reason.DAMAGED: _ANOTHER_COPY,
    Reason.CRASHES: _ANOTHER_COPY,
    Reason.NOT_REWRITTEN: _CONVERT,
    Reason.NOT_ALONE: _CONVERT,
    Reason.OTHER_SIZE: "Please report it: no such file should come out.",
    Reason.EMPTY: _ANOTHER_COPY,
    Reason.NO_PICTURE: "See what it is; a text or a web page may have been saved by that name.",
    Reason.CHANGED: _NEXT_RUN,
    Reason.TOO_MANY_PIXELS: _RAISE_LIMIT,
    Reason.TOO_MANY_BYTES: _RAISE_LIMIT,
    Reason.TOO_SLOW: _RAISE_LIMIT,
    Reason.TOO_LARGE: _RAISE_LIMIT,
    Reason.KILLED: "Close other programs or give fewer --workers, and run again with --retry.",
    Reason.NO_MEMORY_TO_OPEN: f"Close other programs. {_NEXT_RUN}",
    Reason.NO_MEMORY_TO_CLOAK: f"Close other programs. {_NEXT_RUN}",
    Reason.NOT_READ: f"Look at the permissions of the file and at the disk. {_NEXT_RUN}",
    Reason.NOT_WRITTEN: f"Look at the room and the permissions of OUT. {_NEXT_RUN}",
    Reason.NOT_REGULAR: "It is a pipe, a socket or a device; nothing can be done.",
    Reason.LINK_TO_FOLDER: "Give the folder that it leads to as an IN of its own.",
    Reason.BROKEN_LINK: "Mend or delete the link.",
    Reason.NOT_LISTED: "Look at the permissions of that folder. The photos in it were not seen.",
    Reason.STEP_MEMORY: f"Lower cloak.batch_size in the settings. {_NEXT_RUN}",
    Reason.STEP_UNEXPECTED: "Run again with --verbose and report what that shows.",
    Reason.STEP_SYSTEM: _NEXT_RUN,  # after those above, which it would match as well
    Reason.NO_PHOTO: "Nothing: it is no photo. It is not copied.",
    Reason.NO_KNOWN_FORMAT: _CONVERT,
    Reason.NOT_A_FORMAT_WRITTEN: _CONVERT,
    Reason.NEEDS_HEIF: "Install that package and run again.",
    Reason.ANIMATED: "Nothing: animations are not cloaked. Do not publish it if it shows faces.",
    Reason.SIDECAR_LEFT: "Nothing: the settings leave sidecars out.",
    Reason.VIDEO_LEFT: "Nothing: faces in videos are not cloaked. Think before you publish it.",
    Reason.NEAR_DUPLICATE: "Nothing: the photo that it is like is in the library.",
}
_OTHERWISE = _CONVERT  # kinds of a format that are not written


def advice(reason: str) -> str:
    """Say what a user can do about a file of this reason, in a sentence or two.

    Args:
        reason: of the manifest; of several joined by semicolons, the first counts.
    """
    return next((text for known, text in ADVICE.items() if matches(known, reason)), _OTHERWISE)
