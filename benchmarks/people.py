"""People: are labelled people distinguished, also in two runs, and how large can an archive be?

    python -m benchmarks.people [--people PEOPLE] [--faces 100000] [--against cbde0f8]

PEOPLE holds photos and a `people.csv` with the columns file, person. Faces are found, aligned and
embedded as in a run, and the largest face of a photo is taken as the person named. The other part
clusters synthetic embeddings: people as directions in 48 of 192 dimensions, so that strangers are
as similar as real ones (99.9 % of pairs below a cosine of about 0.5), some with hundreds of faces
and many with a few. With `--everywhere` a third of the faces are of one person. With `--against`,
the same faces are then clustered by another commit's code. Each version runs in a process of its
own; seconds are those of all processors. Linux.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from sklearn.metrics.cluster import pair_confusion_matrix

from benchmarks.run import ROOT, checkout, import_path
from photoveil.transforms.embedding.handler import load_embedder
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.faces.clustering import cluster
from photoveil.transforms.faces.detect import detect_faces, load_retinaface
from photoveil.transforms.faces.identity import name_people
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets

_DIMENSIONS, _OF_PEOPLE = 192, 48
_SHARE = 1 / 3  # of the faces that are of a person who is everywhere
# Clusters the faces of a file with the modules of either layout; the older name comes first, since
# an installed `photoveil` can be imported beside any other tree.
_CLUSTER = """
import re, sys, time
import numpy as np
try:
    from transforms.faces.identity import cluster
except ImportError:
    from photoveil.transforms.faces.clustering import cluster
vectors = np.load(sys.argv[1])
cluster(vectors[:50])  # loads the libraries
started = time.process_time()
labels = cluster(vectors)
seconds = time.process_time() - started
# The system's other figure counts the memory of the process that started this one, too.
memory = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(seconds, int(memory) / 1024)
np.save(sys.argv[2], labels)
"""


def main() -> None:
    """Measure labelled people and synthetic faces, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=Path)
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--everywhere", action="store_true")
    parser.add_argument("--against", metavar="COMMIT")
    arguments = parser.parse_args()
    console = Console()
    if arguments.people:
        _labelled(arguments.people, console)
    if arguments.faces:
        who, vectors = synthetic(arguments.faces, _SHARE if arguments.everywhere else 0.0)
        here = _clustered("this tree", ROOT, who, vectors, console)
        if arguments.against:
            with checkout(arguments.against) as tree:
                there = _clustered(arguments.against, tree, who, vectors, console)
            (_, more), (fewer, _) = pair_confusion_matrix(there, here)
            console.print(
                f"pairs of faces that only one of the two takes for one person: {more + fewer:,}"
            )


def _labelled(folder: Path, console: Console) -> None:
    keys, people, embeddings = _embedded(folder)
    vectors = np.stack(embeddings)
    one_run, _ = name_people(keys, cluster(vectors), {})
    console.print(f"one run: {_figures(people, [one_run[key] for key in keys])}")
    half = list(range(0, len(keys), 2))
    first, _ = name_people([keys[i] for i in half], cluster(vectors[half]), {})
    second, change = name_people(keys, cluster(vectors), first)
    console.print(f"half in a second run: {_figures(people, [second[key] for key in keys])}")
    kept = np.mean([second[key] == first[key] for key in first])
    console.print(
        f"of the faces of the first run {kept:.3f} keep their person; "
        f"{len(change.merged)} people merged, {len(change.split)} split"
    )


def _embedded(folder: Path) -> tuple[list[str], list[str], list[np.ndarray]]:
    detector = load_retinaface(str(assets.fetch("retinaface.pb")))
    embed = load_embedder()
    keys, people, embeddings = [], [], []
    with open(folder / "people.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        with Image.open(folder / row["file"]) as image:
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        faces = detect_faces(pixels, detector, DetectorParameters())
        largest = max(faces, key=lambda face: face.size, default=None)
        for index, face in enumerate(faces):
            crop = crop_face(pixels, face_to_crop(face.landmarks))
            keys.append(f"{row['file']} {index}")
            people.append(row["person"] if face is largest else "")
            embeddings.append(embed(crop[np.newaxis])[0])
    return keys, people, embeddings


def _figures(truth: list[str], found: list[str]) -> str:
    """Describe pairwise precision and recall over the faces whose person is known."""
    known = [(name, person) for name, person in zip(truth, found, strict=True) if name]
    (_, false), (missed, true) = pair_confusion_matrix(*zip(*known, strict=True))
    return (
        f"pairwise precision {true / (true + false):.3f}, recall {true / (true + missed):.3f} "
        f"({len(known)} faces, {len({name for name, _ in known})} people)"
    )


def synthetic(faces: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Make embeddings of people who are seen more or less often.

    Args:
        faces: how many.
        share: of them that are of one person.

    Returns:
        int64 (n,) whose each face is, and float32 (n, 192) of unit length.
    """
    rng = np.random.default_rng(0)
    count = faces // 20
    people = np.zeros((count, _DIMENSIONS))
    people[:, :_OF_PEOPLE] = rng.normal(size=(count, _OF_PEOPLE)) / np.sqrt(_OF_PEOPLE)
    often = 1 / np.arange(10, count + 10)
    who = rng.choice(count, size=faces, p=often / often.sum())
    who[rng.random(faces) < share] = 0
    vectors = people[who] + rng.normal(scale=0.5 / np.sqrt(_DIMENSIONS), size=(faces, _DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return who, vectors.astype(np.float32)


def _clustered(
    name: str, tree: Path, who: np.ndarray, vectors: np.ndarray, console: Console
) -> np.ndarray:
    """Cluster faces by the code of a tree, print what it took and found, and return the labels."""
    with tempfile.TemporaryDirectory() as folder:
        faces, found = Path(folder) / "faces.npy", Path(folder) / "labels.npy"
        np.save(faces, vectors)
        path = import_path(tree, Path(folder) / "modules")
        said = subprocess.run(
            [sys.executable, "-P", "-c", _CLUSTER, faces, found],
            env={**os.environ, "PYTHONPATH": str(path)},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        seconds, memory = map(float, said.split())
        labels: np.ndarray = np.load(found)
    (_, false), (missed, true) = pair_confusion_matrix(who, labels)
    console.print(
        f"{name}: {len(who):,} synthetic faces of {len(set(who)):,} people: {seconds:.0f} s, peak "
        f"memory {memory:,.0f} MB, {labels.max() + 1:,} people found, pairwise precision "
        f"{true / (true + false):.3f}, recall {true / (true + missed):.3f}"
    )
    return labels


if __name__ == "__main__":
    main()
