"""The job behind `photoveil verify --leaks`: scan every file of a library for clean faces.

Files without cloaked faces are scanned as well: one that was copied may hold another picture with a
face.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console

from photoveil.pipeline.cli.output import print_text
from photoveil.pipeline.cli.progress_bar import tracked
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.identity import FOLDER, LibraryError
from photoveil.transforms import codecs
from photoveil.transforms.embedding.surrogates import load_surrogate
from photoveil.transforms.faces.detect import detect_faces
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.failures import failure
from photoveil.transforms.io import storage
from photoveil.transforms.io.storage import printable
from photoveil.transforms.leaks.clean_faces import inside, leaks
from photoveil.transforms.photo import codec_process, sidecars
from photoveil.transforms.photo.discover import discover
from photoveil.transforms.photo.find_faces import FaceDetectorHandler
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.records import EmbeddedKind, Face, FileKind, Leak

_SURROGATE = "mobilefacenet"
_NO_LIMIT = 1 << 62
LIMITS = ReadLimits()
"""Of the process that opens a file."""

Detect = Callable[[np.ndarray], list[Face]]
Embed = Callable[[np.ndarray], np.ndarray]


@dataclass
class LeakReport:
    """What the scan found.

    checked: number of files.
    found: (output, leak).
    videos: number of files that are videos.
    gone: outputs that are missing, or whose originals are missing and needed.
    unopened: (output, reason).
    """

    checked: int = 0
    found: list[tuple[str, Leak]] = field(default_factory=list)
    videos: int = 0
    gone: list[str] = field(default_factory=list)
    unopened: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """True if every output that is there was scanned and no leak was found."""
        return not self.found and not self.unopened


def leak_job(root: str, originals: str, console: Console) -> LeakReport:
    """Scan a library, and print progress and what was found.

    Raises:
        LibraryError: `root` is not a library.
        transforms.io.assets.AssetError: a model cannot be fetched.
        OSError: a folder cannot be listed.
    """
    root = os.path.realpath(root) if storage.is_local(root) else root
    if not storage.exists(storage.join(root, FOLDER)):
        raise LibraryError(f"{root} is no library of cloaked photos; give the output folder")
    rows = list(_one_row_a_content(root))
    report = scan(root, originals, tracked(rows, len(rows), "looking for leaks", console))
    print_text(console, summary(report, originals, root))
    return report


def scan(root: str, originals: str, rows: Iterable[Mapping[str, Any]]) -> LeakReport:
    """Scan the output of each manifest row.

    Args:
        root: of the library.
        originals: folder of the archive.
        rows: mappings with `source`, `output`, `format` and `faces`, as in the manifest.
    """
    places = {ref.source: ref.path for ref in discover(originals)}
    outputs = {printable(e.relative): e.relative for e in storage.walk(root)}
    judges, report = load_judges(), LeakReport()
    for row in rows:
        source, output = places.get(row["source"]), outputs.get(row["output"])
        if output is None and storage.exists(storage.join(root, row["output"])):
            output = row["output"]  # the file system lists it under another spelling
        if output is None or (source is None and row["faces"]):
            report.gone.append(row["output"])
            continue
        path = storage.join(root, output)
        try:
            if row["format"] is None and _is_video(path):
                report.videos += 1
                continue
            if row["faces"]:
                found = _leaks(str(source), path, *judges)
            else:
                found = _inside(path, row["format"] is not None, judges[0])
        except codecs.CodecError as error:
            report.unopened.append((row["output"], str(error)))
        except OSError as error:
            report.unopened.append((row["output"], storage.explain(error)))
        except Exception as error:
            report.unopened.append((row["output"], failure("looking into it", error).reason))
        else:
            report.checked += 1
            report.found += [(row["output"], leak) for leak in found]
    return report


def _leaks(source: str, output: str, detect: Detect, embed: Embed) -> list[Leak]:
    """Scan an output with cloaked faces; `source` and `output` are paths."""
    original = codec_process.decode(storage.read_bytes(source), _NO_LIMIT, LIMITS)
    data = storage.read_bytes(output)
    written = codec_process.decode(data, _NO_LIMIT, LIMITS).pixels
    pictures = codec_process.hidden(data, LIMITS)
    return leaks(pictures, original, written, detect(original.pixels), detect, embed)


def _inside(output: str, is_photo: bool, detect: Detect) -> list[Leak]:
    """Scan an output without cloaked faces; `output` is a path."""
    data = storage.read_bytes(output)
    photo = codec_process.decode(data, _NO_LIMIT, LIMITS) if is_photo else None
    pictures = codec_process.hidden(data, LIMITS)
    faces = detect(photo.pixels) if photo and pictures else []
    return inside(pictures, photo, faces, detect, DetectorParameters().min_face)


def _is_video(output: str) -> bool:
    return sidecars.kind(output, storage.read_bytes(output, sidecars.HEAD)) is FileKind.VIDEO


@cache
def load_judges() -> tuple[Detect, Embed]:
    """Load the detector and the surrogate, as `transforms.leaks.clean_faces.leaks` takes them."""
    parameters = DetectorParameters()
    detector = FaceDetectorHandler(parameters).load_model()
    surrogate = load_surrogate(_SURROGATE)

    def embed(crops: np.ndarray) -> np.ndarray:
        return surrogate.embed(tf.constant(crops, tf.float32)).numpy()

    return partial(detect_faces, detector=detector, parameters=parameters), embed


def summary(report: LeakReport, originals: str, root: str) -> str:
    """Describe a report in several lines, without a final newline."""
    lines = [f"{report.checked:,} files looked into."]
    if report.found:
        files = len({output for output, _ in report.found})
        lines += [f"{files:,} of them hold what they should not:", ""]
        lines += [f"  {output}: {_words(leak)}" for output, leak in report.found]
        lines += [
            "",
            f"`photoveil run {originals} {root} --recloak` does anew those that an older version "
            "or other settings made.",
            "Delete any other of them and run it without --recloak. Until then do not publish "
            "these files.",
        ]
    elif report.checked:
        lines.append("No clean face hides in them.")
    if report.videos:
        lines.append(f"{report.videos:,} more are videos, copied as metadata.videos says.")
    if report.gone or report.unopened:
        lines += ["", "Not looked into:"]
        lines += [f"  {output}: it or its original is gone" for output in report.gone]
        lines += [f"  {output}: {why}" for output, why in report.unopened]
    return "\n".join(lines)


def _words(leak: Leak) -> str:
    if leak.what == EmbeddedKind.CLEAN_FACE:
        return f"an uncloaked face in the {leak.where} (cosine {leak.similarity:.2f})"
    if leak.what == EmbeddedKind.OTHER_FACE:
        return f"a face that is not in the photo itself, in the {leak.where}"
    return f"a {leak.what} that cannot be looked into, at {leak.where}"


def _one_row_a_content(root: str) -> Iterator[dict[str, Any]]:
    """Yield the rows that have an output, companions too, once for files with equal bytes."""
    seen = set()
    for row in manifest.read(storage.join(root, f"{FOLDER}/manifest")).to_pylist():
        if row["output"] and row["output_sha256"] not in seen:
            seen.add(row["output_sha256"])
            yield row
