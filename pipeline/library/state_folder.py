"""The folder of a library's private state: its marker, the names of its files, and its deletion.

The marker names the library by its id, so that a state is never taken for another library's, and
that a library which was moved finds its own. Nothing is written to or deleted from a folder that
is not the library's state, and within one only files of the names below are deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from photoveil.transforms.io import parquet, storage
from photoveil.transforms.io.system_files import is_junk

MARKER = "photoveil-state.json"
SOURCE = "source"  # names the input folder, for commands that are given the library alone
REPORT, REPORT_PICTURES = "report", ("thumbnails", "before", "after", "people")
SHEET, PEOPLE_SHEET = "contact-sheet.png", "people/people.jpg"
FORMAT = 1
"""Of the private state. A program refuses one of a later format."""

_LONGEST_NOTE = 65_536  # bytes; a file of that name that is larger is another program's
_SCRATCH = "[0-9a-f]{32}"  # an unfinished file of `storage.write_atomic`
_PARTS = rf"([^/]+\.parquet|{_SCRATCH})"


@dataclass(frozen=True)
class Kind:
    """Files that the program makes in a private state. words: what they are. names: relative."""

    words: str
    names: re.Pattern[str]


KINDS = (
    Kind(
        "pictures of faces, as contact sheets",
        re.compile(rf"{re.escape(SHEET)}|people/people(-[0-9]+)?\.jpg|(people/)?{_SCRATCH}"),
    ),
    Kind(
        "who is who: embeddings of faces, and what their cloaks start from",
        re.compile(
            r"people/((people|targets|starts)\.parquet|changes\.log"
            rf"|(faces|changes|prototypes)/{_PARTS}|unfinished/{_SCRATCH})"
        ),
    ),
    Kind(
        "scans made ahead of a run, with pictures of faces",
        re.compile(rf"scans/([0-9a-f]{{16}}/{_PARTS}|unfinished/{_SCRATCH})"),
    ),
    Kind(
        "faces and cloaks of a run that was interrupted",
        re.compile(
            r"waves/[^/]+/(handed|scan|pairs|cloaks|changes|prototypes)(\.unfinished|/.+)?(/.+)?"
        ),
    ),
    Kind(
        "cloaked photos that were deleted from the library, kept for a while",
        re.compile(rf"trash/([^/]+/(photos|rows)/.+|unfinished/{_SCRATCH})", re.DOTALL),
    ),
    Kind("what you marked in a review, and the names of people", re.compile(r"review\.json")),
    Kind(
        "the report: pages and small pictures of the photos",
        re.compile(
            rf"{REPORT}/(index\.html|evaluation\.json|data/([0-9]+|index)\.js"
            rf"|({'|'.join(REPORT_PICTURES)})/([0-9a-f]{{2}}/)?[0-9a-f-]+\.webp)(\.unfinished)?"
        ),
    ),
    Kind(
        "notes: whose state this is, where the originals lie, how far a run is",
        re.compile(rf"{re.escape(MARKER)}|{SOURCE}|progress|unfinished/{_SCRATCH}"),
    ),
)
"""All that a private state may hold. `forget` deletes nothing else."""

_FOLDERS = re.compile(
    r"(people(/(faces|changes|prototypes|unfinished))?"
    rf"|{REPORT}(/data|/({'|'.join(REPORT_PICTURES)})(/[0-9a-f]{{2}})?)?"
    r"|scans(/([0-9a-f]{16}|unfinished))?|(waves|trash)(/.+)?|unfinished)/",
    re.DOTALL,
)


@dataclass(frozen=True)
class Marker:
    """What a private state says of itself.

    library: id of its library. root: where that was when last written to. place: where the state
    was then; a copy of it lies elsewhere. format: see `FORMAT`.
    """

    library: str
    root: str
    place: str
    format: int = FORMAT


class _Damaged(Exception):
    pass


@dataclass(frozen=True)
class Found:
    """What lies where a private state is looked for.

    marker: None in a state that version 0.1.0 made, too. empty: there is no folder, or nothing in
    it. strange: a name that the program does not make, or a link in place of a folder; where there
    is a marker only links are looked for. source: the input folder that the state names. damaged:
    what is wrong with the marker, and what to do.
    """

    place: str
    empty: bool = False
    marker: Marker | None = None
    strange: str | None = None
    source: str | None = None
    damaged: str | None = None

    @property
    def is_state(self) -> bool:
        """True for the private state of some library."""
        return not self.empty and self.strange is None


def inspect(place: str) -> Found:
    """See what lies at a place, without going through the whole of a large folder.

    Raises:
        OSError: it cannot be read.
    """
    try:
        marker = _read_marker(place)
    except _Damaged as error:
        return Found(place, damaged=str(error), source=_source(place))
    if marker is not None:
        return Found(place, marker=marker, strange=_link(place), source=_source(place))
    names = (entry.name for entry in _entries(place))
    names = (name for name in names if not is_junk(name))
    first = next(names, None)
    if first is None:
        return Found(place, empty=True)
    source = _source(place)
    known = _is_ours if source is not None else _is_bare
    strange = next((name for name in (first, *names) if not known(name)), None)
    return Found(place, strange=strange, source=source)


def write_marker(marker: Marker) -> bool:
    """Mark an unmarked state folder; False when another program has just done so.

    Raises:
        OSError: it cannot be written.
    """
    return storage.write_new(_marker(marker.place), _packed(marker), _scratch(marker.place))


def rewrite_marker(marker: Marker) -> None:
    """Mark a library's own state anew, for either was moved.

    Raises:
        OSError: it cannot be written.
    """
    storage.write_atomic(_marker(marker.place), _packed(marker), _scratch(marker.place))


def write_source(place: str, source: str) -> None:
    """Note the input folder.

    Raises:
        OSError: it cannot be written.
    """
    storage.write_atomic(storage.join(place, SOURCE), os.fsencode(source), _scratch(place))


@dataclass(frozen=True)
class Content:
    """What is in a private state.

    kinds: files and bytes of each kind, by its words. own: names of these files. foreign: names of
    what the program did not make. modified: when the newest of its files was written, seconds since
    the epoch.
    """

    kinds: dict[str, tuple[int, int]]
    own: tuple[str, ...]
    foreign: tuple[str, ...]
    modified: float | None

    @property
    def size(self) -> int:
        """Bytes of the program's own files."""
        return sum(size for _, size in self.kinds.values())


