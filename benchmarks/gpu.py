"""The cost of optimising a face by batch size: on a GPU if there is one, otherwise on the CPU.

    python -m benchmarks.gpu [--batches 1 8 32] [--precision bfloat16] [--csv FILE] [--plot FILE]

For each batch size a separate process cloaks noise (the cost does not depend on the crop) with the
settings of mode mid, as for new people and as for known people. It prints faces per second, the
share of the time spent in the compiled loop (on a GPU: on the device and in copies to and from it),
and the peak memory.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.plot import line_plot
from photoveil.pipeline import quiet_logs

if TYPE_CHECKING:  # it loads TensorFlow, which is to be kept quiet first
    from photoveil.transforms.embedding.models import Precision

_ON_CPU = (1, 2, 4, 8, 16, 32)
_ON_GPU = (1, 4, 16, 64, 256)
_SECONDS = 8.0  # of measuring each figure
_COLUMNS = {
    "batch": "faces a batch",
    "first": "faces/s, met first",
    "known": "faces/s, known",
    "loop": "in the loop, %",
    "memory": "memory, MB",
    "gpu_memory": "GPU memory, MB",
}


def has_gpu() -> bool:
    """Return True if TensorFlow sees a GPU.

    A separate process asks, because TensorFlow reserves the GPU.
    """
    asked = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    return int(done.stdout) > 0


def measure(batch: int, precision: Precision) -> dict[str, float]:
    """Measure one batch size; the figures are by the keys of `_COLUMNS`."""
    quiet_logs.hide()
    quiet_logs.import_tensorflow()
    import tensorflow as tf

    from photoveil.transforms.cloak.handler import load_optimizer
    from photoveil.transforms.cloak.parameters import CloakParameters

    optimizer = load_optimizer(CloakParameters(batch_size=batch, precision=precision))
    inside = [0.0]

    def timed(compiled: Callable[..., list[tf.Tensor]], *inputs: tf.Tensor) -> list[tf.Tensor]:
        begun = time.perf_counter()
        results = [result.numpy() for result in compiled(*inputs)]
        inside[0] += time.perf_counter() - begun
        return [tf.constant(result) for result in results]

    optimizer._loop = partial(timed, optimizer._loop)
    crops = np.random.default_rng(0).integers(0, 256, (batch, 112, 112, 3), np.uint8)
    figures: dict[str, float] = {"batch": batch}
    for name, starts in (("known", np.zeros((batch, 112, 112, 3), np.float32)), ("first", None)):
        optimizer.cloak(crops, range(batch), starts)  # compiles
        inside[0], rounds, begun = 0.0, 0, time.perf_counter()
        while time.perf_counter() - begun < _SECONDS:
            optimizer.cloak(crops, range(batch), starts)
            rounds += 1
        seconds = time.perf_counter() - begun
        figures[name] = batch * rounds / seconds
        figures["loop"] = 100 * inside[0] / seconds
    figures["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if tf.config.list_physical_devices("GPU"):
        figures["gpu_memory"] = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return figures


def plot(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw milliseconds a face, and the memory of the process, against the batch size."""
    milliseconds = {
        name: [(row["batch"], 1000 / row[key]) for row in rows]
        for name, key in (("met first", "first"), ("known", "known"))
    }
    memory = {"process": [(row["batch"], row["memory"]) for row in rows]}
    upper = line_plot(milliseconds, "faces a batch", "ms a face")
    lower = line_plot(memory, "faces a batch", "memory, MB")
    both = Image.new("RGB", (upper.width, upper.height + lower.height))
    both.paste(upper, (0, 0))
    both.paste(lower, (0, upper.height))
    both.save(path)


def main() -> None:
    """Measure each batch size in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batches", type=int, nargs="+")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--plot", type=Path, help="PNG")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.one, given.precision)))
        return
    console = Console()
    gpu = has_gpu()
    console.print("On the GPU." if gpu else "There is no GPU that TensorFlow sees: on the CPU.")
    rows = []
    for batch in given.batches or (_ON_GPU if gpu else _ON_CPU):
        command = [sys.executable, "-m", "benchmarks.gpu", "--one", str(batch)]
        command += ["--precision", given.precision]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    columns = {key: words for key, words in _COLUMNS.items() if key in rows[0]}
    table = Table(*columns.values())
    for row in rows:
        table.add_row(
            *(f"{row[key]:,.{int(row[key] < 100 and key != 'batch')}f}" for key in columns)
        )
    console.print(table)
    if given.csv:
        with open(given.csv, "w", newline="") as stream:
            writer = csv.DictWriter(stream, list(columns))
            writer.writeheader()
            writer.writerows(rows)
    if given.plot:
        plot(rows, given.plot)


if __name__ == "__main__":
    main()
