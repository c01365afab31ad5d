"""`photoveil verify`: read a library again, and print what is wrong and how to repair it."""

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
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options, requested_files
from photoveil.pipeline.cli.as_json import of_verify, print_json
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.exit_codes import ExitCode
from photoveil.pipeline.cli.output import print_text
from photoveil.pipeline.cli.progress_bar import tracked
from photoveil.pipeline.library.identity import LibraryError
from photoveil.pipeline.words import duration
from photoveil.transforms.io import storage

if TYPE_CHECKING:
    from photoveil.pipeline.library.integrity import Finding, Kind, Row
    from photoveil.pipeline.library.library import Library

_MOST_LISTED = 20  # of each kind

_BY_HAND: Mapping[Kind, str] = {
    "orphan": "restore them from a backup, or give them up with `photoveil run --prune`",
    "stray": "move or delete them: nobody has looked for faces in them",
    "spoilt": "restore them from a backup; or, if they are right, give them a new date and run",
}


def verify(
    output: options.Root,
    originals: Annotated[
        str | None,
        typer.Option(metavar="IN", help="The folder it was made from; as the state says it."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Delete what is damaged: the next run makes it anew.")
    ] = False,
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="List all that is wrong there.")
    ] = None,
    leaks: Annotated[
        bool,
        typer.Option(
            "--leaks", help="Instead look for uncloaked faces in thumbnails, previews and the like."
        ),
    ] = False,
    as_json: options.AsJson = False,
    state: options.State = None,
    verbose: options.Verbose = False,
) -> None:
    """Read a whole library and its originals again, and check that all is there and as it was.

    Prints what is wrong, and the command that repairs it.

    Exit status: 0 all in order; 1 stopped by an error; 2 wrong usage or input; 3 something is
    wrong; 130 stopped by Ctrl-C.
    """
    quiet_logs.configure(verbose)
    console = Console(quiet=as_json)
    with errors_as_exit_codes():
        from photoveil.pipeline.library.library import reopen_library

        if as_json and leaks:
            raise LibraryError("--json is for the check without --leaks; leave one of them out")
        library = reopen_library(output, state, originals)
        if leaks:
            quiet_logs.load_tensorflow(console)
            from photoveil.pipeline.cli.verify_leaks import leak_job

            is_well = leak_job(output, library.source, console).is_well
        else:
            report = verify_job(library, console, repair, csv)
            is_well = not report.findings
            if as_json:
                print_json(of_verify(report))
    raise typer.Exit(ExitCode.DONE if is_well else ExitCode.SOME_FAILED)


@dataclass
class Report:
    """What `verify` found.

    rows: of the manifest.
    read: number of files.
    repaired: number of files that were removed.
    """

    rows: Sequence[Row] = ()
    read: int = 0
    seconds: float = 0.0
    repaired: int = 0
    findings: list[Finding] = field(default_factory=list)


def verify_job(
    library: Library, console: Console, repair: bool = False, table: str | None = None
) -> Report:
    """Verify a library and print progress and findings.

    Args:
        library: to verify.
        console: to print on.
        repair: delete what is damaged, so that the next run makes it again.
        table: path of a CSV file that gets all findings.

    Raises:
        LibraryError: a run is in progress, the originals are not there, or `table` is in one of the
            folders or is another file.
        OSError: a folder cannot be listed, the manifest not read, or a file not written.
    """
    from photoveil.pipeline.library import integrity
    from photoveil.pipeline.library.library import locked

    _check(library, table)
    with locked(library) if repair else contextlib.nullcontext():
        report = _verify(library, console, repair)
        if repair:
            report.repaired = integrity.repair(library, report.findings)
    if table is not None:
        table = storage.absolute(table)
        storage.write_atomic(table, _as_csv(report.findings), os.path.dirname(table))
    print_text(console, summary(report, library, table))
    return report


def _check(library: Library, table: str | None) -> None:
    from photoveil.pipeline.library.library import is_locked

    if is_locked(library):
        raise LibraryError(f"a run is writing to {library.root}; verify it when that run is done")
    if not storage.exists(library.source):
        raise LibraryError(
            f"the originals, {library.source}, are not there. Is the disk there? If they were "
            "moved, say where they are: --originals"
        )
    if table is not None:
        requested_files.check(table, (library.root, library.source), [requested_files.LIST_MARK])


def _verify(library: Library, console: Console, repair: bool) -> Report:
    from photoveil.pipeline.library import integrity, manifest

    started = time.monotonic()
    parts = integrity.unreadable_parts(library)
    if parts and not repair:
        return Report(findings=parts)
    integrity.repair(library, parts)
    rows = manifest.read(library.manifest, integrity.COLUMNS).to_pylist()
    with console.status("comparing both folders with the manifest"):
        found, checks = integrity.check_library(library, rows)
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
    """Describe a report in several lines, without a final newline."""
    from photoveil.pipeline.library.integrity import KINDS

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
    """Return the commands that repair what can be repaired."""
    from photoveil.pipeline.library.integrity import KINDS
    from photoveil.pipeline.library.library import default_state

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
