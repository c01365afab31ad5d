"""Where one wave reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from photoveil.pipeline.library.manifest import RunStamp
from photoveil.transforms.records import Destination


@dataclass(frozen=True)
class WavePaths:
    """The folders of one wave, and what all of its pipelines are told.

    destination: of the photos.
    handed: folder, in the private state, of what the pipelines are given to do.
    scans: folder, in the private state, of the scan's results.
    pairs: likewise, of the near duplicates that were found.
    cloaks: folder, in the private state, of finished cloaks.
    changes: folder, likewise, of the cloaks of people met first.
    prototypes: folder, likewise, of the prototypes of people met first.
    manifest: folder of the wave's rows of the manifest, before they are part of it.
    stamp: of the run, for the manifest.
    progress: file for `tick`; None where no one watches.
    """

    destination: Destination
    handed: str
    scans: str
    pairs: str
    cloaks: str
    changes: str
    prototypes: str
    manifest: str
    stamp: RunStamp
    progress: str | None