def content(place: str) -> Content:
    """Look through a private state.

    Raises:
        OSError: it cannot be listed.
    """
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    own: list[str] = []
    foreign: list[str] = []
    modified: float | None = None
    for entry in _entries(place):
        kind = _kind(entry.name)
        if kind is not None:
            counts[kind.words] += 1
            sizes[kind.words] += entry.size
            own.append(entry.name)
            modified = max(modified or 0.0, entry.modified)
        elif not _FOLDERS.fullmatch(entry.name):
            foreign.append(entry.name)
    kinds = {kind.words: (counts[kind.words], sizes[kind.words]) for kind in KINDS}
    return Content({k: v for k, v in kinds.items() if v[0]}, tuple(own), tuple(foreign), modified)


def delete(place: str) -> tuple[str, ...]:
    """Delete what the program made in a private state, and its folder when nothing else is left.

    The marker goes last: what a crash leaves is still known as a state.

    Returns:
        The names that stay, which the program did not make.

    Raises:
        OSError: something cannot be deleted.
    """
    found = content(place)
    last = [name for name in found.own if name in (MARKER, SOURCE)]
    for names in ([name for name in found.own if name not in last], last):
        storage.remove([storage.join(place, name) for name in names])
    if storage.is_local(place):
        for folder, _, _ in os.walk(place, topdown=False):
            relative = os.path.relpath(folder, place)
            if relative == os.curdir or _FOLDERS.fullmatch(f"{relative}/"):
                with contextlib.suppress(OSError):  # something is left in it
                    os.rmdir(folder)
    return found.foreign


def is_own(name: str) -> bool:
    """True for the name of a file, below a private state, that the program makes."""
    return _kind(name) is not None


