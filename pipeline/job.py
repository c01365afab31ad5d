"""The main job: plan, say so, carry it out under a person's eyes."""

from __future__ import annotations

from rich.console import Console

from pipeline import waves
from pipeline.library import Library
from pipeline.screen import watched
from pipeline.settings import Settings
from pipeline.waves import Outcome
from transforms import assets


def run_job(library: Library, settings: Settings, recloak: bool, console: Console) -> Outcome:
    """Cloak what is new in an archive. The caller holds the library's lock.

    Raises:
        transforms.assets.AssetError: a model cannot be had.
        OSError: the archive cannot be listed, or the library or state not written.
    """
    stamp = waves.new_stamp(settings)
    with console.status("looking at the archive"):
        plan = waves.plan_run(library, stamp, recloak)
    if plan.todo:
        for name in waves.models(settings):
            with console.status(f"fetching {name}"):
                assets.fetch(name)
    file = library.state / "progress"
    with watched(file, len(plan.todo), console):
        return waves.run(library, plan, settings, stamp, file)
