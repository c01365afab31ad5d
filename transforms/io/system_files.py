"""Files and folders that systems, NAS boxes and photo programs keep for themselves."""

from __future__ import annotations

import re

_FILES = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".localized", ".directory",
          ".nomedia", ".picasa.ini", "icon\r", ".apdisk", ".volumeicon.icns"}  # fmt: skip
_TRASHES = {"#recycle", "@recycle", "$recycle.bin", ".trash", ".trashes", ".dtrash"}
_FOLDERS = {"lost+found", "recycler", "@eadir", "#snapshot", "@tmp", "system volume information",
            ".spotlight-v100", ".fseventsd", ".temporaryitems", ".documentrevisions-v100",
            ".stfolder", ".snapshots"}  # fmt: skip
_MARKED = re.compile(r"\.trash-\d+|\.trashed-\d+-.+")  # a user's trash on Linux; Android's


def is_junk(relative: str) -> bool:
    """Tell whether a file is not a user's, so that it says nothing about an archive.

    Args:
        relative: path below the archive, `/` between folders.
    """
    *folders, name = relative.lower().split("/")
    if name in _FILES or name in _FOLDERS or name.startswith("._") or is_trash(relative):
        return True
    return any(folder in _FOLDERS for folder in folders)


def is_trash(relative: str) -> bool:
    """Tell whether a path leads to or into a trash, where a user's deleted files lie."""
    parts = relative.lower().split("/")
    return any(part in _TRASHES or _MARKED.fullmatch(part) for part in parts)