def photos(place: str) -> set[str]:
    """sha256 of the photos whose faces a state knows.

    Raises:
        OSError: it cannot be read, or a table in it is damaged.
    """
    found: set[str] = set()
    for folder in ("people/faces", "scans"):
        for part in parquet.parts(storage.join(place, folder)):
            found.update(parquet.read(part, ["sha256"])["sha256"].drop_null().to_pylist())
    return found


def default_folder() -> str:
    """Where private states lie unless told, in the user's own state folder."""
    return storage.absolute(str(platformdirs.user_state_path("photoveil") / "libraries"))


def in_default_folder() -> list[Found]:
    """The private states in the default folder, in the order of their names.

    Raises:
        OSError: one cannot be read.
    """
    folder = Path(default_folder())
    if not folder.is_dir():
        return []
    places = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    return [found for found in map(inspect, map(str, places)) if found.is_state]


def _read_marker(place: str) -> Marker | None:
    path = _marker(place)
    if not storage.exists(path):
        return None
    data = storage.read_bytes(path)
    if not data:  # see `storage.write_new`
        return None
    try:
        fields = json.loads(data)
        return Marker(*(fields[name] for name in ("library", "root", "place", "format")))
    except (ValueError, KeyError, TypeError) as error:
        raise _Damaged(
            f"{path} is damaged. It only says whose private state this is: delete that file if you "
            "are sure that this is the state of the library, and run the same command again"
        ) from error


def _packed(marker: Marker) -> bytes:
    return json.dumps(asdict(marker), indent=1).encode()  # ASCII: paths may be no UTF-8


def _source(place: str) -> str | None:
    note = storage.join(place, SOURCE)
    if not storage.exists(note) or (storage.is_local(note) and not os.path.isfile(note)):
        return None
    source = os.fsdecode(storage.read_bytes(note, _LONGEST_NOTE))
    return source if os.path.isabs(source) or not storage.is_local(source) else None


def _marker(place: str) -> str:
    return storage.join(place, MARKER)


def _scratch(place: str) -> str:
    return storage.join(place, "unfinished")


def _is_ours(name: str) -> bool:
    return _kind(name) is not None or _FOLDERS.fullmatch(name) is not None


def _kind(name: str) -> Kind | None:
    if name.endswith("/"):
        return None
    return next((kind for kind in KINDS if kind.names.fullmatch(name)), None)


@dataclass(frozen=True)
class _Entry:
    """A file, a link, or a folder with a slash behind its name.

    modified: seconds since the epoch.
    """

    name: str
    size: int = 0
    modified: float = 0.0


def _entries(place: str) -> Iterator[_Entry]:
    """Yield what is below a place, the outer folder first.

    Links to folders are not followed, and folders that a system makes for itself are left out.
    """
    if not storage.is_local(place):
        yield from (_Entry(e.relative, e.size, e.mtime) for e in storage.walk(place))
        return
    if not os.path.isdir(place):
        return
    for folder, inner, files in os.walk(place, onerror=_raise):
        below = os.path.relpath(folder, place)
        within = "" if below == os.curdir else f"{below}/"
        links = [name for name in inner if os.path.islink(os.path.join(folder, name))]
        yield from (_Entry(f"{within}{name}/") for name in sorted(set(inner) - set(links)))
        for name in sorted([*files, *links]):
            status = os.lstat(os.path.join(folder, name))
            yield _Entry(f"{within}{name}", status.st_size, status.st_mtime)
        inner[:] = sorted(name for name in inner if not is_junk(f"{within}{name}/"))


def _is_bare(name: str) -> bool:
    """True for what is in a state in which no run has begun: a name that nobody else gives."""
    return name.split("/")[0] == "unfinished" and _is_ours(name)


def _link(place: str) -> str | None:
    """The first link where the program has a folder of its own: nothing is written through it."""
    report = ("report", *(f"report/{name}" for name in ("data", *REPORT_PICTURES)))
    people = ("people", *(f"people/{name}" for name in ("faces", "changes", "prototypes")))
    folders = (*people, "scans", "waves", "trash", *report)
    links = (name for name in (*folders, "unfinished") if os.path.islink(os.path.join(place, name)))
    return next(links, None) if storage.is_local(place) else None


def _raise(error: OSError) -> None:
    raise error
