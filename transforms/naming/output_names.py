r"""Names of outputs: each file keeps its own path below OUT where OUT can hold it.

A file system may take two names for one (`IMG_1.JPG` and `img_1.jpg` on exFAT, NTFS and APFS, and
there two Unicode spellings of `é` too), refuse characters (`:` `?` `*` `"` `<` `>` `|` `\`), names
that end in a dot or a space, names of Windows devices, bytes that are not UTF-8, and long names. A
path that OUT cannot hold is changed, in a way that can be reversed:

    a refused character     becomes the hex codes of its bytes in UTF-8: `10%3A30.jpg`
    a name held by another  gets a mark made of the file's own path: `img_1 (5f0c9a21).jpg`
    a name that is too long is cut and gets such a mark

Files that share a stem, such as a photo and its sidecar, get the same mark. The manifest has both
paths, and why they differ.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from urllib.parse import unquote

from photoveil.transforms.io import folding, storage
from photoveil.transforms.io.storage import Entry, printable
from photoveil.transforms.records import Naming

_NOTE = "written under another name: "
_MARK = re.compile(r" \(([0-9a-f]{8})\)")
# What may follow the stem that a photo shares with the files that belong to it:
# `img.jpg`, `img.xmp`, `img.jpg.xmp`, `img.jpg.supplemental-metadata.json`.
_EXTENSION = (
    r"(?:\.(?:avif|bmp|dib|gif|heic|heif|hif|jfif|jpe|jpe?g|mpo|png|tiff?|webp"
    r"|3gp|avi|m2ts|m4v|mkv|mov|mp4|mpg|mts|webm|wmv|xmp|aae|json|suppl[a-z-]*))"
)
_TAIL = re.compile(f"{_EXTENSION}+$", re.IGNORECASE)
_FIRST = re.compile(_EXTENSION, re.IGNORECASE)
_DEVICES = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)", re.I)
_RAW = re.compile("[\udc80-\udcff]")  # bytes that are no UTF-8, as Python has them in a name
_LONGEST_EXTENSION = 40  # what is longer is no extension, but part of the name


@dataclass(frozen=True)
class Rules:
    """Which names a place accepts for a file. The default is that of Linux's own file systems.

    folds_case: names that differ in case alone are one. folds_form: so are those that differ in
        Unicode normal form.
    refused: characters that it does not accept. ends: characters that it does not accept at the
        end.
    devices: it accepts `CON`, `NUL` and the like. raw: it accepts bytes that are not UTF-8.
    longest: length of one name, in bytes or, with `in_utf16`, in units of UTF-16.
    longest_path: bytes of the path below the root.
    """

    folds_case: bool = False
    folds_form: bool = False
    refused: frozenset[str] = frozenset()
    ends: frozenset[str] = frozenset()
    devices: bool = True
    raw: bool = True
    longest: int = 255
    in_utf16: bool = False
    longest_path: int = 4000

    def key(self, path: str) -> str:
        """Equal for two paths that may be one to this place, and for no others if it folds none."""
        return folding.key(path, self.folds_case, self.folds_form)

    def length(self, name: str) -> int:
        """Of one name, in the unit of `longest`."""
        if self.in_utf16:
            return len(name.encode("utf-16-le", "surrogatepass")) // 2
        return len(os.fsencode(name))


@dataclass(frozen=True)
class Held:
    """An output that the library has.

    source, output: as the manifest has them. why: as in `Naming`, where the two differ.
    """

    source: str
    output: str
    why: str = ""


@dataclass(frozen=True)
class Wanted:
    """A file that is to get an output.

    path: below the input folder. moved_from: source of the row whose output it takes over, when
    it is a file under a new name.
    """

    path: str
    moved_from: str | None = None


def note(naming: Naming | None) -> tuple[str, ...]:
    """Return the manifest's note about a file with another name."""
    return () if naming is None else (f"{_NOTE}{naming.why}",)


def other_notes(notes: Iterable[str]) -> list[str]:
    """Return the notes of a row except those of `note`."""
    return [text for text in notes if not text.startswith(_NOTE)]


def why(notes: Iterable[str]) -> str:
    """Return the reason in the notes of a row; empty where there is none."""
    return next((text.removeprefix(_NOTE) for text in notes if text.startswith(_NOTE)), "")


