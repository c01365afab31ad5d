"""The page of a report, from its template: all but photos and people is in it as it is written.

The charts are tables whose bars the style sheet draws: they need no library, can be read aloud, and
follow the page's colours.
"""

from __future__ import annotations

import datetime as dt
import math
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from photoveil.pipeline.library import run_history
from photoveil.pipeline.library.library import Library, default_state
from photoveil.pipeline.report.advice import advice
from photoveil.pipeline.report.evaluation_file import Protection
from photoveil.pipeline.report.rows import NO_MEASURE, SCALE, Collector, Index
from photoveil.pipeline.words import duration, number, size
from photoveil.transforms.beam.stage_metrics import STAGES
from photoveil.transforms.records import Status

_MEASURES = {
    "flip": (
        "FLIP",
        "How different the face looks from the original as it was bent: 0 is equal, 1 the most.",
    ),
    "delta_e": ("CIEDE2000", "Mean difference of colour; 1 is about just noticeable."),
    "dssim": ("DSSIM", "Difference of structure: 0 is equal."),
    "drawn_contrast": (
        "contrast on smooth skin",
        "Levels that were drawn at the worst spot; lines were seen from 1.6 up.",
    ),
    "shift_peak": ("displacement", "Largest one, in percent of the distance of the eyes."),
    "shift_rms": ("mean displacement", "Root mean square, likewise."),
    "stretch": ("stretch", "By what part a short length changes, at most."),
}
_FILTERS = {
    "measure": lambda name: _MEASURES.get(name, (name.replace("_", " "), ""))[0],
    "meaning": lambda name: _MEASURES.get(name, ("", ""))[1],
}
_BINS = 12


def render(library: Library, found: Collector, protection: Protection | None, caveat: str) -> bytes:
    """Render the page of a library as HTML, UTF-8."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("photoveil.pipeline.report", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        counted=number, size=size, duration=duration, shell=shlex.join, **_FILTERS
    )
    runs = run_history.read(library)
    index, statuses = found.index, found.statuses
    faces = sum(
        count
        for count, status in zip(index.faces, index.status, strict=True)
        if index.names["status"][status] == Status.CLOAKED
    )
    page = environment.get_template("index.html.j2").render(
        style=Markup(_text("page.css")),
        program=Markup(_text("page.js")),
        library=library,
        files=len(index.file),
        statuses=statuses,
        Status=Status,
        faces=faces,
        persons=len(found.everyone),
        room=found.room,
        years=sorted(found.days.items()),
        measures={name: _histogram(index.measures[name]) for name in found.measures},
        stages=_stages(runs),
        runs=[_run(record) for record in reversed(runs)][:20],
        protection=protection,
        caveat=caveat,
        troubles=list(_troubles(index)),
        made=f"{dt.datetime.now():%Y-%m-%d %H:%M}",
        duration=duration,
        evaluate_command=[
            *("photoveil", "evaluate", library.root, "--originals", library.source),
            *state_option(library),
        ],
        report_command=["photoveil", "report", library.root, *state_option(library)],
    )
    return page.encode()


def state_option(library: Library) -> tuple[str, ...]:
    """What a command needs to find a private state that is not where one is by default."""
    by_default = library.state == default_state(library.root)
    return () if by_default else ("--state", library.state)


def _text(name: str) -> str:
    return files("photoveil.pipeline.report").joinpath("page", name).read_text("utf-8")


def _histogram(values: Sequence[int]) -> dict[str, Any]:
    """How many photos have which value of a measure, in equal steps."""
    seen = sorted(value / SCALE for value in values if value != NO_MEASURE)
    if not seen:
        return {"bins": [], "median": 0.0, "most": 0.0}
    step = _round_step((seen[-1] - seen[0]) / _BINS)
    places = Counter(math.floor(value / step) for value in seen)
    digits = max(0, -math.floor(math.log10(step)))
    bins = [
        (f"{place * step:.{digits}f} to {(place + 1) * step:.{digits}f}", places[place])
        for place in range(min(places), max(places) + 1)
    ]
    return {"bins": bins, "median": seen[len(seen) // 2], "most": seen[-1]}


def _round_step(least: float) -> float:
    """The next 1, 2 or 5 times a power of ten, for the edges of a histogram."""
    power = 10 ** math.floor(math.log10(max(least, 1 / SCALE)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


def _stages(runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """The seconds of all workers of all runs together, by stage in the order of a photo's way."""
    work = [record["work"]["seconds"] for record in runs if record.get("work")]
    sums = {
        name: sum(seconds.get(stage, 0.0) for seconds in work) for stage, name in STAGES.items()
    }
    return [(name, seconds) for name, seconds in sums.items() if seconds >= 0.5]


def _run(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "started": f"{dt.datetime.fromtimestamp(record['started']):%Y-%m-%d %H:%M}",
        "seconds": record["seconds"],
        "files": sum(record["statuses"].values()),
        "failed": record["statuses"].get(Status.FAILED, 0),
        "mode": record["mode"],
        "ended": "killed" if record["ended"] is None else record["stopped"] or "all done",
    }


def _troubles(index: Index) -> Iterator[dict[str, Any]]:
    """The reasons why files have no output, those of most files first, failures before the rest."""
    names = index.names
    for status in (Status.FAILED, Status.SKIPPED, Status.UNSUPPORTED):
        counts: dict[int, int] = {}
        for reason, found in zip(index.reason, index.status, strict=True):
            if names["status"][found] == status:
                counts[reason] = counts.get(reason, 0) + 1
        for reason, count in sorted(counts.items(), key=lambda pair: -pair[1]):
            text = names["reason"][reason]
            yield {
                "status": status,
                "number": reason,
                "reason": text,
                "count": count,
                "advice": advice(text),
            }
