"""Leave one out: a recogniser judges cloaks that were optimised against all others.

This is a part of `benchmarks.protection`. Clean photos are embedded once, by all recognisers.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console, Group
from rich.table import Table

from benchmarks.protection import Photos, cloak, study
from photoveil.pipeline.evaluation.evaluate import Evaluation
from photoveil.pipeline.settings import Settings, SettingsError
from photoveil.transforms.evaluate.conditions import AS_WRITTEN
from photoveil.transforms.evaluate.embedding import Embedder
from photoveil.transforms.evaluate.metrics import Tally, bootstrap_interval
from photoveil.transforms.evaluate.tracker import (
    AT_1_PERCENT,
    FORWARD,
    RANK_1,
    RANK_5,
    REVERSE,
    Finding,
    Study,
    track,
)
from photoveil.transforms.faces.detect import load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.recognisers import is_known, load_recogniser, names

CONDITIONS = (AS_WRITTEN, "JPEG 75", "half size", "screenshot")
EACH = "each"

_FIGURES = (RANK_1, RANK_5, AT_1_PERCENT)
_NOTE = (
    "Each recogniser judges cloaks that were made without it. A cloak as shipped is made against "
    "all of them, so this is a careful estimate for the next unknown recogniser of these kinds. It "
    "says nothing about recognisers of other kinds."
)


def without(settings: Settings, name: str) -> Settings:
    """Take a recogniser out of the surrogates.

    Raises:
        SettingsError: no surrogate would be left.
    """
    rest = tuple(other for other in settings.cloak.surrogates if other != name)
    if not rest:
        raise SettingsError(f"cloak.surrogates: {name} is the only one, so it cannot be held out")
    return settings.model_copy(update={"cloak": replace(settings.cloak, surrogates=rest)})


def leave_one_out(
    photos: Photos, settings: Settings, given: argparse.Namespace, base: Path, console: Console
) -> Evaluation:
    """Cloak the photos once for each recogniser that is held out, and let it judge.

    Args:
        photos: by their use.
        settings: of the run.
        given: `held_out`, `known`, `quick` and `cache` of the command line.
        base: a new folder for the libraries.
        console: for what each cloak cost.

    Returns:
        The findings of the held-out recognisers, without the visibility of faces.

    Raises:
        SettingsError: there is no such recogniser, or no other surrogate.
    """
    held_out = names() if given.held_out == EACH else (given.held_out,)
    for name in held_out:
        if not is_known(name):
            known = ", ".join((EACH, *names()))
            raise SettingsError(f"--held-out {name}: there is only {known} and frbench:NAME")
    conditions = [AS_WRITTEN] if given.quick else list(CONDITIONS)
    embedder = Embedder(
        [load_recogniser(name) for name in held_out],
        load_retinaface(str(assets.fetch("retinaface.pb"))),
        DetectorParameters(),
    )
    if given.cache and given.cache.exists():
        embedder.load(given.cache)
    findings: list[Finding] = []
    for name in held_out:
        made = cloak(photos, without(settings, name), base / name, given.known)
        assert name not in made.surrogates
        searched = study(photos, made)
        started, busy = time.monotonic(), time.process_time()
        _look_at_clean_photos(searched, embedder, conditions)
        findings += track(searched, embedder.only(name), conditions)
        console.print(
            f"{name} held out: {made.said}; searched in {time.monotonic() - started:.0f} s and "
            f"{time.process_time() - busy:.0f} CPU s",
            highlight=False,
        )
        if given.cache:
            embedder.save(given.cache)
    return Evaluation(searched, Counter(), findings, [])


def _look_at_clean_photos(searched: Study, embedder: Embedder, conditions: Sequence[str]) -> None:
    """Embed clean photos by all recognisers at once, so that faces are detected once."""
    embedder.embed([path for _, path in (*searched.probes, *searched.padding)], AS_WRITTEN)
    for condition in conditions:
        embedder.embed([photo.original for photo in searched.published], condition)


def tables(findings: Sequence[Finding]) -> Group:
    """Return a table for each direction, and notes on what they leave out."""
    parts = [_table(findings, way) for way in (FORWARD, REVERSE)]
    return Group(*(part for table in parts for part in (table, "")), _NOTE)


def _table(findings: Sequence[Finding], way: str) -> Table:
    found = {(f.figure, f.recogniser, f.condition): f for f in findings if f.direction == way}
    held_out = list(dict.fromkeys(finding.recogniser for finding in findings))
    conditions = list(dict.fromkeys(finding.condition for finding in findings))
    table = Table(
        "figure",
        "held out",
        "uncloaked",
        *conditions,
        title=f"{way.capitalize()}: share found, 95 % interval over people",
        title_justify="left",
    )
    for figure in _FIGURES:
        rates = {
            name: [
                found[figure, name, AS_WRITTEN].uncloaked,
                *(found[figure, name, condition].cloaked for condition in conditions),
            ]
            for name in held_out
            if (figure, name, AS_WRITTEN) in found
        }
        for name, tallies in rates.items():
            table.add_row(figure, name, *map(_with_interval, tallies))
        if len(rates) > 1:
            columns = list(zip(*rates.values(), strict=True))
            table.add_row(figure, "mean", *(_with_interval(_pooled(column)) for column in columns))
            table.add_row(figure, "worst", *(_worst(list(rates), column) for column in columns))
        table.add_section()
    return table


def _pooled(tallies: Sequence[Tally]) -> Tally:
    """Add the rates of recognisers, which search for the same probes."""
    total = np.sum([tally.total for tally in tallies], axis=0)
    return Tally(total, np.sum([tally.count for tally in tallies], axis=0))


def _worst(recognisers: Sequence[str], tallies: Sequence[Tally]) -> str:
    means = [tally.mean for tally in tallies]
    most = int(np.nanargmax(means)) if np.isfinite(means).any() else 0
    return f"{means[most]:.2f} {recognisers[most]}"


def _with_interval(tally: Tally) -> str:
    low, high = bootstrap_interval(tally)
    return f"{tally.mean:.2f} ({low:.2f}-{high:.2f})"
