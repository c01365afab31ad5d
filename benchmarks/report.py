"""Time and size of `photoveil report`, and how fast its page is in a real browser.

    python -m benchmarks.report --photos 1000 50000 [--draw 1000]

The libraries are made up (`tests.support.made_library`): a manifest and people of that size, over
links to a photo of 12 megapixels. Thumbnails are drawn for the first `--draw` photos; those of the
others are links to one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console

from photoveil.pipeline.cli.report import make_report
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.words import duration, size
from photoveil.transforms.io import assets
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.limits import ReadLimits
from tests.browsers import Watched, browser
from tests.support.made_library import make_library

_SIDE = 4000, 3000
_FILTER = "() => { const start = performance.now(); choose(); return performance.now() - start }"


def main() -> None:
    """Measure each size and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, nargs="+", default=[1000, 50_000])
    parser.add_argument("--draw", type=int, default=1000)
    asked = parser.parse_args()
    print("| files | report | of it drawing | again | page | report's size | opens | filters |")
    print("|---|---|---|---|---|---|---|---|")
    for files in asked.photos:
        with tempfile.TemporaryDirectory() as folder:
            print(_line(Path(folder), files, asked.draw), flush=True)


def _line(folder: Path, files: int, draw: int) -> str:
    photo = folder / "photo.jpg"
    with Image.open(assets.fetch("obama.jpg")) as image:
        image.convert("RGB").resize(_SIDE).save(photo, quality=92)
    copies = [photo.with_name(f"{number}.jpg") for number in range(4)]
    for copy in copies:  # a file has so many links at most
        shutil.copyfile(photo, copy)
    library = make_library(folder / "library", files, copies, people=min(300, files // 100))
    drawn = link_thumbnails(library, photo, draw)
    first, page = _timed(library)
    again, _ = _timed(library)
    report = page.parent
    whole = sum(path.stat().st_size for path in report.rglob("*") if path.is_file())
    loaded = page.stat().st_size + (report / "data/index.js").stat().st_size
    with browser() as chrome:
        seen = Watched(chrome, page)
        opens = seen.page.evaluate("performance.now()") / 1000
        seen.view("photos")
        filters = seen.page.evaluate(_FILTER)
    cells = [
        f"{files:,}",
        duration(first),
        f"{duration(first - again)} for {drawn:,}",
        duration(again),
        size(loaded),
        size(whole),
        f"{opens:.1f} s",
        f"{filters:.0f} ms",
    ]
    return f"| {' | '.join(cells)} |"


def _timed(library: Library) -> tuple[float, Path]:
    started = time.perf_counter()
    page = make_report(library, Console(quiet=True))
    return time.perf_counter() - started, Path(page)


def link_thumbnails(library: Library, photo: Path, draw: int) -> int:
    """Link the thumbnails of all photos but the first few to one.

    Returns:
        How many are left to draw.
    """
    one = photo.with_name("thumbnail.webp")
    one.write_bytes(codec_process.preview(photo.read_bytes(), 320, ReadLimits()))
    rows: list[dict[str, Any]] = manifest.read(
        library.manifest, ["output", "output_sha256"]
    ).to_pylist()
    written = [row["output_sha256"][:20] for row in rows if row["output"] is not None]
    for number, key in enumerate(written[draw:]):
        place = Path(library.state, "report", "thumbnails", key[:2], f"{key}.webp")
        place.parent.mkdir(parents=True, exist_ok=True)
        if number % 30_000 == 0:
            shutil.copyfile(one, place)
            one = place
        else:
            os.link(one, place)
    return min(draw, len(written))


if __name__ == "__main__":
    main()
