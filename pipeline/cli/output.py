"""Plain text on the console, and counts, sizes and time spans in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console

MOST_LISTED = 20
"""How many names a list shows."""


def print_text(console: Console, text: str) -> None:
    """Print text as it is: no markup, no colours, no line breaks of the console's own."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def number(count: int, noun: str) -> str:
    """Put a count before its noun, such as "1,200 photos"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def size(count: int) -> str:
    """Put bytes into words, such as "12 MB"."""
    for unit in ("kB", "MB"):
        count_in = count / {"kB": 1e3, "MB": 1e6}[unit]
        if count_in < 1000:
            return f"{count_in:,.0f} {unit}"
    return f"{count / 1e9:,.1f} GB"


def duration(seconds: float) -> str:
    """Put a time span into words, such as "3 min 20 s"."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes:02} min"
    if minutes:
        return f"{minutes} min {rest:02} s"
    return f"{rest} s"


def counted(*pairs: tuple[int, str]) -> list[str]:
    """Return a line for each count that is not 0."""
    return [f"  {count:>6,}  {words}" for count, words in pairs if count]


def listed(title: str, names: Sequence[str]) -> list[str]:
    """Return a title and the first of some names; no line where there is no name."""
    if not names:
        return []
    more = len(names) - MOST_LISTED
    rest = [f"  … and {more:,} more, see the manifest"] if more > 0 else []
    return ["", title, *(f"  {name}" for name in names[:MOST_LISTED]), *rest]


def failures(title: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return a title and the photos that failed, with their reasons; no line where none did."""
    return listed(title, [f"{source}: {why}" for source, why in sorted(pairs)])
