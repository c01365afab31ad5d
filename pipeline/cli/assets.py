"""`photoveil assets`: which models and demo photos there are, and whether they are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.exit_codes import ExitCode
from photoveil.pipeline.cli.output import print_text

if TYPE_CHECKING:
    from photoveil.pipeline.settings import Settings


def assets(verbose: options.Verbose = False) -> None:
    """List the models and demo photos, and fetch those that are not here yet."""
    quiet_logs.configure(verbose)
    from photoveil.transforms.io.assets import AssetError, cache_folder, catalogue, fetch, is_cached

    console, errors = Console(), Console(stderr=True)
    table = Table("asset", "what", "licence", "sha256", "state")
    failures = []
    with errors_as_exit_codes():
        for name, asset in catalogue().items():
            if asset.kind == "reference":  # what only tests need
                continue
            state = "in the cache"
            try:
                if not is_cached(asset):
                    with console.status(f"fetching {name}"):
                        fetch(name)
                    state = "fetched"
            except AssetError as error:
                failures.append(error)
                state = "[red]missing[/red]"
            table.add_row(name, asset.about, asset.licence, asset.sha256[:12] + "…", state)
        console.print(table)
        print_text(console, f"Cache: {cache_folder()}")
        for failure in failures:
            errors.print(str(failure), markup=False, soft_wrap=True)
    if failures:
        raise typer.Exit(ExitCode.STOPPED)


def fetch_models(settings: Settings, console: Console) -> None:
    """Fetch the models that a run needs, and say so.

    Raises:
        transforms.io.assets.AssetError: one cannot be had.
    """
    from photoveil.pipeline.run import planning
    from photoveil.transforms.io import assets

    for name in planning.models(settings):
        with console.status(f"fetching {name}"):
            assets.fetch(name)
