"""Every read and write of photos, manifests and private state: local, or in a bucket.

Local files get what a personal archive needs and Beam's local file system lacks: links and special
files are recognised, files are synced before they are renamed, modification times are kept. `gs://`
and `s3://` go through `transforms.io.object_store`, which says what holds there. Two promises
differ: an object's modification time is when it was written, and its name has to be UTF-8.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from photoveil.transforms.io import folding, object_store
from photoveil.transforms.reasons import Reason

_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+://")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing found under a root.

    relative: path below the root, `/` between folders. Bytes that are no UTF-8 are kept as
        surrogate escapes (PEP 383), so that the name can be opened and written again.
    size: bytes. mtime: seconds since the epoch.
    problem: why it cannot be read as a file, in plain words; None for a file.
    """

    relative: str
    size: int
    mtime: float
    problem: str | None = None


def is_local(path: str) -> bool:
    """True for a path of this machine, False for `gs://...` and the like."""
    return _SCHEME.match(path) is None


def problem(path: str) -> str | None:
    """Return why nothing can be kept at `path`, whatever is there; None if it can."""
    return None if is_local(path) else object_store.problem(path)


def join(root: str, relative: str) -> str:
    """Return `relative` below `root`."""
    return os.path.join(root, relative) if is_local(root) else f"{root.rstrip('/')}/{relative}"


def inside(root: str, relative: str) -> str:
    """Return `relative` below `root`, for something to be written or deleted there.

    Raises:
        OSError: it leads out of `root`, by its name or by a link where a folder should be.
    """
    folders = relative.split("/")[:-1]
    if _name_problem(relative):
        raise OSError(errno.EPERM, f"{relative} is no place below {root}")
    for depth in range(len(folders) if is_local(root) else 0):
        folder = "/".join(folders[: depth + 1])
        if os.path.islink(os.path.join(root, folder)):
            raise OSError(
                errno.EPERM, f"{folder} is a link, and nothing is written through links; remove it"
            )
    return join(root, relative)


def absolute(path: str) -> str:
    """Return the path that identifies a folder from any working directory."""
    return _spelled(os.path.realpath(path)) if is_local(path) else path.rstrip("/")


def is_within(path: str, folder: str) -> bool:
    """True for `folder` itself and all below it, both absolute.

    On a disk, names that lead to the same folder count as one: a file system may ignore case, and a
    folder may be mounted twice.
    """
    separator = os.sep if is_local(folder) else "/"
    if f"{path}{separator}".startswith(f"{folder.rstrip(separator)}{separator}"):
        return True
    if not (is_local(path) and is_local(folder) and os.path.isdir(folder)):
        return False
    return any(is_same(above, folder) for above in _itself_and_above(path))


def is_same(path: str, other: str) -> bool:
    """True if two names are of one existing file or folder."""
    if not (is_local(path) and is_local(other)):
        return path == other
    try:
        return os.path.samefile(path, other)
    except OSError:  # one of them is not there
        return False


def _itself_and_above(path: str) -> Iterator[str]:
    yield path
    while (above := os.path.dirname(path)) != path:
        path = above
        yield path


def _spelled(path: str) -> str:
    """A path as its folders list it: some file systems find `/Photos` under `/photos`, too."""
    above, name = os.path.split(path)
    if not name:
        return path
    above = _spelled(above)
    here = os.path.join(above, name)
    try:
        listed = os.listdir(above) if os.path.lexists(here) else []
    except OSError:  # it may be entered, not listed
        listed = []
    if any(
        unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", name)
        for other in listed
    ):
        return here
    alike = [other for other in listed if folding.key(other) == folding.key(name)]
    return os.path.join(above, alike[0]) if alike else here


def is_one_entry(root: str, one: str, other: str) -> bool:
    """True where two paths below a local root that have one key (`folding.key`) are one file.

    Two hard links of one file are not. Inode numbers tell nothing here: exFAT in user space has one
    for each spelling under which a file is looked for.
    """
    there = all(os.path.lexists(join(root, name)) for name in (one, other))
    return there and not (_is_listed(root, one) and _is_listed(root, other))


def _is_listed(root: str, relative: str) -> bool:
    """True for a path that is there under this very spelling."""
    folder = root
    for name in relative.split("/"):
        if name not in os.listdir(folder):
            return False
        folder = os.path.join(folder, name)
    return True


def make_private_folder(path: str) -> None:
    """Make a folder that only its owner can read; in a bucket the bucket's rules decide.

    The mode of an existing folder is changed, so call it only for a folder of the program's own.

    Raises:
        OSError: it cannot be made, or is another user's.
    """
    if is_local(path):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o700)


def exists(path: str) -> bool:
    """True if a file or folder (or, in a bucket, anything below that name) exists."""
    if is_local(path):
        return os.path.lexists(path)
    return object_store.stat(path) is not None or any(object_store.find(_below(path), 1))


