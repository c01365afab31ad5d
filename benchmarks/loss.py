"""What HEIC, AVIF and lossy WebP lose outside of the cloak, by the quality that a file had.

    python -m benchmarks.loss PICTURE ...

Prints a table in Markdown with a row a file. Where two figures stand together, the first is what
the picture would lose in as many bytes as it had, the second is what it loses now.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.codecs import rate

_NO_LIMIT = 1 << 62
_QUALITIES = (20, 40, 60, 80)
_STRENGTH, _CELL, _MARGIN = 8, 4, 16  # of the noise in levels; pixels


def main() -> None:
    """Measure the given pictures, and print a table in Markdown."""
    print(
        "| file | bits a pixel | mean error | 99th percentile | most | share of the cloak kept "
        "| size | CPU s | notes |"
    )
    print("|---" * 9 + "|")
    for name in sys.argv[1:]:
        for label, data in _files(Path(name)):
            with mock.patch.object(rate, "bounded", _unbounded):
                equal = _loss(data)
            now = _loss(data)
            pairs = zip(equal.figures(), now.figures(), strict=True)
            cells = [one if one == other else f"{one}, {other}" for one, other in pairs]
            cells.append("; ".join(now.notes))
            print(f"| {label} | {_bits(data):.2f} | {' | '.join(cells)} |", flush=True)


def _unbounded(
    encode: Callable[[int], bytes],
    size: Callable[[bytes], int],
    bytes_before: int,
    error: Callable[[bytes], float],
) -> tuple[bytes, float]:
    """Do as `rate.bounded`, without a bound."""
    return rate.matched(encode, size, bytes_before), 0.0


def _bits(data: bytes) -> float:
    return 8 * len(data) / codecs.decode(data, _NO_LIMIT).pixels[..., 0].size


@dataclass(frozen=True)
class _Loss:
    """What one file lost.

    lost: levels outside of the cloak.
    kept: share of the cloak.
    growth: bytes after to bytes before.
    seconds: of the CPU.
    """

    lost: np.ndarray
    kept: float
    growth: float
    seconds: float
    notes: tuple[str, ...]

    def figures(self) -> list[str]:
        """Return the figures as cells of the table."""
        return [
            f"{self.lost.mean():.1f}",
            f"{np.percentile(self.lost, 99):.0f}",
            f"{self.lost.max():.0f}",
            f"{self.kept:.2f}",
            f"{self.growth:.2f}",
            f"{self.seconds:.1f}",
        ]


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the file itself if it is in a lossy format, otherwise files made from it."""
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


def _loss(data: bytes) -> _Loss:
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
    return _Loss(lost, float(kept), len(coded.data) / len(data), seconds, coded.notes)


if __name__ == "__main__":
    main()