def is_device(name: str) -> bool:
    """True for a name that Windows reserves for a device, whatever its extension."""
    return _DEVICES.match(name) is not None


def assign(
    wanted: Sequence[Wanted], held: Sequence[Held], rules: Rules, reserved: str
) -> dict[str, Naming]:
    """Choose where the outputs of these files go, for those that cannot have their own path.

    A file that has an output keeps its name. If several new files want one name, the first in order
    gets it. No two files of `wanted` and `held` get one name.

    Args:
        reserved: name in OUT's root that is not for photos.

    Returns:
        By path below the input folder.
    """
    names = _Names(held, rules, reserved)
    sources = {printable(one.path) for one in wanted}
    for row in held:
        if row.source not in sources:
            names.take(row.source, row.output)
    ordered = sorted(wanted, key=lambda one: one.path)
    new = [one for one in ordered if not names.keeps(one)]
    new = [one for one in new if not names.keeps_spelling(one)]
    paths = sorted((one.path for one in new), key=_stem)
    for path in paths:
        names.take_folder(names.place(path.rpartition("/")[0])[0])
    for _, group in groupby(paths, key=lambda path: _stem(path)[0]):
        names.give(list(group))
    return names.given


class _Names:
    """The names that are taken, while more are given."""

    def __init__(self, held: Sequence[Held], rules: Rules, reserved: str) -> None:
        self.given: dict[str, Naming] = {}
        self._rules, self._reserved = rules, reserved
        self._rows = {row.source: row for row in held}
        # What the marks of outputs are made of; what belongs to them and comes later gets them too.
        self._marked = {
            of
            for row in held
            if row.output != row.source
            for of in _marks(row.source)
            if f" ({_digest(of)})" in row.output.rpartition("/")[2]
        }
        self._kept: set[str] = set()  # sources that are redone in their place
        self._owners: dict[str, str] = {}  # source by key of its output
        self._folders: dict[str, str] = {}  # spelling by key
        self._places: dict[str, tuple[str, str]] = {"": ("", "")}  # of folders, and why

    def take(self, source: str, output: str) -> bool:
        """Note that an output is there; False when another source has its name."""
        self.take_folder(output.rpartition("/")[0])
        return self._owners.setdefault(self._rules.key(printable(output)), source) == source

    def take_folder(self, folder: str) -> None:
        """Note that a folder is there, and those that it lies in."""
        while folder and (key := self._rules.key(printable(folder))) not in self._folders:
            self._folders[key] = printable(folder)
            folder = folder.rpartition("/")[0]

    def keeps(self, one: Wanted) -> bool:
        """True for a file whose row has an output that can stay where it is."""
        source = printable(one.path)
        row = self._rows.get(source)
        if row is None:
            return False
        output = one.path if row.output == source else row.output
        if any(_changed(name, self._rules)[1] for name in output.split("/")):
            return False
        if not self.take(source, output):
            return False
        self._kept.add(source)
        if output != one.path:
            self.given[one.path] = Naming(output, row.why)
        return True

    def keeps_spelling(self, one: Wanted) -> bool:
        """True for a file that was renamed to what is the same name here: its output stays."""
        row = self._rows.get(one.moved_from or "")
        key = self._rules.key(printable(one.path))
        if row is None or row.source in self._kept or self._owners.get(key) != row.source:
            return False
        self._owners[key] = printable(one.path)
        if row.output != printable(one.path):
            self.given[one.path] = Naming(row.output, _one_name(row.output))
        return True

    def place(self, folder: str) -> tuple[str, str]:
        """Where the files of a source folder go, and why not to the same one.

        Folders that are one to OUT become one: the files in it are told apart.
        """
        if folder not in self._places:
            above, _, name = folder.rpartition("/")
            parent, reason = self.place(above)
            changed, own = _changed(name, self._rules)
            reason = reason or own
            changed = self._cut(changed, folder)
            key = self._rules.key(printable(_below(parent, changed)))
            spelled = self._folders.get(key, printable(_below(parent, changed)))
            if spelled != printable(_below(parent, changed)):
                self._places[folder] = spelled, reason or _one_name(spelled)
                return self._places[folder]
            other = self._owners.get(key)
            if key == self._rules.key(self._reserved):
                other = self._reserved
            if other is not None:
                reason = reason or _one_name(other)
                changed = self._with_mark(changed, "", _digest(folder))
            self._places[folder] = _below(parent, changed), reason
        return self._places[folder]

    def give(self, paths: list[str]) -> None:
        """Name files that share a stem."""
        stem = _stem(paths[0])[0]
        owners = {path: self._owner(self._plain(path)[0]) for path in paths}
        # What clashes with a file of another stem takes all that belongs to it along.
        foreign = [owner for owner in owners.values() if owner and not _shares(owner, stem)]
        for path in paths:
            place, reason = self._plain(path)
            marks = [of for of in _marks(path) if printable(of) in self._marked]
            owner = owners[path] or self._owner(place)
            if foreign or marks or owner:
                of = marks[0] if marks else stem if foreign else _marks(path)[1]
                place = self._free(path, of)
                reason = reason or _one_name(owner or foreign[0] if owner or foreign else stem)
            if place != path:
                place = _RAW.sub(_code, place)  # the manifest holds these names as they are
                self.given[path] = Naming(place, reason)
            self.take(printable(path), place)

    def _owner(self, place: str) -> str | None:
        """Who has a name: a source, or a folder."""
        key = self._rules.key(printable(place))
        return f"the folder {place}" if key in self._folders else self._owners.get(key)

    def _plain(self, path: str) -> tuple[str, str]:
        """The place of a file if no other has it, and why it is not its own path."""
        folder, _, name = path.rpartition("/")
        place, reason = self.place(folder)
        changed, own = _changed(name, self._rules)
        return self._shallow(path, _below(place, self._cut(changed, _stem(path)[0])), reason or own)

    def _free(self, path: str, of: str) -> str:
        """The first place with a mark that nobody has."""
        folder, _, name = path.rpartition("/")
        start, tail = _split(_changed(name, self._rules)[0])
        number = 0
        while True:
            marked = self._with_mark(start, tail, _digest(f"{of}/{number}" if number else of))
            place, _ = self._shallow(path, _below(self.place(folder)[0], marked), "")
            if self._owner(place) is None:
                return place
            number += 1

    def _cut(self, name: str, of: str) -> str:
        """A name that is not too long."""
        if self._rules.length(name) <= self._rules.longest:
            return name
        return self._with_mark(*_split(name), _digest(of))

    def _with_mark(self, start: str, tail: str, mark: str) -> str:
        """`start (mark)tail`, the start cut to what there is room for."""
        room = self._rules.longest - self._rules.length(f" ({mark}){tail}")
        while start and self._rules.length(start) > room:
            start = start[:-1]
        return f"{start.rstrip(' .')} ({mark}){tail}"

    def _shallow(self, path: str, place: str, reason: str) -> tuple[str, str]:
        """A place whose whole path is not too long: inner folders make way for one with a mark."""
        most = self._rules.longest_path
        if len(os.fsencode(place)) <= most:
            return place, reason
        *folders, name = place.split("/")
        last = (f"({_digest(path.rpartition('/')[0])})", name)
        while folders and len(os.fsencode("/".join((*folders, *last)))) > most:
            folders.pop()
        return "/".join((*folders, *last)), f"OUT takes no paths of more than {most:,} bytes"


