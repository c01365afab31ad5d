"""What goes into a pipeline, through files in the private state.

Elements of `Create` travel within the description of the pipeline, of which every runner keeps
copies and which Dataflow takes up to 10 MB of; a face with what is known of the person is 100 kB.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from photoveil.transforms.io import storage

_MOST_FILES = 64
_LEAST = 50  # elements a file


class CreateFromFiles(beam.PTransform):
    """As `Create`. The files are written when the pipeline is built, and the caller deletes them.

    Args:
        folder: for these elements alone.
    """

    def __init__(self, elements: Sequence[Any], folder: str) -> None:
        super().__init__()
        self._elements, self._folder = elements, folder

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return (
            pipeline
            | "Files" >> beam.Create(_write(self._elements, self._folder))
            | "Load" >> beam.FlatMap(_load)
            | "Spread" >> beam.Reshuffle()
        )


def _write(elements: Sequence[Any], folder: str) -> list[str]:
    size = max(_LEAST, -(-len(elements) // _MOST_FILES))
    paths = []
    for start in range(0, len(elements), size):
        paths.append(storage.join(folder, f"{start:09}"))
        data = pickle.dumps(elements[start : start + size], pickle.HIGHEST_PROTOCOL)
        storage.write_atomic(paths[-1], data, f"{folder}.unfinished")
    return paths


def _load(path: str) -> list[Any]:
    return pickle.loads(storage.read_bytes(path))
