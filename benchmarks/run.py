"""Whole runs of two versions side by side: what a photo costs outside of the optimiser.

    python -m benchmarks.run [--against COMMIT] [--archives phone groups landscapes] [--photos 8]

Makes three archives of 12-megapixel JPEGs (phone photos with one to three faces, group photos with
20 to 60, and landscapes without a face), and runs this tree's and the commit's `photoveil run` over
them, each in a process of its own. The optimiser makes one step with one surrogate, so that its
cost hardly counts. CPU and clock are those of the archive minus those of its first photo alone, by
photo; the start has a column of its own. Memory is that of all processes together at its highest;
pages that they share count once (Linux).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from photoveil.transforms.faces.detect import detect_faces
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.photo.find_faces import FaceDetectorHandler
from tests.support.face_scenes import Portrait, cut_portrait, scene
from tests.support.processes import descendants, megabytes

ROOT = Path(__file__).resolve().parents[1]
_BEFORE = "cbde0f8"
_WIDTH, _HEIGHT = 4000, 3000
_PEOPLE = ("obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg", "astronaut.png")
_NOBODY = ("rocket.jpg", "coffee.png", "chelsea.png")
_CONFIG = """
cloak: {steps: 1, known_steps: 1, batch_size: 8, surrogates: [mobilefacenet]}
run: {first_wave: 64}
"""
# What both versions can be started by, whatever their import name. The older name comes first: an
# installed `photoveil` can be imported beside any other tree.
_START = """
try:
    from pipeline.cli import main
except ImportError:
    from photoveil.pipeline.cli.main import main
main()
"""


@dataclass(frozen=True)
class Spent:
    """What a run took: seconds of processors and of the clock, and most megabytes."""

    cpu: float
    clock: float
    memory: float


def main() -> None:
    """Run both versions over each archive, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--against", default=_BEFORE, metavar="COMMIT")
    parser.add_argument("--archives", nargs="+", choices=list(ARCHIVES), default=list(ARCHIVES))
    parser.add_argument("--photos", type=int, default=8)
    given = parser.parse_args()
    console = Console()
    table = Table("archive", "version", "CPU s a photo", "s a photo", "start, CPU s", "memory, MB")
    with tempfile.TemporaryDirectory() as folder, checkout(given.against) as other:
        versions = {given.against: import_path(other, Path(folder) / "other"),
                    "this tree": import_path(ROOT, Path(folder) / "this")}  # fmt: skip
        for archive in given.archives:
            for name, path in versions.items():
                base = Path(folder) / f"{archive} {name}"
                ARCHIVES[archive](base / "in", given.photos)
                with console.status(f"{archive}, {name}"):
                    whole = run(base, path)
                for photo in sorted((base / "in").iterdir())[1:]:
                    photo.unlink()
                with console.status(f"{archive}, {name}, one photo"):
                    one = run(base, path)
                more = given.photos - 1
                table.add_row(
                    *(archive, name),
                    *(
                        f"{(whole.cpu - one.cpu) / more:.2f}",
                        f"{(whole.clock - one.clock) / more:.2f}",
                    ),
                    *(f"{one.cpu:.0f}", f"{whole.memory:,.0f}"),
                )
                shutil.rmtree(base)
    console.print(table)


def run(base: Path, path: Path) -> Spent:
    """Cloak `base/in` into a new library and delete that.

    Args:
        base: folder of the measurement.
        path: from which the version's modules are imported.

    Raises:
        RuntimeError: the run failed.
    """
    (base / "config.yaml").write_text(_CONFIG)
    command = [sys.executable, "-P", "-c", _START, "run", base / "in", base / "out"]
    command += ["--state", base / "state", "--config", base / "config.yaml"]
    spent = measured(command, base / "said", {"PYTHONPATH": str(path)})
    for folder in ("out", "state"):
        shutil.rmtree(base / folder)
    return spent


