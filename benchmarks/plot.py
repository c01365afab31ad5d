"""A line plot for the benchmarks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

_SIZE = 900, 420
_LEFT, _TOP, _RIGHT, _BOTTOM = 80, 20, 860, 360  # of the axes
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")


def line_plot(
    lines: Mapping[str, Sequence[tuple[float, float]]], x_name: str, y_name: str
) -> Image.Image:
    """Draw lines by name over one pair of axes, both from 0.

    Args:
        lines: (x, y), neither negative, in the order in which they are joined.
        x_name, y_name: labels of the axes.
    """
    image = Image.new("RGB", _SIZE, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    most_x = max((x for points in lines.values() for x, _ in points), default=0) or 1
    most_y = 1.1 * (max((y for points in lines.values() for _, y in points), default=0) or 1)

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + (_RIGHT - _LEFT) * x / most_x, _BOTTOM + (_TOP - _BOTTOM) * y / most_y

    for value in _ticks(most_y):
        _, at = place(0, value)
        draw.line([(_LEFT, at), (_RIGHT, at)], fill="#dddddd")
        draw.text((_LEFT - 8, at), f"{value:,.0f}", "black", font, anchor="rm")
    for value in _ticks(most_x):
        at, _ = place(value, 0)
        draw.text((at, _BOTTOM + 6), f"{value:,.0f}", "black", font, anchor="mt")
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        draw.line([place(x, y) for x, y in points], fill=colour, width=2)
        draw.text((_RIGHT, _BOTTOM - 20 - 18 * number), name, colour, font, anchor="rs")
    draw.line([(_LEFT, _TOP), (_LEFT, _BOTTOM), (_RIGHT, _BOTTOM)], fill="black")
    draw.text((_LEFT + 6, _TOP), y_name, "black", font, anchor="lt")
    draw.text((_RIGHT, _SIZE[1] - 8), x_name, "black", font, anchor="rs")
    return image


def _ticks(most: float) -> Iterator[float]:
    """Yield four to ten round numbers from 0 on."""
    step = 10 ** math.floor(math.log10(most / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if most / (step * factor) <= 8)
    value = 0.0
    while value <= most:
        yield value
        value += step
