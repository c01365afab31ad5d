"""The small pictures of a report, each made once and kept for the reports after it.

Thumbnails and pictures of people are drawn from the cloaked files, so they show nothing that is not
published. Only where a browser cannot show the photos themselves are both drawn large, the original
too: see `Pictures.make`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from photoveil.pipeline.library.library import Library
from photoveil.pipeline.library.state_folder import REPORT_PICTURES
from photoveil.pipeline.report.rows import Picture
from photoveil.transforms import codecs
from photoveil.transforms.io import storage
from photoveil.transforms.photo import codec_process
from photoveil.transforms.photo.limits import ReadLimits

SHOWN_BY_BROWSERS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "AVIF")
"""Formats of the manifest that every browser shows."""
THUMBNAIL, LARGE, FACE = 320, 1600, 160
"""Longer sides in pixels."""
_AHEAD = 8  # pictures that wait for a thread


@dataclass(frozen=True)
class Part:
    """A picture to draw.

    name: where it goes, below the report. path: of the photo. box: of the part, as shares of the
    upright photo's sides; None for all of it.
    """

    name: str
    path: str
    side: int
    box: tuple[float, float, float, float] | None = None


def parts_of(library: Library, picture: Picture, portable: bool) -> Iterator[Part]:
    """The pictures that a photo of a library needs.

    Args:
        portable: before and after are drawn, too, as the page will not be beside IN and OUT.
    """
    before = storage.join(library.source, picture.source)
    after = storage.join(library.root, picture.output)
    yield Part(f"thumbnails/{_name(picture.key)}", after, THUMBNAIL)
    if portable or picture.format not in SHOWN_BY_BROWSERS:
        yield Part(f"before/{_name(picture.key)}", before, LARGE)
        yield Part(f"after/{_name(picture.key)}", after, LARGE)


def _name(key: str) -> str:
    return f"{key[:2]}/{key}.webp"


def present(folder: str) -> set[str]:
    """The names of the pictures that a report has."""
    found: set[str] = set()
    for kind in REPORT_PICTURES:
        below = storage.join(folder, kind)
        if storage.exists(below):
            found.update(f"{kind}/{entry.relative}" for entry in storage.walk(below))
    return found


def draw(
    parts: Iterable[Part], folder: str, limits: ReadLimits, tick: Callable[[], None]
) -> list[str]:
    """Draw pictures into a report, several at a time.

    Args:
        tick: is called after each.

    Returns:
        The paths of the photos that cannot be shown: gone, or not to be decoded.

    Raises:
        OSError: a picture cannot be written.
    """
    # Each thread has a codec process; the work is theirs.
    threads = os.cpu_count() or 1
    unseen: list[str] = []
    rest = iter(parts)
    with ThreadPoolExecutor(threads) as pool:
        waiting: set[Future[str | None]] = set()
        while True:
            for part in itertools.islice(rest, _AHEAD + threads - len(waiting)):
                waiting.add(pool.submit(_draw, part, folder, limits))
            if not waiting:
                return sorted(set(unseen))
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                unseen += filter(None, [future.result()])
                tick()


def _draw(part: Part, folder: str, limits: ReadLimits) -> str | None:
    """Draw one picture; the path of its photo if that cannot be shown."""
    try:
        data = codec_process.preview(storage.read_bytes(part.path), part.side, limits, part.box)
    except (codecs.CodecError, OSError, MemoryError, ValueError):
        return part.path
    write(storage.join(folder, part.name), data)
    return None


def write(path: str, data: bytes) -> None:
    """Write a file of a report for its owner alone. What a crash cuts off is made anew.

    Not `storage.write_atomic`: to sync 50,000 thumbnails takes longer than to draw them.

    Raises:
        OSError: it cannot be written.
    """
    if not storage.is_local(path):
        storage.write_private(path, data)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    unfinished = f"{path}.unfinished"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(data)
    os.replace(unfinished, path)
