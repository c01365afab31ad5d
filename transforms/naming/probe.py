"""Find out which file names a place accepts, by creating files that are removed again.

A table of file systems would not be enough: the answer depends on the mount options, on the server
behind a share and on the version of a driver.
"""

from __future__ import annotations

import errno
import os
import re
import unicodedata
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

from photoveil.transforms.io import storage
from photoveil.transforms.naming.output_names import Rules, is_device

_PLAIN = re.compile("[A-Za-z0-9_-]")
_BATCH = 40  # characters tried in one name: 160 bytes at most
_OBJECT = 1024  # bytes that the name of an object may have, on S3 and GCS
# These tell of the disk, not of a name.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)

Takes = Callable[[str], bool]


def find_rules(root: str, scratch: str, paths: Collection[str]) -> Rules:
    """Find out which names OUT accepts, as far as these paths need to know it.

    Args:
        root: of OUT.
        scratch: folder on the same file system, in which files are made and removed.

    Raises:
        OSError: nothing can be written there.
    """
    if not storage.is_local(root):
        return _of_bucket(root)
    folder = os.path.join(scratch, f"names-{uuid.uuid4().hex}")
    os.makedirs(folder)
    try:
        _try(folder, "photo.jpg")
        longest_path = _longest_path(folder) - len(os.fsencode(root)) - 2
        return _of_disk(lambda name: _takes(folder, name), folder, paths, longest_path)
    finally:
        storage.remove_folder(folder)


def _of_bucket(root: str) -> Rules:
    scheme, _, rest = root.partition("://")
    below = rest.partition("/")[2]
    room = _OBJECT - len(f"{below}/".encode()) if below else _OBJECT
    refused = frozenset("\r\n") if scheme == "gs" else frozenset()
    # A folder with a mark has to fit beside the longest name.
    return Rules(refused=refused, raw=False, longest=room - 16, longest_path=room)


def _of_disk(takes: Takes, folder: str, paths: Collection[str], longest_path: int) -> Rules:
    names = {name for path in paths for name in path.split("/")}
    ends = {name[-1] for name in names} & {".", " "}
    raw = [name for name in names if not name.isascii() and not _is_utf8(name)]
    most = max([255, *(len(os.fsencode(name)) for name in names if len(name) > 255)])
    longest = most if takes("x" * most) else _most(takes, most)
    return Rules(
        folds_case=_is_one(folder, "a", "A") or _is_one(folder, "é", "É"),
        folds_form=_is_one(folder, *(unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))),
        refused=frozenset(_refused(takes, set().union(*names))),
        ends=frozenset(end for end in ends if not takes(f"a{end}")),
        devices=not any(map(is_device, names)) or (takes("CON") and takes("nul.jpg")),
        raw=not raw or takes("a\udcff"),
        longest=longest,
        in_utf16=takes("é" * longest),
        longest_path=longest_path,
    )


def _refused(takes: Takes, characters: Iterable[str]) -> Iterator[str]:
    unusual = sorted(c for c in characters if not _PLAIN.match(c) and _is_utf8(c))
    for start in range(0, len(unusual), _BATCH):
        some = unusual[start : start + _BATCH]
        if not takes(f"a{''.join(some)}b"):
            yield from (character for character in some if not takes(f"a{character}b"))


def _most(takes: Takes, too_many: int) -> int:
    """Return the greatest length of a name; `too_many` is too long."""
    least = 1
    while too_many - least > 1:
        middle = (least + too_many) // 2
        if takes("x" * middle):
            least = middle
        else:
            too_many = middle
    return least


def _takes(folder: str, name: str) -> bool:
    """True if a file of this name can be made, and is listed under it."""
    with _made(folder, name) as is_made:
        # Some take a name and drop the dot at its end; some list another normal form.
        form = unicodedata.normalize("NFC", name)
        listed = os.listdir(folder) if is_made else []
        return any(unicodedata.normalize("NFC", found) == form for found in listed)


@contextmanager
def _made(folder: str, name: str) -> Iterator[bool]:
    """A new file of this name, deleted afterwards; false where the folder takes no such name.

    Raises:
        OSError: of the disk, and not of the name.
    """
    try:
        _try(folder, name)
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise
        is_made = False
    else:
        is_made = True
    try:
        yield is_made
    finally:
        if is_made:
            os.unlink(os.path.join(folder, name))


def _try(folder: str, name: str) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    os.close(os.open(os.path.join(folder, name), flags, 0o600))


def _is_one(folder: str, name: str, other: str) -> bool:
    """True if two names are one."""
    with _made(folder, name) as is_made:
        return is_made and os.path.lexists(os.path.join(folder, other))


def _longest_path(folder: str) -> int:
    try:
        return os.pathconf(folder, "PC_PATH_MAX")
    except (OSError, ValueError):  # it has no limit of its own
        return 4096


def _is_utf8(text: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in text)
