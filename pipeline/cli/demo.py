"""`photoveil demo`: cloak a small archive of public photos and show the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.exit_codes import ExitCode
from photoveil.pipeline.cli.output import print_text
from photoveil.pipeline.cli.run import run_job

if TYPE_CHECKING:
    from photoveil.pipeline.library.library import Library


def demo(
    folder: Annotated[Path, typer.Argument(help="Where; emptied first if a demo made it.")] = Path(
        "demo"
    ),
    mode: Annotated[
        options.Mode, typer.Option(help="How much a face may change.")
    ] = options.Mode.mid,
    verbose: options.Verbose = False,
) -> None:
    """Build a small archive of public photos, cloak it, and show what came out."""
    quiet_logs.configure(verbose)
    console = Console()
    with errors_as_exit_codes(bad_input=ExitCode.STOPPED):
        quiet_logs.load_tensorflow(console)
        run_demo(folder, mode.value, console)


def run_demo(folder: Path, mode: str, console: Console) -> Path:
    """Build the archive, cloak it, and print the summary and the manifest.

    Args:
        folder: gets `photos`, `cloaked`, `state` and `before-after.png`.
        mode: how much a face may change.
        console: for progress and results.

    Returns:
        The path of the before/after picture.

    Raises:
        LibraryError: `folder` holds something that was not made by a demo.
        transforms.io.assets.AssetError: a photo or model cannot be fetched.
    """
    from photoveil.pipeline.cli import demo_folder
    from photoveil.pipeline.cli.summaries import summary
    from photoveil.pipeline.library.library import locked, open_library
    from photoveil.pipeline.settings import load_settings

    demo_folder.empty(folder)
    photos = folder / demo_folder.PHOTOS
    with console.status("fetching public photos"):
        demo_folder.build_archive(photos)
    root, state = folder / demo_folder.CLOAKED, folder / demo_folder.STATE
    library = open_library(str(photos), str(root), str(state))
    with locked(library):
        result = run_job(library, load_settings(mode=mode), console)
    console.print(_table(library))
    print_text(console, summary(result, library))
    picture = folder / demo_folder.PICTURE
    demo_folder.before_after(library).save(picture)
    print_text(console, f"\nBefore, after, difference x 10: {picture}")
    return picture


def _table(library: Library) -> Table:
    from photoveil.pipeline.library import manifest
    from photoveil.transforms.records import Status

    names = Column("source", overflow="fold", ratio=2), Column("reason or notes", overflow="fold")
    table = Table(names[0], "status", "faces", "DSSIM", "FLIP", "cosine shift", names[1])
    for row in manifest.read(library.manifest).to_pylist():
        faces = row["faces"]
        table.add_row(
            row["source"],
            row["status"],
            str(len(faces)) if row["status"] == Status.CLOAKED else "",
            _figures(face["dssim"] for face in faces),
            _figures(face["flip"] for face in faces),
            ", ".join(_shifts(face) for face in faces),
            row["reason"] or row["duplicate_of"] or "; ".join(row["notes"]),
        )
    return table


def _figures(values: Any) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _shifts(face: dict[str, Any]) -> str:
    return " / ".join(f"{pair['shift']:.2f}" for pair in face["cosine_shift"])
