"""Files and folders that systems, NAS boxes and photo programs keep for themselves."""

from __future__ import annotations

import re
from functools import lru_cache

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
    folder, _, name = relative.rpartition("/")
    name = name.lower()
    if name in _FILES or name in _FOLDERS or name.startswith("._") or _names_trash(name):
        return True
    return _is_of_system(folder)


def is_trash(relative: str) -> bool:
    """Tell whether a path leads to or into a trash, where a user's deleted files lie."""
    folder, _, name = relative.rpartition("/")
    return _names_trash(name.lower()) or _is_in_trash(folder)


@lru_cache(1024)  # a folder has many files
def _is_of_system(folder: str) -> bool:
    return _is_in_trash(folder) or any(part in _FOLDERS for part in folder.lower().split("/"))


@lru_cache(1024)
def _is_in_trash(folder: str) -> bool:
    return any(map(_names_trash, folder.lower().split("/")))


def _names_trash(part: str) -> bool:
    """Tell whether a part of a path, in lower case, is the name of a trash."""
    return part in _TRASHES or (part.startswith(".") and _MARKED.fullmatch(part) is not None)
