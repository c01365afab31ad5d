"""Counts, sizes and time spans in words."""

from __future__ import annotations


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
