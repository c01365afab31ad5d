"""`photoveil assets`: which models and demo photos there are, and whether they are here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options, requested_files
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.exit_codes import ExitCode
from photoveil.pipeline.cli.output import print_text

if TYPE_CHECKING:
    from photoveil.pipeline.settings import Settings


def assets(
    export_to: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write them into one file."),
    ] = None,
    import_from: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="Take them from such a file; no network."),
    ] = None,
    verbose: options.Verbose = False,
) -> None:
    """List the models and demo photos, and fetch those that are not here yet."""
    quiet_logs.configure(verbose)
    console, errors = Console(), Console(stderr=True)
    with errors_as_exit_codes():
        if export_to is not None:
            requested_files.check(str(export_to), [], [requested_files.ASSETS_MARK])
        if import_from is not None:
            _import(import_from, console)
        failures = _list(console, network=import_from is None)
        if export_to is not None and not failures:
            _export(export_to, console)
    for failure in failures:
        errors.print(failure, markup=False, soft_wrap=True)
    if failures:
        raise typer.Exit(ExitCode.STOPPED)


def _listed() -> list[str]:
    """Name all assets but those that only evaluation and tests need."""
    from photoveil.transforms.io.assets import catalogue

    return [name for name, asset in catalogue().items() if asset.kind in ("model", "photo")]


def _list(console: Console, network: bool) -> list[str]:
    """Print the table of assets.

    Args:
        network: fetch those that are not here yet.

    Returns:
        For each that is missing, why.
    """
    from photoveil.transforms.io.assets import (
        AssetError,
        cache_folder,
        catalogue,
        fetch,
        is_cached,
    )

    table = Table("asset", "what", "licence", "sha256", "state")
    failures = []
    for name in _listed():
        asset, state = catalogue()[name], "in the cache"
        try:
            if not is_cached(asset):
                if not network:
                    raise AssetError(f"{name} was not in the file: it is of another version")
                with console.status(f"fetching {name}"):
                    fetch(name)
                state = "fetched"
        except AssetError as error:
            failures.append(str(error))
            state = "[red]missing[/red]"
        table.add_row(name, asset.about, asset.licence, asset.sha256[:12] + "…", state)
    console.print(table)
    print_text(console, f"Cache: {cache_folder()}")
    return failures


def _import(path: Path, console: Console) -> None:
    from photoveil.transforms.io import asset_file

    print_text(console, f"{len(asset_file.import_from(path))} assets taken from {path}")


def _export(path: Path, console: Console) -> None:
    from photoveil.transforms.io import asset_file

    asset_file.export(_listed(), path)
    megabytes = path.stat().st_size / 1_000_000
    print_text(console, f"{len(_listed())} assets written to {path} ({megabytes:.0f} MB)")


def fetch_models(settings: Settings, console: Console) -> None:
    """Fetch the models that a run needs, and print which.

    Raises:
        transforms.io.assets.AssetError: one cannot be fetched.
    """
    from photoveil.pipeline.run import planning
    from photoveil.transforms.io import assets

    for name in planning.models(settings):
        with console.status(f"fetching {name}"):
            assets.fetch(name)
