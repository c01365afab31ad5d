"""`photoveil status`: what a library holds and how its last run ended.

The originals are not read.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options
from photoveil.pipeline.cli.as_json import of_status, print_json
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.exit_codes import ExitCode
from photoveil.pipeline.cli.output import counted, failures, print_text
from photoveil.pipeline.words import duration, number, size
from photoveil.transforms.io import storage

if TYPE_CHECKING:
    from photoveil.pipeline.library.library import Library
    from photoveil.pipeline.library.trash import Kept

_COLUMNS = ("source", "status", "reason", "retry", "faces", "gone")
_GO_ON = "The same command goes on from there."


def status(
    output: options.Root,
    as_json: options.AsJson = False,
    state: options.State = None,
    verbose: options.Verbose = False,
) -> None:
    """Show what a library holds, how its last run ended and whether a run is in progress.

    Exit status: 0 nothing was left undone, or a run is in progress; 1 stopped by an error; 2 no
    library; 3 the last run was interrupted, or photos fail.
    """
    quiet_logs.configure(verbose)
    console = Console()
    with errors_as_exit_codes():
        found = read_status(output, state)
        if as_json:
            print_json(of_status(found))
        else:
            print_text(console, words(found))
    raise typer.Exit(ExitCode.DONE if found.is_well else ExitCode.SOME_FAILED)


@dataclass(frozen=True)
class LibraryStatus:
    """What is known of a library.

    forgotten: when `photoveil forget` deleted its private state, ISO 8601; None if it did not.
    statuses: files by manifest status.
    failed: (source, reason) of those that failed when they were last tried.
    to_retry: how many of these the next run tries again.
    faces: number of cloaked ones.
    gone: cloaked files whose originals are no longer there.
    last: record of the last run, see `pipeline.library.run_history`; None before any.
    running: True if a run is writing now.
    published: files that it has done, if that is known.
    unfinished: files that an interrupted run left half-written.
    in_hand: True if an interrupted run kept scans and cloaks to continue with.
    scanned: photos scanned before a run.
    people: number of known ones.
    room: bytes of the library.
    state_room: bytes of the private state.
    pruned: what is in its trash.
    """

    library: Library
    forgotten: str | None
    statuses: Counter[str]
    failed: tuple[tuple[str, str], ...]
    to_retry: int
    faces: int
    gone: int
    last: Mapping[str, Any] | None
    running: bool
    published: int
    unfinished: int
    in_hand: bool
    scanned: int
    people: int
    room: int
    state_room: int
    pruned: tuple[Kept, ...]

    @property
    def was_interrupted(self) -> bool:
        """True if the last run was killed, and none has continued it since."""
        return not self.running and self.last is not None and self.last["ended"] is None

    @property
    def is_well(self) -> bool:
        """True if nothing was left undone and no photo fails, or if a run is in progress."""
        if self.running:
            return True
        cut = self.was_interrupted or (self.last is not None and self.last["stopped"] is not None)
        return not cut and not self.failed


def read_status(root: str, state: str | None = None) -> LibraryStatus:
    """Read the status of the library at `root`.

    Args:
        root: of the library.
        state: folder of its private state, if the user named one.

    Raises:
        LibraryError: there is none.
        OSError: it cannot be read.
    """
    import pyarrow.compute as pc

    from photoveil.pipeline.library import manifest, run_history, trash
    from photoveil.pipeline.library.identity import read_identity
    from photoveil.pipeline.library.library import find_library, is_locked
    from photoveil.pipeline.state import known_people, scan_cache
    from photoveil.transforms.beam.progress import ProgressReader
    from photoveil.transforms.records import Status

    library = find_library(root, state)
    identity = read_identity(library.root)
    table = manifest.read(library.manifest, _COLUMNS)
    cloaked = table.filter(pc.equal(table["status"], Status.CLOAKED))
    failed = table.filter(pc.equal(table["status"], Status.FAILED))
    records = run_history.read(library)
    progress = ProgressReader(Path(library.state, "progress"))
    private = list(_files(library.state))
    return LibraryStatus(
        library,
        identity.forgotten if identity is not None else None,
        Counter(table["status"].to_pylist()),
        tuple(zip(failed["source"].to_pylist(), failed["reason"].to_pylist(), strict=True)),
        pc.sum(failed["retry"], min_count=0).as_py(),
        pc.sum(pc.list_value_length(cloaked["faces"]), min_count=0).as_py(),
        len(table) - table["gone"].null_count,
        records[-1] if records else None,
        is_locked(library),
        progress.update()["published"],
        sum(1 for _ in _files(library.scratch)),
        any(entry.relative.startswith("waves/") for entry in private),
        len(scan_cache.sources(library.state)),
        pc.count_distinct(known_people.read(library.state)["person"]).as_py(),
        sum(entry.size for entry in storage.walk(library.root)),
        sum(entry.size for entry in private),
        tuple(trash.listing(library)),
    )


def _files(folder: str) -> Iterable[storage.Entry]:
    return storage.walk(folder) if storage.exists(folder) else ()


def words(status: LibraryStatus) -> str:
    """Describe the status of a library in several lines, without a final newline."""
    library = status.library
    lines = [
        f"Library:       {library.root} ({size(status.room)}{_free(library)})",
        f"Originals:     {_originals(status)}",
        f"Private state: {_state(status)}",
        "",
        f"{number(sum(status.statuses.values()), 'original')} in the manifest:",
        *_counts(status),
    ]
    if status.faces:
        lines.append(f"{number(status.faces, 'face')} cloaked.")
    if status.gone:
        lines.append(
            f"The originals of {status.gone:,} are gone; `photoveil run --prune` deletes these."
        )
    lines += [
        f"{number(kept.files, 'deleted file')} kept in {kept.folder}; `photoveil restore` puts "
        "back what was pruned."
        for kept in status.pruned
    ]
    if status.scanned:
        lines.append(f"{number(status.scanned, 'photo')} scanned ahead, for a run to cloak.")
    return "\n".join([*lines, "", *_runs(status)])


def _originals(status: LibraryStatus) -> str:
    source = status.library.source
    if source:
        return source if storage.exists(source) else f"{source} (not there now)"
    if status.forgotten is not None:
        return "not known: the private state was deleted on purpose"
    return "not known: the private state is lost"


def _counts(status: LibraryStatus) -> list[str]:
    from photoveil.transforms.records import Status

    counts = status.statuses
    return counted(
        (counts[Status.CLOAKED], "cloaked"),
        (counts[Status.NO_FACE], "without a face: copied"),
        (counts[Status.UNCHANGED], "with no face to cloak: as they are"),
        (counts[Status.DUPLICATE], "duplicates"),
        (counts[Status.COMPANION], "sidecars and other files of photos"),
        (counts[Status.SKIPPED], "near duplicates, left out"),
        (counts[Status.UNSUPPORTED], "left out: no photos, or of a kind that is not written"),
        (counts[Status.FAILED], "failed"),
    )


def _runs(status: LibraryStatus) -> list[str]:
    if status.running:
        done = f", {status.published:,} files done" if status.published else ""
        return [f"A run is going on{_since(status)}{done}."]
    last = status.last
    if last is None:
        return ["No run has done anything yet."]
    when = _local(last["started"])
    if status.was_interrupted:
        left = [
            number(status.unfinished, "unfinished file") if status.unfinished else "",
            "the faces of the photos in progress" if status.in_hand else "",
        ]
        rest = " and ".join(filter(None, left))
        return [
            f"The last run, of {when}, was interrupted: by a kill, a crash or a power cut.",
            *([f"It left {rest}, which the next run takes up or clears away."] if rest else []),
            f"What it had done is kept. {_GO_ON}",
        ]
    # The clock may have been set meanwhile; records of version 0.1.0 have no other measure of a
    # run that was stopped.
    took = duration(last["seconds"] or max(0.0, last["ended"] - last["started"]))
    files = number(sum(last["statuses"].values()), "file")
    lines = [f"Last run: {when}, mode {last['mode']}: {files} in {took}."]
    if last["stopped"] is not None:
        lines += [f"It was stopped by {last['stopped']}. {_GO_ON}"]
    lines += failures("Failed when they were last tried:", status.failed)
    if status.to_retry:
        lines += [f"The next run tries {number(status.to_retry, 'file')} of these again."]
    if len(status.failed) > status.to_retry:
        lines += ["Others are tried when the files or the settings change, or with --retry."]
    return lines


def _since(status: LibraryStatus) -> str:
    if status.last is None or status.last["ended"] is not None:
        return ""
    return f" since {_local(status.last['started'])}"


def _local(seconds: float) -> str:
    return f"{dt.datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"


def _free(library: Library) -> str:
    if not storage.is_local(library.root):
        return ""
    return f", {size(shutil.disk_usage(library.root).free)} free"


def _state(status: LibraryStatus) -> str:
    from photoveil.pipeline.library.library import default_state

    library = status.library
    if library.source:
        known = f", {status.people:,} people known" if status.people else ""
        return f"{library.state} ({size(status.state_room)}{known})"
    if status.forgotten is not None:
        return f"deleted by `photoveil forget`, {status.forgotten}; the next run begins a new one"
    by_default = library.state == default_state(library.root)
    return f"not in {library.state}{'; is it elsewhere (--state)?' if by_default else ''}"
