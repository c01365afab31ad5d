"""The job behind `photoveil verify`: look again, say what is wrong and which command mends it."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console

from photoveil.pipeline.cli import requested_files
from photoveil.pipeline.cli.progress_bar import duration, tracked
from photoveil.pipeline.library import integrity, manifest
from photoveil.pipeline.library.integrity import COLUMNS, KINDS, Finding, Kind, Row, check_library
from photoveil.pipeline.library.library import (
    Library,
    LibraryError,
    default_state,
    is_locked,
    locked,
)
from photoveil.transforms.io import storage

_MOST_LISTED = 20  # of each kind

_BY_HAND: Mapping[Kind, str] = {
    "orphan": "restore them from a backup, or give them up with `photoveil run --prune`",
    "stray": "move or delete them: nobody has looked for faces in them",
    "spoilt": "restore them from a backup; or, if they are right, give them a new date and run",
}


@dataclass
class Report:
    """rows: of the manifest. read: files. repaired: files that were taken away."""

    rows: Sequence[Row] = ()
    read: int = 0
    seconds: float = 0.0
    repaired: int = 0
    findings: list[Finding] = field(default_factory=list)


def verify_job(
    library: Library, console: Console, repair: bool = False, table: str | None = None
) -> Report:
    """Verify a library under a person's eyes.

    Args:
        repair: delete what was damaged, so that the next run makes it anew.
        table: CSV file that gets all findings.

    Raises:
        LibraryError: a run is going on, the originals are not there, or `table` lies in a
            tree or is another file.
        OSError: a folder cannot be listed, the manifest not read, or a file not written.
    """
    _check(library, table)
    with locked(library) if repair else contextlib.nullcontext():
        report = _verify(library, console, repair)
        if repair:
            report.repaired = integrity.repair(library, report.findings)
    if table is not None:
        table = storage.absolute(table)
        storage.write_atomic(table, _as_csv(report.findings), os.path.dirname(table))
    console.print(summary(report, library, table), highlight=False, markup=False, soft_wrap=True)
    return report


def _check(library: Library, table: str | None) -> None:
    if is_locked(library):
        raise LibraryError(f"a run is writing to {library.root}; verify it when that run is done")
    if not storage.exists(library.source):
        raise LibraryError(
            f"the originals, {library.source}, are not there. Is the disk? If they were moved, "
            "say where they are: --originals"
        )
    if table is not None:
        requested_files.check(table, (library.root, library.source), [requested_files.LIST_MARK])


def _verify(library: Library, console: Console, repair: bool) -> Report:
    started = time.monotonic()
    parts = integrity.unreadable_parts(library)
    if parts and not repair:
        return Report(findings=parts)
    integrity.repair(library, parts)
    rows = manifest.read(library.manifest, COLUMNS).to_pylist()
    with console.status("comparing both folders with the manifest"):
        found, checks = check_library(library, rows)
    done = tracked(integrity.carry_out(checks), len(checks), "reading every file", console)
    found += [finding for finding in done if finding is not None]
    return Report(rows, len(checks), time.monotonic() - started, findings=parts + found)


def _as_csv(findings: Iterable[Finding]) -> bytes:
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(("kind", "file", "detail"))
    table.writerows((found.kind, found.file, found.detail) for found in findings)
    return out.getvalue().encode()


def summary(report: Report, library: Library, table: str | None = None) -> str:
    """Several lines without a final newline."""
    files = sum(row["output"] is not None for row in report.rows)
    lines = [
        f"{files:,} cloaked files and {len(report.rows):,} originals in the manifest; "
        f"{report.read:,} files read in {duration(report.seconds)}."
    ]
    if not report.findings:
        return "\n".join([*lines, "All is in order."])
    lines.append(f"Not in order: {len(report.findings):,}.")
    for kind, (words, _) in KINDS.items():
        found = [finding for finding in report.findings if finding.kind == kind]
        if found:
            advice = f" ({_BY_HAND[kind]})" if kind in _BY_HAND else ""
            lines += ["", f"  {len(found):>6,}  {words}{advice}:"]
            lines += [f"          {_line(finding)}" for finding in found[:_MOST_LISTED]]
        if len(found) > _MOST_LISTED:
            where = f"see {table}" if table else "--csv FILE lists all"
            lines.append(f"          … and {len(found) - _MOST_LISTED:,} more: {where}")
    return "\n".join(lines + _ways_out(report, library))


def _line(finding: Finding) -> str:
    return f"{finding.file}: {finding.detail}" if finding.detail else finding.file


def _ways_out(report: Report, library: Library) -> list[str]:
    """The commands that mend what can be mended."""
    mends = {KINDS[finding.kind][1] for finding in report.findings}
    state = [] if library.state == default_state(library.root) else ["--state", library.state]
    lines = []
    if report.repaired:
        lines.append(f"{report.repaired:,} damaged files were deleted.")
    elif "repair" in mends:
        command = ["photoveil", "verify", library.root, "--repair", *state]
        lines += ["First delete what is damaged:", f"    {shlex.join(command)}"]
    if mends & {"repair", "run"}:
        ((mode, _),) = Counter(row["mode"] for row in report.rows).most_common(1) or [("mid", 0)]
        how = [] if mode == "mid" else ["--mode", mode]
        command = ["photoveil", "run", library.source, library.root, *how, *state]
        lines += ["This puts the library in order, with the options you gave it before:"]
        lines += [f"    {shlex.join(command)}"]
    return ["", *lines] if lines else []
