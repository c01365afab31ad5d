"""`photoveil people`: who is in a library, with contact sheets of their faces."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from photoveil.pipeline import quiet_logs
from photoveil.pipeline.cli import options, requested_files
from photoveil.pipeline.cli.as_json import of_people, print_json
from photoveil.pipeline.cli.errors import errors_as_exit_codes
from photoveil.pipeline.cli.output import print_text
from photoveil.pipeline.library.identity import LibraryError
from photoveil.transforms.io import storage

if TYPE_CHECKING:
    from photoveil.pipeline.library.library import Library

_MOST_SHOWN = 400  # people on all sheets
_ON_A_SHEET = 25


def people(
    output: options.Root,
    sheet: Annotated[
        str | None, typer.Option(metavar="JPG", help="Contact sheet; by default in the state.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=NAME", help="Name a person; several times. ID= forgets a name."),
    ] = None,
    as_json: options.AsJson = False,
    state: options.State = None,
    verbose: options.Verbose = False,
) -> None:
    """List the people of a library, with a contact sheet of their faces."""
    quiet_logs.configure(verbose)
    console = Console()
    with errors_as_exit_codes():
        from photoveil.pipeline.library.library import reopen_library

        library = reopen_library(output, state)
        if name:
            name_people(library, name)
        if as_json:
            from photoveil.pipeline.state import review
            from photoveil.pipeline.state.people import People

            print_json(of_people(People(library.state).everyone(), review.read(library.state)))
        else:
            show_people(library, console, sheet)


def name_people(library: Library, names: Sequence[str]) -> None:
    """Keep the names that the owner gives to people, in the private state alone.

    Args:
        library: of the people.
        names: such as "p1a2b3c=Anna". Two people may have one name.

    Raises:
        LibraryError: one has another form, or nobody has that id; or another run is writing.
        OSError: the state cannot be read or written.
    """
    from photoveil.pipeline.library.library import locked
    from photoveil.pipeline.state import review
    from photoveil.pipeline.state.known_people import known
    from photoveil.pipeline.state.review import PersonMarks, Review

    people = set(known(library.state).values())
    given: dict[str, str] = {}
    for text in names:
        person, equals, called = text.partition("=")
        if not equals or person not in people:
            what = f"nobody has the id {person}" if equals else f"{text} is no name"
            raise LibraryError(
                f"{what}; write ID=NAME with an id that `photoveil people {library.root}` lists"
            )
        if called.strip() in people - {person}:
            raise LibraryError(f"{called} is the id of another person; choose another name")
        given[person] = called.strip()
    with locked(library):
        before = review.read(library.state)
        marks = {
            person: PersonMarks(name=called, mark=before.people.get(person, PersonMarks()).mark)
            for person, called in given.items()
        }
        review.write(library.state, before.then(Review(people=marks)))


def show_people(library: Library, console: Console, sheet: str | None = None) -> str | None:
    """Print the people of a library and draw their contact sheets, one a page.

    Args:
        library: of the people.
        console: to print on.
        sheet: path of the first sheet; the others are beside it with a number. By default they are
            in the private state, because they show clean faces.

    Returns:
        The path of the first sheet; None if nobody is known.

    Raises:
        LibraryError: there is no library, or `sheet` is in it or is another file.
    """
    from photoveil.pipeline.cli.people_sheet import draw_sheet
    from photoveil.pipeline.library.state_folder import PEOPLE_SHEET
    from photoveil.pipeline.state import review
    from photoveil.pipeline.state.people import People

    if not storage.exists(library.manifest):
        raise LibraryError(f"{library.root} is no library of cloaked photos")
    if sheet is not None:
        if storage.is_within(storage.absolute(sheet), library.root):
            raise LibraryError(f"{sheet} lies in the library, where no clean face may be")
        sheet = requested_files.check(sheet, [library.source], [requested_files.SHEET_MARK])
    people = People(library.state)
    everyone = people.everyone()
    if not everyone:
        console.print("Nobody is known yet: `photoveil scan` finds people, and so does a run.")
        return None
    names = {person: one.name for person, one in review.read(library.state).people.items()}
    table = Table("person", "name", "photos", "faces", "first", "last")
    for person in everyone:
        first, last = (f"{day:%Y-%m-%d}" if day else "" for day in (person.first, person.last))
        counts = (f"{len(person.photos):,}", f"{len(person.faces):,}")
        called = Text(names.get(person.name, ""), overflow="fold")
        table.add_row(person.name, called, *counts, first, last)
    console.print(table)
    first = sheet or storage.join(library.state, PEOPLE_SHEET)
    shown = everyone[:_MOST_SHOWN]
    pages = [shown[at : at + _ON_A_SHEET] for at in range(0, len(shown), _ON_A_SHEET)]
    places = [_page(first, number) for number in range(1, len(pages) + 1)]
    if sheet is not None:
        for place in places:
            requested_files.check(place, [library.source], [requested_files.SHEET_MARK])
    for place, page in zip(places, pages, strict=True):
        out = io.BytesIO()
        draw_sheet(library, people, page, names).save(
            out, "JPEG", quality=90, comment=requested_files.SHEET_MARK
        )
        storage.write_private(place, out.getvalue())
    more = f" to {places[-1]}" if len(places) > 1 else ""
    print_text(console, f"Faces: {first}{more}")
    return first


def _page(sheet: str, number: int) -> str:
    """Return the path of a sheet: the second of people.jpg is people-2.jpg."""
    stem, suffix = os.path.splitext(sheet)
    return sheet if number == 1 else f"{stem}-{number}{suffix}"
