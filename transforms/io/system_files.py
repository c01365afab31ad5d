"""Files that systems and NAS boxes leave in every folder; they say nothing about an archive."""

from __future__ import annotations

import re

_FILES = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".localized", ".directory",
          ".nomedia", ".picasa.ini", "icon\r", ".apdisk", ".volumeicon.icns"}  # fmt: skip
_FOLDERS = {"lost+found", "@eadir", "#recycle", "@recycle", "#snapshot", "@tmp", "$recycle.bin",
            "recycler", "system volume information", ".trash", ".trashes", ".spotlight-v100",
            ".fseventsd", ".temporaryitems", ".documentrevisions-v100", ".stfolder",
            ".snapshots"}  # fmt: skip
_TRASH = re.compile(r"\.trash-\d+")  # of one user, on Linux


def is_junk(relative: str) -> bool:
    """True for a path below the archive, `/` between folders, of a file that is not a user's."""
    *folders, name = relative.lower().split("/")
    if name in _FILES or name in _FOLDERS or name.startswith("._"):
        return True
    return any(folder in _FOLDERS or _TRASH.fullmatch(folder) for folder in folders)
