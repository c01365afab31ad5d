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
    """What carries out the work."""

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
HowMuch = Annotated[Mode | None, typer.Option(help="How much a face may change; by default mid.")]
Config = Annotated[Path | None, typer.Option(help="YAML file with settings.")]
State = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Private folder; by default in your state folder."),
]
NewState = Annotated[
    bool, typer.Option("--new-state", help="Begin a new private state, because the old is lost.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
StripNames = Annotated[
    bool, typer.Option("--strip-names", help="Remove the names of people from the metadata.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(help="Cloak only this person (see people); may be given several times."),
]
Spare = Annotated[
    list[str] | None,
    typer.Option("--except", help="Do not cloak this person; may be given several times."),
]
Recloak = Annotated[
    bool, typer.Option("--recloak", help="Redo photos that were made with other settings.")
]
Retry = Annotated[
    bool, typer.Option("--retry", help="Try failed photos again, though nothing changed.")
]
Since = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Ignore files modified before this, such as 2026-11-01."),
]
Log = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Add all messages, also those of libraries, to a log."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, for a program to read.")
]
Review = Annotated[
    str | None,
    typer.Option(
        "--review", metavar="FILE", help="Apply a review, as the report's page exports it."
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", help="Show the logs of the libraries."),
]