def measured(command: Sequence[object], log: Path, environment: Mapping[str, str]) -> Spent:
    """Run a command in a process of its own.

    Args:
        command: its words.
        log: file for what it says.
        environment: variables that it has besides this process's.

    Raises:
        RuntimeError: it failed.
    """
    started, most = time.monotonic(), 0.0
    with log.open("wb") as said:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=said,
            stderr=said,
            env={**os.environ, **environment},
        )
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            processes = (process.pid, *descendants(process.pid))
            most = max(most, sum(map(megabytes, processes)))
            time.sleep(0.2)
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(log.read_text())
    return Spent(usage.ru_utime + usage.ru_stime, time.monotonic() - started, most)


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Check a commit out into a worktree, which is removed afterwards."""
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def import_path(tree: Path, folder: Path) -> Path:
    """Return the path to import a tree's modules from, as `photoveil` or in the older layout."""
    package = folder / "photoveil"
    package.mkdir(parents=True)
    if not (tree / "pipeline/cli").is_dir():
        return tree
    for name in ("pipeline", "transforms", "configs"):
        (package / name).symlink_to(tree / name)
    return folder


def phone(folder: Path, photos: int) -> None:
    """Make photos of one to three people beside each other."""
    random = np.random.default_rng(1)
    for number in range(photos):
        count = 1 + number % 3
        people = [opened(_PEOPLE[(number + place) % len(_PEOPLE)]) for place in range(count)]
        width = _WIDTH // count
        side = [_filling(person, width, _HEIGHT) for person in people]
        _save(folder, number, np.concatenate(side, axis=1), random)


def groups(folder: Path, photos: int) -> None:
    """Make photos of 20 to 60 heads, of about 130 pixels."""
    random = np.random.default_rng(2)
    everyone = list(heads())
    for number in range(photos):
        most = round(20 + 40 * number / max(1, photos - 1))
        pixels, _ = scene(everyone[number % 2 :], _WIDTH, _HEIGHT, 110 + 5 * number, most)
        _save(folder, number, pixels, random)


def landscapes(folder: Path, photos: int) -> None:
    """Make photos without a face."""
    random = np.random.default_rng(3)
    for number in range(photos):
        picture = opened(_NOBODY[number % len(_NOBODY)])
        left, top, share = *random.uniform(0, 0.4, 2), random.uniform(0.5, 0.6)
        width, height = picture.size
        part = picture.crop(
            (left * width, top * height, (left + share) * width, (top + share) * height)
        )
        _save(folder, number, _filling(part, _WIDTH, _HEIGHT), random)


ARCHIVES = {"phone": phone, "groups": groups, "landscapes": landscapes}


def opened(name: str) -> Image.Image:
    """Open one of the public photos, RGB."""
    with Image.open(assets.fetch(name)) as file:
        return file.convert("RGB")


def _filling(picture: Image.Image, width: int, height: int) -> np.ndarray:
    """Enlarge the middle of a picture to the frame, uint8 (height, width, 3)."""
    scale = max(width / picture.width, height / picture.height)
    size = (width, height)
    # The side that fills the frame is a rounding longer or shorter than the picture's.
    across, down = min(picture.width, width / scale), min(picture.height, height / scale)
    left, top = (picture.width - across) / 2, (picture.height - down) / 4
    box = (left, top, left + across, top + down)
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box))


def heads() -> Iterator[Portrait]:
    """Cut the heads out of the public photos of people."""
    parameters = DetectorParameters()
    detect = partial(
        detect_faces,
        detector=FaceDetectorHandler(parameters).load_model(),
        parameters=parameters,
    )
    for name in _PEOPLE:
        pixels = np.asarray(opened(name))
        portrait = cut_portrait(pixels, detect(pixels)[0])
        if portrait is not None:
            yield portrait


def _save(folder: Path, number: int, pixels: np.ndarray, random: np.random.Generator) -> None:
    """Write a photo with the noise of a sensor, which is most of the bytes of a real one."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = random.normal(0, 3, pixels.shape[:2])[..., np.newaxis]
    noisy = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(folder / f"{number:04}.jpg", quality=92)


if __name__ == "__main__":
    main()
