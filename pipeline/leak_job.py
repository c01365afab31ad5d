"""The job behind `photoveil verify --leaks`: scan every file of a library for clean faces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console

from pipeline import manifest
from pipeline.library import FOLDER, LibraryError
from pipeline.screen import tracked
from transforms import codecs, storage
from transforms.cloak.surrogates import load_surrogate
from transforms.discover import discover, printable
from transforms.faces.detect import Face, detect_faces
from transforms.faces.handler import FaceDetectorHandler
from transforms.faces.parameters import DetectorParameters
from transforms.leaks import Leak, leaks

_SURROGATE = "mobilefacenet"
_NO_LIMIT = 1 << 62


@dataclass
class LeakReport:
    """checked: files. found: (output, leak). unchecked: (output, why)."""

    checked: int = 0
    found: list[tuple[str, Leak]] = field(default_factory=list)
    unchecked: list[tuple[str, str]] = field(default_factory=list)


def leak_job(root: str, originals: str, console: Console) -> LeakReport:
    """Scan a library under a person's eyes, and print what was found.

    Raises:
        LibraryError: `root` is no library.
        transforms.assets.AssetError: a model cannot be had.
        OSError: a folder cannot be listed.
    """
    root = os.path.realpath(root) if storage.is_local(root) else root
    if not storage.exists(storage.join(root, FOLDER)):
        raise LibraryError(f"{root} is no library of cloaked photos; give the output folder")
    rows = list(_one_row_a_content(root))
    report = scan(root, originals, tracked(rows, len(rows), "looking for leaks", console))
    console.print(summary(report), highlight=False, markup=False, soft_wrap=True)
    return report


def scan(root: str, originals: str, rows: Iterable[Mapping[str, Any]]) -> LeakReport:
    """Look into the output of each manifest row.

    Args:
        rows: mappings with `source`, `output` and `source_sha256`.
    """
    places = {ref.source: ref.path for ref in discover(originals)}
    outputs = {printable(e.relative): e.relative for e in storage.walk(root)}
    detect, embed = load_judges()
    report = LeakReport()
    for row in rows:
        try:
            source = storage.read_bytes(places[row["source"]])
            written = storage.read_bytes(storage.join(root, outputs[row["output"]]))
            original = codecs.decode(source, _NO_LIMIT)
            faces = detect(original.pixels)
            found = leaks(written, original, faces, detect, embed)
        except KeyError:
            report.unchecked.append((row["output"], "it or its original is gone"))
        except codecs.CodecError as error:
            report.unchecked.append((row["output"], str(error)))
        except OSError as error:
            report.unchecked.append((row["output"], storage.explain(error)))
        else:
            report.checked += 1
            report.found += [(row["output"], leak) for leak in found]
    return report


@cache
def load_judges() -> tuple[Callable[[np.ndarray], list[Face]], Callable[[np.ndarray], np.ndarray]]:
    """The detector and the surrogate, as `transforms.leaks.leaks` takes them."""
    parameters = DetectorParameters()
    detector = FaceDetectorHandler(parameters).load_model()
    surrogate = load_surrogate(_SURROGATE)

    def embed(crops: np.ndarray) -> np.ndarray:
        return surrogate.embed(tf.constant(crops, tf.float32)).numpy()

    return partial(detect_faces, detector=detector, parameters=parameters), embed


def summary(report: LeakReport) -> str:
    """Several lines without a final newline."""
    lines = [f"{report.checked:,} files looked into."]
    if report.found:
        files = len({output for output, _ in report.found})
        lines += [f"{files:,} of them hold what they should not:", ""]
        lines += [f"  {output}: {_words(leak)}" for output, leak in report.found]
        lines += [
            "",
            "Cloak these photos anew (`photoveil run --recloak`), or do not publish them.",
        ]
    elif report.checked:
        lines.append("No clean face hides in them.")
    if report.unchecked:
        lines += ["", "Not looked into:"]
        lines += [f"  {output}: {why}" for output, why in report.unchecked]
    return "\n".join(lines)


def _words(leak: Leak) -> str:
    if leak.what == "clean face":
        return f"an uncloaked face in the {leak.where} (cosine {leak.similarity:.2f})"
    if leak.what == "other face":
        return f"a face that is not in the photo itself, in the {leak.where}"
    return f"a {leak.what} that cannot be looked into, at {leak.where}"


def _one_row_a_content(root: str) -> Iterator[dict[str, Any]]:
    """The rows that have an output, files with equal bytes once."""
    seen = set()
    for row in manifest.read(storage.join(root, f"{FOLDER}/manifest")).to_pylist():
        if row["output"] and row["format"] and row["output_sha256"] not in seen:
            seen.add(row["output_sha256"])
            yield row
