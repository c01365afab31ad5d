"""Plain text on the console, and lists of counts and of names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from rich.console import Console

MOST_LISTED = 20
"""How many names a list shows."""


def print_text(console: Console, text: str) -> None:
    """Print text as it is: no markup, no colours, no line breaks of the console's own.

    It is also added to the log, if there is one (`pipeline.quiet_logs.keep`).
    """
    logging.getLogger(__name__).info(text)
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def counted(*pairs: tuple[int, str]) -> list[str]:
    """Return a line for each count, with its words, that is not 0."""
    return [f"  {count:>6,}  {words}" for count, words in pairs if count]


def listed(title: str, names: Sequence[str]) -> list[str]:
    """Return a title and the first of some names; no line without any name."""
    if not names:
        return []
    more = len(names) - MOST_LISTED
    rest = [f"  … and {more:,} more, see the manifest"] if more > 0 else []
    return ["", title, *(f"  {name}" for name in names[:MOST_LISTED]), *rest]


def failures(title: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return a title and the photos that failed, with their reasons; no line without any."""
    return listed(title, [f"{source}: {why}" for source, why in sorted(pairs)])
