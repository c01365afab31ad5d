"""The optimiser of two versions side by side: what a face costs.

    python -m benchmarks.optimiser PEOPLE [--against COMMIT] [--faces 16] [--rounds 3]

PEOPLE is as for `benchmarks.protection`; one face of each of the first photos is cloaked. Each
version runs in a process of its own with its default settings (mode mid), and they take turns
round by round, so that a noisy machine treats both alike. Compiling is not counted. Known people
start from the perturbations that the same faces have just had. That makes no better start than
their other photos would, as far as the cost is concerned: it is the same for any start.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.run import ROOT, checkout, import_path
from photoveil.pipeline import quiet_logs

_BEFORE = "cbde0f8"

# What both versions can be asked by, whatever their import name: for each line read, CPU seconds
# for all faces as new people and as known ones. The older name comes first: an installed
# `photoveil` can be imported beside any other tree.
_WORKER = """
import sys, time
import numpy as np
try:
    from transforms.cloak.handler import load_optimizer
    from transforms.cloak.parameters import CloakParameters
except ImportError:
    from photoveil.transforms.cloak.handler import load_optimizer
    from photoveil.transforms.cloak.parameters import CloakParameters
crops = np.load(sys.argv[1])
parameters = CloakParameters()
optimizer, size = load_optimizer(parameters), parameters.batch_size

def cloak(known):
    made = []
    for first in range(0, len(crops), size):
        batch = crops[first : first + size]
        starts = None if known is None else np.stack(known[first : first + size])
        made += optimizer.cloak(batch, range(first, first + len(batch)), starts)
    return [getattr(one, "stacked", one.change).astype(np.float32) for one in made]

cloak(cloak(None))  # compiles
for _ in sys.stdin:
    began = time.process_time()
    new = cloak(None)
    middle = time.process_time()
    cloak(new)
    print(middle - began, time.process_time() - middle, flush=True)
"""


def main() -> None:
    """Time both versions in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("people", type=Path)
    parser.add_argument("--against", default=_BEFORE, metavar="COMMIT")
    parser.add_argument("--faces", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, checkout(given.against) as other:
        base = Path(folder)
        np.save(base / "crops.npy", aligned_faces(given.people, given.faces))
        versions = {
            given.against: _start(import_path(other, base / "other"), base / "crops.npy"),
            "this tree": _start(import_path(ROOT, base / "this"), base / "crops.npy"),
        }
        seconds: dict[str, list[list[float]]] = {name: [] for name in versions}
        for _ in range(given.rounds):
            for name, worker in versions.items():
                seconds[name].append([part / given.faces for part in _ask(worker)])
        for worker in versions.values():
            worker.communicate()
    medians = {
        name: [statistics.median(part) for part in zip(*rounds, strict=True)]
        for name, rounds in seconds.items()
    }
    table = Table("people", *(f"{name}, CPU s a face" for name in versions), "share")
    for place, people in enumerate(("new", "known")):
        before, now = (medians[name][place] for name in versions)
        table.add_row(people, f"{before:.2f}", f"{now:.2f}", f"{now / before:.2f}")
    Console().print(table)


def aligned_faces(people: Path, count: int) -> np.ndarray:
    """Cut the most certain face out of each of the first photos, uint8 (count, 112, 112, 3).

    Raises:
        SystemExit: the folder has fewer faces.
    """
    quiet_logs.hide()
    quiet_logs.import_tensorflow()
    from PIL import Image, ImageOps

    from photoveil.pipeline.evaluation.labels import read_labels
    from photoveil.transforms.faces.align import crop_face, face_to_crop
    from photoveil.transforms.faces.detect import detect_faces, load_retinaface
    from photoveil.transforms.faces.parameters import DetectorParameters
    from photoveil.transforms.io import assets

    detector = load_retinaface(str(assets.fetch("retinaface.pb")))
    crops: list[np.ndarray] = []
    for name in sorted(read_labels(str(people))):
        with Image.open(people / name) as image:
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        for face in detect_faces(pixels, detector, DetectorParameters())[:1]:
            crops.append(crop_face(pixels, face_to_crop(face.landmarks)))
        if len(crops) == count:
            return np.stack(crops)
    raise SystemExit(f"{people}: only {len(crops)} of its photos show a face, not {count}")


def _start(path: Path, crops: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _WORKER, str(crops)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(path), "TF_ENABLE_ONEDNN_OPTS": "1"},
    )


def _ask(worker: subprocess.Popen[str]) -> list[float]:
    """Let a worker cloak all faces, and return its CPU seconds for new and for known people.

    Raises:
        RuntimeError: it has stopped.
    """
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    said = worker.stdout.readline().split()
    if not said:
        raise RuntimeError("one of the versions has stopped; run its optimiser alone to see why")
    return [float(word) for word in said]


if __name__ == "__main__":
    main()
