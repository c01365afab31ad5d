"""What HEIC, AVIF and lossy WebP lose outside of the cloak, by the quality that a file had.

python -m benchmarks.loss PICTURE ...
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from photoveil.transforms import codecs

_NO_LIMIT = 1 << 62
_QUALITIES = (20, 40, 60, 80)
_STRENGTH, _CELL, _MARGIN = 8, 4, 16  # of the noise in levels; pixels


def main() -> None:
    print("file  bits a pixel  size  mean  99th percentile  most  kept of the change  CPU s")
    for name in sys.argv[1:]:
        for label, data in _files(Path(name)):
            print(f"{label}  {_figures(data)}", flush=True)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The file itself if it is re-encoded as it is; otherwise files made from it."""
    data = path.read_bytes()
    if codecs.sniff(data) in ("HEIC", "AVIF", "WebP"):
        yield path.name, data
        return
    import pillow_heif

    image = Image.fromarray(codecs.decode(data, _NO_LIMIT).pixels)
    for quality in _QUALITIES:
        for form in ("HEIC", "AVIF", "WEBP"):
            out = io.BytesIO()
            if form == "HEIC":
                pillow_heif.from_pillow(image).save(out, quality=quality)
            else:
                image.save(out, form, quality=quality)
            yield f"{path.name} {form} {quality}", out.getvalue()


def _figures(data: bytes) -> str:
    before = codecs.decode(data, _NO_LIMIT).pixels
    height, width = before.shape[:2]
    top, left, side = height // 4, width // 3, min(max(64, min(height, width) // 4), height // 2)
    cells = np.random.default_rng(1).normal(0, _STRENGTH, (side // _CELL, side // _CELL))
    noise = Image.fromarray(cells.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    change = np.zeros((height, width), np.float32)
    place = (slice(top, top + side), slice(left, left + side))
    change[place] = np.asarray(noise)[: height - top, : width - left]
    start = time.process_time()
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change))
    seconds = time.process_time() - start
    found = codecs.decode(coded.data, _NO_LIMIT).pixels.astype(np.float32) - before
    kept = (found[place].mean(axis=2) * change[place]).sum() / (change[place] ** 2).sum()
    outside = np.ones((height, width), bool)
    outside[
        max(0, top - _MARGIN) : top + side + _MARGIN, max(0, left - _MARGIN) : left + side + _MARGIN
    ] = False
    lost = np.abs(found[outside])
    return (
        f"{8 * len(data) / width / height:.2f}  {len(coded.data) / len(data):.2f}  "
        f"{lost.mean():.2f}  {np.percentile(lost, 99):.0f}  {lost.max():.0f}  "
        f"{kept:.2f}  {seconds:.1f}  {', '.join(coded.notes)}"
    )


if __name__ == "__main__":
    main()
