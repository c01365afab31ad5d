"""The results of an evaluation, as tables in plain words and as a file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Group, RenderableType
from rich.table import Table

from photoveil.pipeline.evaluation.evaluate import WORST_SHARE, Evaluation, SeenFace
from photoveil.transforms.evaluate.conditions import AS_WRITTEN
from photoveil.transforms.evaluate.metrics import Tally, bootstrap_interval
from photoveil.transforms.evaluate.tracker import (
    AT_01_PERCENT,
    AT_1_PERCENT,
    COSINE_SHIFT,
    FIGURES,
    FORWARD,
    OWN_THRESHOLD,
    RANK_1,
    RANK_5,
    REVERSE,
    Finding,
)
from photoveil.transforms.records import Visibility
from photoveil.transforms.visibility.report import FaceVisibility

SUFFIXES = (".json", ".parquet")

HONEST = (
    "What these numbers do not show: they hold for these recognisers, these photos and today. A "
    "recogniser built later, or one trained on cloaked photos, may see through every photo that "
    "is already published, and a published photo can never be cloaked again (Radiya-Dixit et al., "
    "Data Poisoning Won't Save You From Facial Recognition, ICLR 2022). A tracker who knows of "
    "cloaks can adapt. The surrogates' figures flatter the cloak, for it was made against them; "
    "held-out recognisers are other networks, yet how well a cloak carries over to one not "
    "measured here nobody knows: Cherepanova et al. (LowKey, ICLR 2021) found that earlier cloaks "
    "fail on full-scale systems and commercial services. A tracker with clean photos of a person "
    "needs none of the cloaked ones."
)

_FEW_PEOPLE = 15

_MEASURES: tuple[tuple[str, str, Callable[[FaceVisibility], float]], ...] = (
    ("FLIP, 0 to 1", ".3f", lambda seen: seen.flip),
    ("CIEDE2000, mean", ".2f", lambda seen: seen.delta_e),
    ("CIEDE2000, 95th pc", ".2f", lambda seen: seen.delta_e_p95),
    ("DSSIM", ".4f", lambda seen: seen.dssim),
    ("PSNR, dB", ".1f", lambda seen: seen.psnr),
    ("largest change", ".0f", lambda seen: seen.max_change),
)


_PARTS: tuple[tuple[str, str, Callable[[Visibility], float]], ...] = (
    ("drawn: FLIP, 0 to 1", ".3f", lambda seen: seen.flip),
    ("drawn: CIEDE2000, mean", ".2f", lambda seen: seen.delta_e),
    ("drawn: DSSIM", ".4f", lambda seen: seen.dssim),
    ("drawn: contrast on smooth skin, levels", ".2f", lambda seen: seen.contrast),
    ("displacement: peak, % of the eyes' distance", ".1f", lambda seen: seen.shift_peak),
    ("displacement: root mean square, likewise", ".2f", lambda seen: seen.shift_rms),
    ("displacement: local stretch", ".2f", lambda seen: seen.stretch),
)


def tables(found: Evaluation, people: bool = True) -> RenderableType:
    """Return everything a person reads.

    Args:
        found: from `evaluate_library`.
        people: show a table by person.
    """
    parts: list[RenderableType] = [_heading(found)]
    parts += [_findings(found.findings, direction) for direction in (FORWARD, REVERSE)]
    conditions = _in_order(finding.condition for finding in found.findings)
    if len(conditions) > 1:
        parts += [
            _conditions(found.findings, way, figure, conditions)
            for way, figure in ((FORWARD, RANK_1), (FORWARD, AT_1_PERCENT), (REVERSE, RANK_1))
            if any(finding.figure == figure for finding in found.findings)
        ]
    if people:
        parts.append(_by_person(found.findings))
    if found.faces:
        parts += [_visibility(found.faces), *_parts(found.faces), _worst(found.worst)]
    return Group(*_spaced(parts), "", HONEST)


def rows(found: Evaluation) -> list[dict[str, Any]]:
    """Return the findings, one row for each figure of each person and overall (person None)."""
    table = []
    for finding in found.findings:
        common = {
            "recogniser": finding.recogniser,
            "white_box": finding.white_box,
            "direction": finding.direction,
            "condition": finding.condition,
            "figure": finding.figure,
        }
        table.append({**common, "person": None, **_figures(finding.cloaked, finding.uncloaked)})
        for index, person in enumerate(finding.people):
            pair = [
                Tally(tally.total[index : index + 1], tally.count[index : index + 1])
                for tally in (finding.cloaked, finding.uncloaked)
            ]
            if pair[0].count.any() or pair[1].count.any():
                table.append({**common, "person": person, **_figures(*pair)})
    return table


def face_rows(found: Evaluation) -> list[dict[str, Any]]:
    """Return the visibility of each face, one row per face and size, and one of its parts."""
    table = []
    for face in found.faces:
        measures: dict[str, FaceVisibility | Visibility] = {
            "own": face.own_size,
            "viewing": face.viewing_size,
        }
        if face.parts is not None:
            measures["parts"] = face.parts
        for size, seen in measures.items():
            row = {"source": face.source, "face": face.number, "size": size}
            table.append({**row, **asdict(seen)})
    return table


def as_file(found: Evaluation, suffix: str) -> bytes:
    """Encode the report as a file.

    Args:
        found: from `evaluate_library`.
        suffix: ".json" (findings, faces and the caveat) or ".parquet" (the findings alone).

    Raises:
        ValueError: another suffix.
    """
    if suffix not in SUFFIXES:
        raise ValueError(f"{suffix}: reports are written as .json or .parquet")
    if suffix == ".json":
        content = {"findings": rows(found), "faces": face_rows(found), "caveat": HONEST}
        return json.dumps(_plain(content), indent=1, allow_nan=False).encode()
    out = io.BytesIO()
    table = pa.Table.from_pylist(rows(found))
    pq.write_table(table.replace_schema_metadata({"made by": "Photoveil evaluation"}), out)
    return out.getvalue()


def _figures(cloaked: Tally, uncloaked: Tally) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, tally in (("cloaked", cloaked), ("uncloaked", uncloaked)):
        low, high = bootstrap_interval(tally)
        values |= {name: tally.mean, f"{name}_low": low, f"{name}_high": high}
        values[f"{name}_count"] = int(tally.count.sum())
    return values


def _heading(found: Evaluation) -> str:
    study = found.study
    states = ", ".join(f"{number} {status}" for status, number in found.published.most_common())
    probes = f"{len(study.probes)} clean probes" if study.probes else "their originals as probes"
    gallery = len({*study.people, *(person for person, _ in study.padding)})
    lines = [
        f"Published photos of {len(study.people)} people: {len(study.published)} ({states}); "
        f"{probes}; {gallery} people in the gallery."
    ]
    if gallery < _FEW_PEOPLE:
        lines.append(
            "Among so few people anyone is easily found by chance; --others fills the gallery."
        )
    lines += [f"Not read: {path}: {why}" for path, why in sorted(found.unreadable.items())]
    return "\n".join(lines)


def _findings(findings: Sequence[Finding], direction: str) -> Table:
    chosen = [f for f in findings if f.direction == direction and f.condition == AS_WRITTEN]
    figures = [name for name in FIGURES if any(f.figure == name for f in chosen)]
    table = Table(
        "recogniser",
        *(_HEADINGS[name] for name in figures),
        title=f"{direction.capitalize()}: share found, 95 % interval over people; "
        "verified at 1 % and 0.1 % false matches and at the recogniser's own threshold",
        title_justify="left",
    )
    for name in _in_order(finding.recogniser for finding in chosen):
        by_figure = {f.figure: f for f in chosen if f.recogniser == name}
        cloaked, uncloaked = (
            [_with_interval(tally_of(by_figure[f])) if f in by_figure else "—" for f in figures]
            for tally_of in (_cloaked, _uncloaked)
        )
        table.add_row(_named(next(iter(by_figure.values()))), *cloaked)
        table.add_row("  uncloaked", *uncloaked, end_section=True)
    return table


# Narrow: with intervals below, the table fits a terminal of 80 columns.
_HEADINGS = {
    RANK_1: RANK_1,
    RANK_5: RANK_5,
    AT_1_PERCENT: "verified\n1 %",
    AT_01_PERCENT: "verified\n0.1 %",
    OWN_THRESHOLD: "verified\nits own",
    COSINE_SHIFT: "cosine\nshift",
}


def _conditions(
    findings: Sequence[Finding], way: str, figure: str, conditions: Sequence[str]
) -> Table:
    chosen = [f for f in findings if f.direction == way and f.figure == figure]
    recognisers = {f.recogniser: _named(f) for f in chosen}
    table = Table(
        "condition",
        *recognisers.values(),
        title=f"{way.capitalize()}: {figure} after what happens to a photo, cloaked / uncloaked",
        title_justify="left",
    )
    found = {(f.condition, f.recogniser): f for f in chosen}
    for condition in conditions:
        pairs = [found[condition, name] for name in recognisers]
        cells = [f"{f.cloaked.mean:.2f} / {f.uncloaked.mean:.2f}" for f in pairs]
        table.add_row(condition, *cells)
    return table


def _by_person(findings: Sequence[Finding]) -> Table:
    chosen = [
        f for f in findings if (f.direction, f.condition, f.figure) == (FORWARD, AS_WRITTEN, RANK_1)
    ]
    table = Table(
        "person",
        "probes",
        *(_named(finding) for finding in chosen),
        title=f"{FORWARD.capitalize()}: rank-1 by person, cloaked / uncloaked",
        title_justify="left",
    )
    for index, person in enumerate(chosen[0].people if chosen else ()):
        if any(finding.cloaked.count[index] for finding in chosen):
            probes = max(int(finding.cloaked.count[index]) for finding in chosen)
            cells = [_one(f.cloaked, index) + " / " + _one(f.uncloaked, index) for f in chosen]
            table.add_row(person, str(probes), *cells)
    return table


def _visibility(faces: Sequence[SeenFace]) -> Table:
    table = Table(
        "",
        *(f"{size}\n{what}" for size in ("own size", "viewing") for what in _SUMMARY),
        title=f"How visible the cloaks are on {len(faces)} faces, in the files as written",
        title_justify="left",
    )
    for name, form, measure in _MEASURES:
        cells = []
        for seen in ([f.own_size for f in faces], [f.viewing_size for f in faces]):
            values = np.array([measure(one) for one in seen])
            values = values[np.isfinite(values)]
            # For PSNR the small values are the visible ones.
            values = -values if "PSNR" in name else values
            for summary in _SUMMARY.values():
                cells.append(format(abs(summary(values)), form) if len(values) else "—")
        table.add_row(name, *cells)
    return table


def _parts(faces: Sequence[SeenFace]) -> list[Table]:
    """Return the table of what was drawn and what was moved, if the manifest says so."""
    known = [face.parts for face in faces if face.parts is not None]
    if not known:
        return []
    table = Table(
        "",
        *_SUMMARY,
        title=f"Of these, by the manifest, what is drawn and what is moved ({len(known)} faces)",
        title_justify="left",
    )
    for name, form, measure in _PARTS:
        values = np.array([measure(one) for one in known])
        table.add_row(name, *(format(summary(values), form) for summary in _SUMMARY.values()))
    return [table]


_SUMMARY: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda values: float(values.mean()),
    "worst 5 %": lambda values: float(np.quantile(values, 1 - WORST_SHARE)),
    "worst": lambda values: float(values.max()),
}


def _worst(faces: Sequence[SeenFace]) -> str:
    lines = [f"The most visible {WORST_SHARE:.0%} of faces, by FLIP at viewing size:"]
    for face in faces:
        seen = face.viewing_size
        lines.append(
            f"  {face.source}, face {face.number}: FLIP {seen.flip:.3f}, CIEDE2000 "
            f"{seen.delta_e:.2f} (95th percentile {seen.delta_e_p95:.2f}), up to "
            f"{seen.max_change} levels"
        )
    return "\n".join(lines)


def _cloaked(finding: Finding) -> Tally:
    return finding.cloaked


def _uncloaked(finding: Finding) -> Tally:
    return finding.uncloaked


def _named(finding: Finding) -> str:
    return finding.recogniser + ("\n(white box)" if finding.white_box else "\n(held out)")


def _with_interval(tally: Tally) -> str:
    if np.isnan(tally.mean):
        return "—"
    low, high = bootstrap_interval(tally)
    return _number(tally.mean) + ("" if np.isnan(low) else f"\n{_short(low)}-{_short(high)}")


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00")


def _short(value: float) -> str:
    """Write .07 for 0.07, and 1 for 1.00."""
    whole, _, part = _number(value).partition(".")
    return whole if part == "00" else f"{whole.replace('0', '')}.{part}"


def _one(tally: Tally, index: int) -> str:
    count = tally.count[index]
    return f"{tally.total[index] / count:.2f}" if count else "—"


def _in_order(names: Any) -> list[str]:
    return list(dict.fromkeys(names))


def _spaced(parts: Sequence[RenderableType]) -> Iterator[RenderableType]:
    for part in parts:
        yield part
        yield ""


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