def is_folder(path: str) -> bool:
    """True for what `walk` goes into; of what exists, all else is one entry of its."""
    if is_local(path):
        return os.path.isdir(path) and not os.path.islink(path)
    return object_store.stat(path) is None


def is_empty(folder: str) -> bool:
    """True if there is nothing below `folder`, or no such folder.

    Raises:
        OSError: it cannot be listed.
    """
    if is_local(folder):
        return not os.path.lexists(folder) or not os.listdir(folder)
    return not any(object_store.find(_below(folder), 1))


def walk(root: str) -> Iterator[Entry]:
    """Yield everything below `root`, folder by folder in name order.

    Links to files are followed. Links to folders are not: they may form a loop, and what they point
    to is either below the root already or not part of this archive.

    Raises:
        OSError: the root itself cannot be listed.
    """
    if is_local(root):
        yield from _walk_local(root, "")
        return
    prefix = _below(root)
    found = ((item.path[len(prefix) :], item) for item in object_store.find(prefix))
    for relative, item in sorted(found, key=lambda pair: pair[0].split("/")):
        if not item.size and (not relative or relative.endswith("/")):
            continue  # what some tools put where a folder would be
        yield Entry(relative, item.size, item.modified, _name_problem(relative))


def _below(folder: str) -> str:
    return folder.rstrip("/") + "/"


def _name_problem(relative: str) -> str | None:
    """Say why a name cannot be that of a file below OUT; None if it can.

    A bucket or a manifest may hold any name, also one that is no path.
    """
    if any(part in ("", ".", "..") for part in relative.split("/")):
        return "its name cannot be that of a file: an empty part, `.` or `..` between slashes"
    return None


def _walk_local(root: str, below: str) -> Iterator[Entry]:
    with os.scandir(os.path.join(root, below)) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        relative = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir(follow_symlinks=False):
            try:
                yield from _walk_local(root, relative)
            except OSError as error:
                yield Entry(relative, 0, 0.0, Reason.NOT_LISTED.of(system=explain(error)))
            continue
        try:
            status = entry.stat()
        except OSError as error:
            yield Entry(relative, 0, 0.0, Reason.BROKEN_LINK.of(system=explain(error)))
            continue
        if stat.S_ISDIR(status.st_mode):
            problem: str | None = Reason.LINK_TO_FOLDER.of()
        elif not stat.S_ISREG(status.st_mode):
            problem = Reason.NOT_REGULAR.of()
        else:
            problem = None
        yield Entry(relative, status.st_size, status.st_mtime, problem)


def read_bytes(path: str, most: int = -1) -> bytes:
    """Read the whole file, or its first `most` bytes.

    Raises:
        OSError: it cannot be read.
    """
    if not is_local(path):
        return object_store.read(path, most)
    with open(path, "rb") as stream:
        return stream.read(most)


def sha256(path: str) -> str:
    """Hash a file of any size, hex.

    Raises:
        OSError: it cannot be read.
    """
    if not is_local(path):
        return hashlib.sha256(object_store.read(path)).hexdigest()
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomic(
    path: str, data: bytes, scratch: str, mtime: float | None = None, like: str | None = None
) -> None:
    """Write a file so that `path` is at any moment the old file or the whole new one.

    Args:
        scratch: folder for the unfinished local file, on the same file system as `path`; a
            leftover of a crash is found there, never beside the user's photos.
        mtime: modification time to set, seconds since the epoch (local files).
        like: a file whose extended attributes and creation time the new one gets, where the
            system lets them be set (local files).

    Raises:
        OSError: it cannot be written (disk full, no permission, name too long).
    """
    if not is_local(path):
        object_store.write(path, data)
        return
    unfinished = join(scratch, uuid.uuid4().hex)
    os.makedirs(scratch, exist_ok=True)
    _make_folder(os.path.dirname(path))
    try:
        with open(unfinished, "wb") as stream:
            stream.write(data)
            stream.flush()
            if like is not None and is_local(like):
                _carry_attributes(like, unfinished)
            if mtime is not None:
                set_mtime(unfinished, mtime)
            os.fsync(stream.fileno())  # time and attributes too
        os.replace(unfinished, path)
    except OSError:
        if os.path.exists(unfinished):
            os.unlink(unfinished)
        raise
    _sync_folder(os.path.dirname(path))


def write_new(path: str, data: bytes, scratch: str) -> bool:
    """Write a file only where there is none; if several try at once, one succeeds.

    Args:
        scratch: as for `write_atomic`.

    Returns:
        False if there is one; it is left as it is. A crash may leave an empty file where the file
        system has no hard links.

    Raises:
        OSError: it cannot be written.
    """
    if not is_local(path):
        try:
            object_store.write(path, data, object_store.ABSENT)
        except object_store.ConditionFailed:
            return False
        return True
    unfinished = join(scratch, uuid.uuid4().hex)
    write_atomic(unfinished, data, scratch)
    try:
        os.link(unfinished, path)
    except FileExistsError:
        return False
    except OSError:  # no hard links here: an empty file takes the name until the whole one is there
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except FileExistsError:
            return False
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)
    _sync_folder(os.path.dirname(path))
    return True