def place(root: str, output: str) -> str:
    """Return where to write an output, `root/output`.

    Raises:
        OSError: it is outside of `root`, or is another file there: on FAT and NTFS a file has a
            second name, such as `IMG_00~1.JPG`.
    """
    target = storage.inside(root, output)
    if storage.is_local(target) and os.path.lexists(target):
        folder, name = os.path.split(target)
        listed = os.listdir(folder)
        if name not in listed and folding.key(name) not in map(folding.key, listed):
            raise OSError(errno.EEXIST, "OUT takes its name for that of another file; rename it")
    return target


def listing(root: str, outputs: Iterable[str]) -> list[Entry]:
    """List everything below OUT, each output under its name in the manifest.

    A file system may list a file under another spelling than it was written under, and find it
    under both. Such an output is returned as it is spelled in `outputs`.

    Args:
        outputs: as the manifest has them.

    Raises:
        OSError: the folder cannot be listed.
    """
    entries = list(storage.walk(root))
    wanted = set(outputs)
    missing = wanted.difference(printable(entry.relative) for entry in entries)
    if not missing or not storage.is_local(root):
        return entries
    by_key = {folding.key(name): name for name in missing}
    return [
        replace(entry, relative=name)
        if printable(entry.relative) not in wanted
        and (name := by_key.get(folding.key(printable(entry.relative)), ""))
        and storage.exists(storage.join(root, name))
        else entry
        for entry in entries
    ]


