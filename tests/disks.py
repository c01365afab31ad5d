"""Disks whose file systems take two names for one: real ones where they can be mounted, and a store
that does as exFAT does.

A real one needs root, a loop device or FUSE, and the program that makes or mounts it (Debian:
exfatprogs and exfat-fuse, ntfs-3g, dosfstools). `PHOTOVEIL_DISK` may name a folder on any other.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DISK_ENV = "PHOTOVEIL_DISK"
KINDS = ("store", "given", "exfat", "ntfs", "vfat", "ext4")
FORBIDDEN = frozenset('"*/:<>?\\|' + "".join(map(chr, range(32))))  # exFAT specification, 7.7.3

_MEGABYTES = 64
# How an image is made, and how it is mounted; {image}, {loop} and {folder} are filled in.
_COMMANDS = {
    "exfat": (["mkfs.exfat", "{image}"], ["mount.exfat-fuse", "{loop}", "{folder}"]),
    "ntfs": (
        ["mkfs.ntfs", "-q", "-F", "{image}"],
        ["lowntfs-3g", "{image}", "{folder}", "-o", "windows_names,ignore_case"],
    ),
    "vfat": (
        ["mkfs.vfat", "{image}"],
        ["mount", "-t", "vfat", "-o", "utf8,iocharset=iso8859-1", "{loop}", "{folder}"],
    ),
    "ext4": (
        ["mkfs.ext4", "-q", "-O", "casefold", "-E", "encoding=utf8", "{image}"],
        ["mount", "-t", "ext4", "{loop}", "{folder}"],
    ),
}


@contextlib.contextmanager
def mounted(kind: str) -> Iterator[Path]:
    """A new disk of a kind, with nothing on it; skips the test where there can be none."""
    if kind == "given":
        if DISK_ENV not in os.environ:
            pytest.skip(f"no folder on a disk that folds names ({DISK_ENV})")
        with tempfile.TemporaryDirectory(dir=os.environ[DISK_ENV]) as given:
            yield Path(given)
        return
    make, mount = _COMMANDS[kind]
    for program in (make[0], mount[0]):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} here")
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        image, folder = base / "image", base / "disk"
        with open(image, "wb") as stream:
            stream.truncate(_MEGABYTES << 20)
        folder.mkdir()
        _run(kind, make, image=image)
        loop = ""
        if "{loop}" in mount:
            loop = _run(kind, ["losetup", "--find", "--show", "{image}"], image=image).strip()
            stack.callback(_run, kind, ["losetup", "--detach", loop])
        _run(kind, mount, image=image, loop=loop, folder=folder)
        stack.callback(_run, kind, ["umount", str(folder)])
        inner = folder / "disk"
        inner.mkdir()
        if kind == "ext4":
            _run(kind, ["chattr", "+F", str(inner)])
        yield inner


def _run(kind: str, command: list[str], **places: object) -> str:
    done = subprocess.run(
        [part.format(**places) for part in command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        pytest.skip(f"{kind} cannot be mounted here: {command[0]}: {said[0]}")
    return done.stdout


class FoldingStore:
    """Makes a folder behave as one on exFAT: for this process, in all that opens files by path.

    Names that are the same in upper case, character by character, are one; a few characters are
    refused; a name has 255 units of UTF-16 at most; there are no hard links; times are even
    seconds (as on FAT; exFAT has hundredths).
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self._root = f"{root}/"
        for name in ("stat", "lstat", "scandir", "listdir", "unlink", "rmdir", "chmod", "access"):
            self._wrap(patch, os, name)
        self._wrap(patch, os, "mkdir", makes=True)
        self._wrap(patch, builtins, "open", makes=True)
        self._wrap(patch, os, "open", makes=True)
        self._replace(patch)
        utime, link = os.utime, os.link

        def coarse(path: Any, times: Any = None, **more: Any) -> None:
            if self._is_here(path) and times is not None:
                times = tuple(int(one) // 2 * 2 for one in times)
            utime(self._real(path), times, **more)

        def no_link(source: Any, target: Any, **more: Any) -> None:
            if self._is_here(target):
                raise OSError(errno.EPERM, os.strerror(errno.EPERM), target)
            link(source, target, **more)

        patch.setattr(os, "utime", coarse)
        patch.setattr(os, "link", no_link)

    def _is_here(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self._root)

    def _real(self, path: Any, makes: bool = False) -> Any:
        """The path as it is spelled on the disk below."""
        if not self._is_here(path):
            return path
        names = os.fspath(path)[len(self._root) :].split("/")
        real = self._root
        for name in names:
            try:
                listed = _listdir(real)
            except OSError:
                listed = []
            found = next((other for other in listed if _key(other) == _key(name)), None)
            if found is None and makes:
                _check(name)
            real = os.path.join(real, name if found is None else found)
        return real

    def _wrap(self, patch: pytest.MonkeyPatch, module: Any, name: str, makes: bool = False) -> None:
        original: Callable[..., Any] = getattr(module, name)

        def wrapped(path: Any = ".", *arguments: Any, **more: Any) -> Any:
            return original(self._real(path, makes), *arguments, **more)

        patch.setattr(module, name, wrapped)

    def _replace(self, patch: pytest.MonkeyPatch) -> None:
        replace, unlink = os.replace, os.unlink

        def renamed(source: Any, target: Any, **more: Any) -> None:
            old, there = self._real(source), self._real(target, makes=True)
            if self._is_here(target):
                target = os.path.join(os.path.dirname(there), os.path.basename(target))
                if there not in (target, old):
                    unlink(there)
            replace(old, target, **more)

        patch.setattr(os, "replace", renamed)
        patch.setattr(os, "rename", renamed)


_listdir = os.listdir


def _key(name: str) -> str:
    return "".join(c.upper() if len(c.upper()) == 1 else c for c in name)


def _check(name: str) -> None:
    if FORBIDDEN & set(name):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    try:
        units = len(name.encode("utf-16-le")) // 2
    except UnicodeEncodeError as error:
        raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ), name) from error
    if units > 255:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