def write_private(path: str, data: bytes) -> None:
    """Write a file with biometric or personal data; on a local disk only its owner can read it.

    Raises:
        OSError: it cannot be written.
    """
    write_atomic(path, data, os.path.dirname(path))
    if is_local(path):
        os.chmod(path, 0o600)


def set_mtime(path: str, mtime: float) -> None:
    """Set a file's modification time where the file system allows it.

    On FAT only the user whose disk it is may do so, though others may write.

    Args:
        path: of the file.
        mtime: seconds since the epoch; FAT keeps even seconds, exFAT hundredths.

    Raises:
        OSError: the file does not exist.
    """
    with contextlib.suppress(PermissionError):
        os.utime(path, (mtime, mtime), follow_symlinks=False)


def _carry_attributes(source: str, target: str) -> None:
    with contextlib.suppress(OSError):  # a file system without them
        for name in os.listxattr(source) if hasattr(os, "listxattr") else ():
            if name.startswith("user."):
                os.setxattr(target, name, os.getxattr(source, name))
    # On macOS a file is never younger than its modification time: the earlier one moves both.
    created = getattr(os.stat(source), "st_birthtime", None)
    if created is not None:
        os.utime(target, (created, created))


def link_atomic(source: str, target: str, scratch: str) -> None:
    """Make `target` a second name of the file `source`, replacing what is there.

    Where there are no hard links, as in a bucket, `target` becomes a copy.

    Raises:
        OSError: neither works.
    """
    if not is_local(target):
        object_store.copy(source, target)
        return
    unfinished = join(scratch, uuid.uuid4().hex)
    os.makedirs(scratch, exist_ok=True)
    _make_folder(os.path.dirname(target))
    try:
        os.link(source, unfinished)
    except OSError:
        write_atomic(target, read_bytes(source), scratch, os.stat(source).st_mtime)
        return
    os.replace(unfinished, target)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unfinished)  # POSIX rename does nothing when both are one file already
    _sync_folder(os.path.dirname(target))


def remove(paths: Iterable[str]) -> None:
    """Delete files durably, so that no power cut brings them back; a missing file is no error.

    Raises:
        OSError: one cannot be deleted.
    """
    paths = list(paths)
    folders = set()
    for path in filter(is_local, paths):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            folders.add(os.path.dirname(path))
    for folder in folders:
        _sync_folder(folder)
    object_store.remove(path for path in paths if not is_local(path))


def remove_folder(path: str) -> None:
    """Delete a folder and all below it, durably.

    Raises:
        OSError: something in it cannot be deleted.
    """
    if not is_local(path):
        object_store.remove([item.path for item in object_store.find(_below(path))])
        return
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
        _sync_folder(os.path.dirname(path))


def remove_empty_folders(root: str, names: Iterable[str]) -> None:
    """Delete the folders of these files below a local `root` that are now empty."""
    if not is_local(root):
        return
    for folder in {os.path.dirname(name) for name in names}:
        while folder:
            try:
                os.rmdir(join(root, folder))
            except OSError:  # something is left in it
                break
            folder = os.path.dirname(folder)


def _make_folder(folder: str) -> None:
    """Make a folder and those that it lies in, so that a power cut leaves them."""
    if folder and not os.path.isdir(folder):
        parent = os.path.dirname(folder)
        _make_folder(parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        _sync_folder(parent or os.curdir)


def _sync_folder(folder: str) -> None:
    """Make what was named, renamed or deleted in a folder survive a power cut.

    Some shares cannot sync a folder, and say so by one of three errors.
    """
    handle = os.open(folder or os.curdir, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def is_of_name(error: OSError) -> bool:
    """True if a file cannot be written because of its name, so that retrying is pointless."""
    return error.errno in (errno.EEXIST, errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG)


def explain(error: OSError) -> str:
    """Put an operating system error in plain words, without the path."""
    if error.strerror and error.strerror != os.strerror(error.errno or 0):
        return error.strerror  # words that were chosen for it
    words = {
        errno.EACCES: "no permission",
        errno.EPERM: "no permission",
        errno.ENOENT: "no such file",
        errno.ENOSPC: "no space left on the disk",
        errno.EDQUOT: "disk quota used up",
        errno.ELOOP: "the link points to itself",
        errno.ENAMETOOLONG: "the name is too long",
        errno.EIO: "the disk gave a read error",
        errno.EROFS: "the disk is read-only",
    }
    return words.get(error.errno or 0, error.strerror or "an error of the disk or the network")


def printable(name: str) -> str:
    r"""Return a file name as valid UTF-8, with invalid bytes written as \xNN."""
    if name.isascii():  # as most are, by the million
        return name
    return os.fsencode(name).decode("utf-8", "backslashreplace")
