"""Compute the cloak of each face, in batches of faces of many photos."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, PredictionResult, RunInference

from photoveil.pipeline.state import warm_starts
from photoveil.transforms.beam.cached_inference import CachingHandler
from photoveil.transforms.beam.isolate_errors import ErrorIsolatingHandler
from photoveil.transforms.beam.progress import tick
from photoveil.transforms.cloak.handler import CloakHandler
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.photo.scan import aligned_faces
from photoveil.transforms.records import AlignedFace, Failure, ScannedPhoto


class CloakFaces(beam.PTransform):
    """From `ScannedPhoto`, keyed by photo, to the cloaks of their faces.

    A face that makes the optimiser raise has a `Failure` for its `Perturbation`. Faces that start
    from earlier cloaks of the person are a stream of their own, as `CloakHandler` asks for.

    Args:
        cache: folder, in the private state, of finished cloaks.
        hints: Beam's resource hints for the workers that run the optimiser.
        progress: file for `tick`; None where no one watches.

    Returns:
        Two collections: pairs of a photo's key and (index of the face, `Perturbation`); and rows of
        `warm_starts.CHANGES`, of the faces that had no start.
    """

    def __init__(
        self, parameters: CloakParameters, cache: str, hints: dict[str, str], progress: str | None
    ) -> None:
        super().__init__()
        self._parameters, self._cache = parameters, cache
        self._hints, self._progress = hints, progress

    def expand(self, photos: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        handler: ErrorIsolatingHandler[Any, Any] = ErrorIsolatingHandler(
            CachingHandler(CloakHandler(self._parameters), self._cache), "cloaking"
        )
        streams = (
            photos
            | "Faces" >> beam.FlatMapTuple(keyed_faces)
            | "Spread faces" >> beam.Reshuffle()  # a photo may have one or fifty
            | "Has a start" >> beam.Partition(lambda item, _: int(item[1].has_start), 2)
        )
        finished = [
            faces
            | name >> RunInference(KeyedModelHandler(handler)).with_resource_hints(**self._hints)
            for name, faces in zip(("Cloak", "Cloak from start"), streams, strict=True)
        ]
        cloaks = (
            finished
            | "All cloaks" >> beam.Flatten()
            | "Cloaked" >> beam.Map(tick, "face", self._progress)
            | "Change" >> beam.MapTuple(with_index)
        )
        return cloaks, finished[0] | "To keep" >> beam.FlatMap(rows_to_keep)


def keyed_faces(key: str, photo: ScannedPhoto) -> list[tuple[str, AlignedFace]]:
    """Take a photo apart into its faces, each with the photo's key."""
    return [(key, face) for face in aligned_faces(photo)]


def with_index(key: str, done: PredictionResult) -> tuple[str, tuple[int, Any]]:
    """Name a cloak, or the failure to make it, by the photo's key and the index of the face."""
    return key, (done.example.index, done.inference)


def rows_to_keep(item: tuple[str, PredictionResult]) -> Iterator[dict[str, Any]]:
    """Make the row of a cloak for the person's warm start; none of a failure."""
    _, done = item
    if not isinstance(done.inference, Failure):
        yield warm_starts.to_row(done.example, done.inference)