def without_kept(root: str, names: Iterable[str], kept: Iterable[str]) -> list[str]:
    """The names of outputs, but for those that are only another spelling of one that is kept."""
    if not storage.is_local(root):
        return list(names)
    by_key: dict[str, list[str]] = {}
    for name in kept:
        by_key.setdefault(folding.key(name), []).append(name)
    return [
        name
        for name in names
        if not any(
            storage.is_one_entry(root, name, other)
            for other in by_key.get(folding.key(printable(name)), ())
        )
    ]


def may_be_of(sources: Iterable[str]) -> Callable[[str], bool]:
    """Tells of an output's name whether it may be one of these files, as the manifest has them."""
    sources = list(sources)
    keys = {folding.key(source) for source in sources}
    marks = {_digest(of) for source in sources for of in _marks(source)}

    def tell(name: str) -> bool:
        if marks.intersection(_MARK.findall(name)):
            return True
        own = printable(unquote(_MARK.sub("", name), errors="surrogateescape"))
        return folding.key(own) in keys

    return tell


def _changed(name: str, rules: Rules) -> tuple[str, str]:
    """A name without what the place does not take, and why; the length does not count."""
    bad = rules.refused.intersection(name)
    reasons = []
    if bad:
        shown = " ".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in sorted(bad))
        reasons.append(f"OUT takes no {shown} in names")
    changed = "".join(_code(c) if c in bad else c for c in name)
    if not rules.raw and _RAW.search(changed):
        reasons.append("OUT takes no names that are no UTF-8")
        changed = _RAW.sub(_code, changed)
    if not rules.devices and is_device(changed):
        reasons.append(f"OUT takes no file called {name}")
        changed = _code(changed[0]) + changed[1:]
    if changed and changed[-1] in rules.ends:
        last = "a dot" if changed[-1] == "." else "a space"
        reasons.append(f"OUT takes no names that end in {last}")
        kept = changed.rstrip("".join(rules.ends))
        changed = kept + "".join(_code(c) for c in changed[len(kept) :])
    if rules.length(changed) > rules.longest:
        unit = "UTF-16 units" if rules.in_utf16 else "bytes"
        reasons.append(f"OUT takes no names of more than {rules.longest} {unit}")
    return changed, "; ".join(reasons)


def _code(character: str | re.Match[str]) -> str:
    text = character if isinstance(character, str) else character.group()
    return "".join(f"%{byte:02X}" for byte in os.fsencode(text))


def _one_name(other: str) -> str:
    return f"OUT takes its own name and that of {other} for one"


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _split(name: str) -> tuple[str, str]:
    """A file's name as what it shares with files that belong to it, and the rest."""
    tail = _TAIL.search(name)
    at = tail.start() if tail else len(name)
    if at == 0 or not tail:
        start, extension = os.path.splitext(name)
        return (start, extension) if len(extension) < _LONGEST_EXTENSION else (name, "")
    return name[:at], name[at:]


def shared_stem(path: str) -> str:
    """Return the start of a path that a photo shares with the files that belong to it."""
    return _stem(path)[0]


def _stem(path: str) -> tuple[str, str]:
    """A path as what it shares with files that belong to it, and the rest."""
    folder, _, name = path.rpartition("/")
    start, tail = _split(name)
    return _below(folder, start), tail


def _marks(path: str) -> tuple[str, str]:
    """Return what the mark of a file may be made of: its stem, and that with its first extension.

    Names that are alike but for the case of `.jpg` differ by the latter.
    """
    stem, tail = _stem(path)
    found = _FIRST.match(tail)
    return stem, stem + (found.group() if found else tail)


def _shares(source: str, stem: str) -> bool:
    return _stem(source)[0] == printable(stem)


def _digest(text: str) -> str:
    return hashlib.sha256(printable(text).encode()).hexdigest()[:8]
