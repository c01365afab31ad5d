"""Archives that are anything but even: what do their widest groups cost?

    python -m benchmarks.skew [--archives copies alike folder person crowd] [--share 1.0]

Makes archives of one kind each, and cloaks them with the cheapest cloak (1 step, one surrogate):

copies: 2,000 copies of one photo
alike: 2,000 saved versions of one photo, whose bytes differ
folder: a folder of 100,000 photos of 16 pixels, of which 4 are cloaked
person: 300 photos with the same person, each cut out otherwise
crowd: one photo with 300 faces

Each run is a process of its own. The group is the widest one, as `photoveil plan --json` tells it
after a scan ahead, or before the run; of `alike`, it is that of the run's record. Memory is that of
all processes together at its highest. Linux.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.run import heads, measured, opened
from tests.support.face_scenes import scene

_CONFIG = """
cloak: {steps: 1, known_steps: 1, batch_size: 8, surrogates: [mobilefacenet]}
"""
_SMALL = "detector: {long_sides: [256], smallest_face: 100}"
_PERSON = "obama.jpg"


@dataclass(frozen=True)
class Kind:
    """A kind of archive.

    make: makes so many of what it is about in a folder. count: how many by default.
    group: the widest group, of a plan; None for that of the run's record.
    scanned: the archive is scanned before the plan is made. config, options: of the run.
    """

    make: Callable[[Path, int], None]
    count: int
    group: Callable[[dict[str, Any]], int] | None
    scanned: bool = False
    config: str = _CONFIG
    options: tuple[str, ...] = ()


def main() -> None:
    """Measure each kind of archive, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--archives", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--share", type=float, default=1.0, help="of the counts above")
    given = parser.parse_args()
    console = Console()
    table = Table("archive", "of", "widest group", "plan, CPU s", "run, CPU s", "s", "memory, MB")
    for name in given.archives:
        with tempfile.TemporaryDirectory() as folder, console.status(name):
            count = round(KINDS[name].count * given.share)
            table.add_row(name, f"{count:,}", *measure(Path(folder), KINDS[name], count))
    console.print(table)


def measure(base: Path, kind: Kind, count: int) -> list[str]:
    """Make an archive below `base`, cloak it, and return the figures of the table."""
    (base / "in").mkdir()
    kind.make(base / "in", count)
    (base / "config.yaml").write_text(kind.config)
    places = (base / "in", base / "out", "--state", base / "state")
    start = (Path(sys.executable).with_name("photoveil"),)
    config = ("--config", base / "config.yaml")
    log = base / "said"
    if kind.scanned:
        measured((*start, "scan", *places, *config), log, {})
    planning = measured((*start, "plan", *places, *config, "--json"), log, {})
    plan = json.loads(log.read_text())
    run = measured((*start, "run", *places, *config, *kind.options), log, {})
    if kind.group is None:
        record = next((base / "out/_photoveil/runs").glob("*.json"))
        widest = json.loads(record.read_text())["work"]["widest_bucket"]
    else:
        widest = kind.group(plan)
    figures = (f"{planning.cpu:.1f}", f"{run.cpu:.0f}", f"{run.clock:.0f}", f"{run.memory:,.0f}")
    return [f"{widest:,}", *figures]


def copies(folder: Path, count: int) -> None:
    """Make copies of one photo, as links."""
    (folder / "0.jpg").write_bytes(_jpeg(opened(_PERSON)))
    for number in range(1, count):
        os.link(folder / "0.jpg", folder / f"{number}.jpg")


def alike(folder: Path, count: int) -> None:
    """Make versions of one photo that differ in the quality of the JPEG and in a comment."""
    photo = opened(_PERSON).resize((320, 240))
    for number in range(count):
        data = _jpeg(photo, 55 + number % 40, f"version {number}")
        (folder / f"{number}.jpg").write_bytes(data)


def crowded_folder(folder: Path, count: int) -> None:
    """Make tiny photos of the same size whose bytes differ."""
    picture = Image.new("RGB", (16, 12))
    for number in range(count):
        (folder / f"{number:09}.jpg").write_bytes(_jpeg(picture, comment=f"{number:09}"))


def person(folder: Path, count: int) -> None:
    """Make photos with the same person, cut out, turned and lit otherwise."""
    random = np.random.default_rng(0)
    photo = opened(_PERSON)
    for number in range(count):
        left, top, right, bottom = random.uniform(0, 0.12, 4)
        box = (left * photo.width, top * photo.height,
               (1 - right) * photo.width, (1 - bottom) * photo.height)  # fmt: skip
        part = photo.rotate(random.uniform(-6, 6), Image.Resampling.BICUBIC).crop(box)
        lit = np.asarray(part.resize((480, 480)), np.float32) * random.uniform(0.7, 1.2)
        data = _jpeg(Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8)))
        (folder / f"{number}.jpg").write_bytes(data)


def crowd(folder: Path, count: int) -> None:
    """Make one photo of 12 megapixels with so many heads."""
    pixels, places = scene(list(heads()), 4000, 3000, 60, count)
    if len(places) < count:
        raise ValueError(f"the photo has room for {len(places)} heads")
    (folder / "crowd.jpg").write_bytes(_jpeg(Image.fromarray(pixels)))


def _jpeg(picture: Image.Image, quality: int = 90, comment: str = "") -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=quality, comment=comment)
    return data.getvalue()


KINDS = {
    "copies": Kind(copies, 2_000, lambda plan: plan["most_same"]),
    "alike": Kind(alike, 2_000, None, config=_CONFIG + _SMALL),
    "folder": Kind(
        *(crowded_folder, 100_000, lambda plan: plan["largest_folder"]["files"]),
        options=("--limit", "4"),
    ),
    "person": Kind(
        *(person, 300, lambda plan: plan["most_faces_of_a_person"]),
        scanned=True,
        config=_CONFIG + _SMALL,
    ),
    "crowd": Kind(crowd, 300, lambda plan: plan["most_faces_of_a_photo"], scanned=True),
}


if __name__ == "__main__":
    main()
