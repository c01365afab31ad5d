"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Mode(StrEnum):
    """How much a face may change."""

    low = "low"
    mid = "mid"
    high = "high"


class Runner(StrEnum):
    """What carries the work out."""

    local = "local"
    prism = "prism"
    dask = "dask"
    flink = "flink"
    dataflow = "dataflow"


In = Annotated[str, typer.Argument(metavar="IN", help="Folder of the photos; only read.")]
Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="IN",
        help="Folder of the photos; or photos and folders of it, and nothing else is touched.",
    ),
]
Out = Annotated[str, typer.Argument(metavar="OUT", help="Folder for the cloaked photos.")]
Root = Annotated[str, typer.Argument(metavar="OUT", help="Library of cloaked photos.")]
HowMuch = Annotated[Mode | None, typer.Option(help="How much a face may change; mid unless told.")]
Config = Annotated[Path | None, typer.Option(help="YAML file with settings.")]
State = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Private folder; by default in your state folder."),
]
NewState = Annotated[
    bool, typer.Option("--new-state", help="Begin a new private state, for the old one is lost.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
StripNames = Annotated[
    bool, typer.Option("--strip-names", help="Leave out who is in a photo, as metadata says it.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(help="Cloak nobody but this person (see people); several times."),
]
Spare = Annotated[
    list[str] | None, typer.Option("--except", help="Do not cloak this person; several times.")
]
Recloak = Annotated[
    bool, typer.Option("--recloak", help="Do photos anew that were done with other settings.")
]
Retry = Annotated[
    bool, typer.Option("--retry", help="Try photos again that failed, though nothing changed.")
]
Since = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Leave files alone that were modified before 2026-11-01."),
]
Log = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Add to a log, of what is said and of what libraries say."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, for a program to read.")
]
Review = Annotated[
    str | None,
    typer.Option(
        "--review", metavar="FILE", help="Do as a review says that the report's page exported."
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", help="Show the libraries' own logs, and what they say of photos."),
]
