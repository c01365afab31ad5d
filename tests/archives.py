"""Whole runs within the test's own process, on a small archive, at the quickest settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from photoveil.pipeline.library import manifest, sequence
from photoveil.pipeline.library.library import Library, open_library
from photoveil.pipeline.library.manifest import RunStamp
from photoveil.pipeline.run import planning, waves
from photoveil.pipeline.run.context import RunContext
from photoveil.pipeline.run.plan import Plan, Selection
from photoveil.pipeline.run.result import RunResult
from photoveil.pipeline.run.reviewed import Reviewed
from photoveil.pipeline.settings import RunSettings, Settings
from photoveil.pipeline.state import review
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.faces.parameters import DetectorParameters
from tests.commands import hashes
from tests.support.make_archive import make_archive
from tests.support.quick_beam import remember

remember()

QUICK = Settings(
    cloak=CloakParameters(steps=2, known_steps=1, batch_size=4, surrogates=("mobilefacenet",)),
    detector=DetectorParameters(long_sides=(256,), turned_levels=0),
    run=RunSettings(first_wave=64),  # each pipeline takes a second to build
)

_opened: list[str] | None = None


class Archive:
    """An archive, its library and its private state, below one folder."""

    def __init__(self, base: Path, settings: Settings = QUICK) -> None:
        self.photos, self.out, self.state = base / "photos", base / "out", base / "state"
        self.settings = settings

    @property
    def library(self) -> Library:
        return open_library(str(self.photos), str(self.out), str(self.state))

    def plan(self, settings: Settings | None = None, recloak: bool = False) -> Plan:
        settings = settings or self.settings
        stamp = planning.new_stamp(settings)
        selection = Selection(recloak, reviewed=self._reviewed(stamp))
        return planning.plan_run(self.library, settings, stamp, selection)

    def run(
        self, prune: bool = False, recloak: bool = False, since: float | None = None
    ) -> RunResult:
        stamp = planning.new_stamp(self.settings)
        reviewed = self._reviewed(stamp)
        selection = Selection(recloak, since=since, reviewed=reviewed)
        plan = planning.plan_run(self.library, self.settings, stamp, selection)
        context = RunContext(self.library, self.settings, stamp, reviewed=reviewed)
        return waves.run(context, plan, prune)

    def _reviewed(self, stamp: RunStamp) -> Reviewed:
        kept = review.read(str(self.state))
        return planning.reviewed(self.library, kept, stamp, self._in_mode)

    def _in_mode(self, mode: str) -> Settings:
        """Settings that show in the row, and whose cloaks differ from those of `QUICK`."""
        cloak = replace(self.settings.cloak, steps=self.settings.cloak.steps + 1)
        return self.settings.model_copy(update={"mode": mode, "cloak": cloak})

    def add_rows(self, *rows: dict[str, Any]) -> None:
        """Add a part to the manifest, as the latest."""
        library = self.library
        name = next(sequence.names(library, "by-hand"))
        manifest.write_part(rows, library.manifest, library.scratch, name)

    def rows(self) -> dict[str, dict[str, Any]]:
        rows = manifest.read(self.library.manifest).to_pylist()
        assert len({row["source"] for row in rows}) == len(rows)
        return {row["source"]: row for row in rows}


class Base(Archive):
    """A generated archive after its first run."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.made = make_archive(self.photos, 24, seed=7, side=240)
        self.first = self.run()

    def of(self, kind: str) -> list[str]:
        return [item.file for item in self.made if item.kind == kind]


def photos_of(archive: Archive) -> dict[str, str]:
    """sha256 of the files of a library that are for publishing, by path."""
    return {n: h for n, h in hashes(archive.out).items() if not n.startswith("_photoveil/")}


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """The paths of all files that this process opens while the block runs."""
    global _opened
    if _hook not in _hooks:
        sys.addaudithook(_hook)  # there is no way to take one away again
        _hooks.append(_hook)
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


_hooks: list[Any] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(arguments[0], str):
        _opened.append(arguments[0])
