"""Files that a user asks for by name: contact sheets, reports, lists.

A wrong name may be that of a photo. So such a file is not written into the folders of photos, and
replaces only an earlier file of its kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from photoveil.pipeline.library.identity import LibraryError, library_around
from photoveil.transforms.io import storage

SHEET_MARK = b"Photoveil contact sheet"
"""In the metadata of a contact sheet."""
ASSETS_MARK = b"NOTICE.txt"
"""The first name in an export of assets."""
LIST_MARK = b"kind,file,detail"
REPORT_MARKS = (b'{\n "findings"', b"Photoveil evaluation")


def check(file: str, folders: Iterable[str], marks: Iterable[bytes]) -> str:
    """Check that a file may be written, and return its absolute path.

    Args:
        file: path that the user gave.
        folders: of photos.
        marks: byte strings; an earlier file of the same kind holds one of them.

    Raises:
        LibraryError: it is in one of the folders or in a library, or another file or a folder has
            its name.
        OSError: what is there cannot be read.
    """
    path = storage.absolute(file)
    for folder in map(storage.absolute, folders):
        if storage.is_within(path, folder):
            raise LibraryError(f"{file} is in {folder}; choose another place")
    if library := library_around(path):
        raise LibraryError(f"{file} is in {library}, which is for publishing; choose another place")
    if storage.is_local(path) and os.path.isdir(path):
        raise LibraryError(f"{file} is a folder; give the name of a file")
    if storage.exists(path):
        data = storage.read_bytes(path)
        if not any(mark in data for mark in marks):
            raise LibraryError(
                f"{file} exists and was not made by Photoveil for this; choose another name"
            )
    return path
