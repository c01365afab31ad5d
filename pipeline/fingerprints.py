"""Every hash that decides what is stale; docs/fingerprints.md has them in one table.

A hash covers what a result depends on and nothing else: too little, and an old result passes for a
current one; too much, and photos are done anew for nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from photoveil.pipeline.library.manifest import RunStamp
from photoveil.pipeline.settings import Settings
from photoveil.transforms.io import assets
from photoveil.transforms.records import ContentGroup

OUTPUT_VERSION = 7
"""Of the code that makes outputs, whatever version the package has. Raise it by one in a change
with which the same file, settings and models give other bytes, another status or another reason."""

_FIRST_OUTPUT_VERSION = 1  # of rows that version 0.1.0 of the package wrote, which do not say

# Of the optimiser alone. Change it with what gives a face another cloak, and raise OUTPUT_VERSION
# then, too.
_OPTIMISER = "0.5.0"

# Options that came after the first libraries, as they were before there was a choice: one that is
# left alone makes no photo stale.
_NEW_OPTIONS = {"perturbation": "luminance", "preconditioner": "texture", "projection": "dssim"}


def output_version(row: Mapping[str, Any]) -> int:
    """Return the output version that a row of the manifest was made with."""
    found: int | None = row["output_version"]
    return _FIRST_OUTPUT_VERSION if found is None else found


def settings_hash(settings: Settings) -> str:
    """Cover the settings that decide how an output looks.

    These are the mode and all options of the cloak, the detector, near duplicates, people and
    metadata. Not the size of a batch, the limits, and how a run is carried out.

    Returns:
        16 hex digits; `settings_hash` in the rows of files that have an output.
    """
    return _digest(_looks(settings))


def tries_hash(settings: Settings) -> str:
    """Cover the settings that decide whether there is an output: the limits, too.

    Returns:
        16 hex digits; `settings_hash` in the rows of files that have none.
    """
    return _digest([*_looks(settings), asdict(settings.limits)])


def models_hash(names: Sequence[str]) -> str:
    """Cover the models that a run uses: their names and the hashes of their files.

    Args:
        names: of assets, in any order.

    Returns:
        16 hex digits; `assets_hash` in the manifest.
    """
    catalogue = assets.catalogue()
    return _short("\n".join(f"{name} {catalogue[name].sha256}" for name in sorted(names)))


def optimiser_hash(settings: Settings, stamp: RunStamp) -> str:
    """Cover what the cloak of a face depends on, beside the face and what is known of the person.

    These are the options of the cloak but for the size of a batch, the models, and the version of
    the optimiser. OUTPUT_VERSION is no part of it: a release that only writes files in another way
    leaves a face the cloak that it has.

    Returns:
        16 hex digits; `engine` in the table of faces.
    """
    # With another hash, faces would get other cloaks when their photos change, and who has both
    # cloaks of a face could average them.
    cloak = replace(settings.cloak, batch_size=1)
    return _short(repr((cloak, stamp.assets_hash, _OPTIMISER)))


def scan_hash(settings: Settings, stamp: RunStamp, columns: Sequence[str]) -> str:
    """Cover what the scan of a file depends on, beside the file.

    These are the options of the detector, the limits, the models and OUTPUT_VERSION.

    Args:
        columns: names of those of the table of scans.

    Returns:
        16 hex digits; the folder in `scans/` of the private state.
    """
    made_with = (settings.detector, settings.limits, stamp.assets_hash, stamp.output_version)
    return _short(repr((*made_with, columns)))


def wave_hash(groups: Sequence[ContentGroup], stamp: RunStamp, columns: Sequence[str]) -> str:
    """Cover what the results within a wave depend on.

    These are its files by name, size and date, all settings but how a run is carried out, the
    models and OUTPUT_VERSION: a wave that was interrupted goes on where it was only if a later run
    would do the same.

    Args:
        columns: names of those of the table of scans.

    Returns:
        32 hex digits; the folder in `waves/` of the private state.
    """
    decisive = (stamp.tries_hash, stamp.assets_hash, stamp.output_version, columns)
    return _sha256(repr((*decisive, *groups)))[:32]


def _looks(settings: Settings) -> list[Any]:
    cloak = {
        name: value
        for name, value in asdict(settings.cloak).items()
        if name != "batch_size" and _NEW_OPTIONS.get(name) != value
    }
    parts = (settings.detector, settings.near_duplicates, settings.people, settings.metadata)
    return [settings.mode, cloak, *(asdict(part) for part in parts)]


def _digest(values: list[Any]) -> str:
    return _short(json.dumps(values, sort_keys=True))


def _short(text: str) -> str:
    return _sha256(text)[:16]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
