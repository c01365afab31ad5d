"""What a command says where of IN and OUT only one is given."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand


class InAndOut(TyperCommand):
    """A command whose last argument is OUT and whose others are IN.

    The parser fills arguments of a fixed number first, so that it takes a single one for OUT and
    misses IN. A user who gives one folder has named the photos, and what is missing is OUT.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the command line.

        Raises:
            typer.BadParameter: an argument is missing or wrong.
        """
        whole = list(args)  # the parser empties the list
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            given: dict[str, Any] = self.make_parser(ctx).parse_args(args=whole)[0]
            if error.param and error.param.name == "source" and given.get("output"):
                [error.param] = [one for one in self.params if one.name == "output"]  # type: ignore[assignment]
            raise
