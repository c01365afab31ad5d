"""Compute the cloak of each face, in batches of faces of many photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import KeyedModelHandler, PredictionResult, RunInference

from photoveil.pipeline.state import prototypes, warm_starts
from photoveil.transforms.beam.cached_inference import CachingHandler
from photoveil.transforms.beam.isolate_errors import ErrorIsolatingHandler
from photoveil.transforms.beam.progress import tick
from photoveil.transforms.cloak.handler import CloakHandler, PrototypeHandler
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.photo.scan import aligned_faces
from photoveil.transforms.records import AlignedFace, Failure, ScannedPhoto


class CloakFaces(beam.PTransform):
    """From `ScannedPhoto`, keyed by photo, to the cloaks of their faces.

    A face that makes the optimiser raise has a `Failure` for its `Perturbation`. Faces that start
    from earlier cloaks of the person are a stream of their own, as `CloakHandler` asks for. Faces
    that lack the prototype of their group wait for all of the group to be embedded.

    Args:
        cache: folder, in the private state, of finished cloaks.
        hints: Beam's resource hints for the workers that run the optimiser.
        progress: file for `tick`; None where no one watches.

    Returns:
        Three collections: pairs of a photo's key and (index of the face, `Perturbation`); rows of
        `warm_starts.CHANGES`, of the faces that had no start; and rows of
        `prototypes.PROTOTYPES`, of the groups.
    """

    def __init__(
        self, parameters: CloakParameters, cache: str, hints: dict[str, str], progress: str | None
    ) -> None:
        super().__init__()
        self._parameters, self._cache = parameters, cache
        self._hints, self._progress = hints, progress

    def expand(
        self, photos: beam.PCollection
    ) -> tuple[beam.PCollection, beam.PCollection, beam.PCollection]:
        optimiser: ErrorIsolatingHandler[Any, Any] = ErrorIsolatingHandler(
            CachingHandler(CloakHandler(self._parameters), self._cache, without_embedding),
            "cloaking",
        )
        embedder: ErrorIsolatingHandler[Any, Any] = ErrorIsolatingHandler(
            PrototypeHandler(self._parameters), "embedding faces"
        )
        ready, grouped = (
            photos
            | "Faces" >> beam.FlatMapTuple(keyed_faces)
            | "Spread faces" >> beam.Reshuffle()  # a photo may have one or fifty
            | "Has a group" >> beam.Partition(lambda item, _: int(group_of(item[1]) is not None), 2)
        )
        embedded = (
            grouped
            | "Embed"
            >> RunInference(KeyedModelHandler(embedder)).with_resource_hints(**self._hints)
            | "By group" >> beam.Map(by_group)
        )
        means = (
            embedded
            | "Embeddings" >> beam.FlatMapTuple(embedding_of)
            | "Groups" >> beam.GroupByKey()
            | "Mean" >> beam.MapTuple(prototype)
        )
        joined = (
            {"faces": embedded, "prototype": means}
            | "Join" >> beam.CoGroupByKey()
            | "Away from" >> beam.FlatMapTuple(with_prototype)
        )
        streams = (
            (ready, joined)
            | "All faces" >> beam.Flatten()
            | "Has a start" >> beam.Partition(lambda item, _: int(item[1].has_start), 2)
        )
        finished = [
            faces
            | name >> RunInference(KeyedModelHandler(optimiser)).with_resource_hints(**self._hints)
            for name, faces in zip(("Cloak", "Cloak from start"), streams, strict=True)
        ]
        cloaks = (
            finished
            | "All cloaks" >> beam.Flatten()
            | "Cloaked" >> beam.Map(tick, "face", self._progress)
            | "Change" >> beam.MapTuple(with_index)
        )
        changes = finished[0] | "To keep" >> beam.FlatMap(rows_to_keep)
        return cloaks, changes, means | "Prototype" >> beam.MapTuple(prototypes.to_row)


def without_embedding(face: AlignedFace) -> AlignedFace:
    """Leave out what follows from the crop: a run that was killed may know it, or not yet."""
    return replace(face, embedding=None)


def group_of(face: AlignedFace) -> str | None:
    """The name of the faces that the prototype of a face is to be the mean of, if it lacks one."""
    return None if face.known is None else face.known.group


def by_group(item: tuple[str, PredictionResult]) -> tuple[str | None, tuple[str, AlignedFace]]:
    """Key a keyed face by its group, with its embedding; without one if that failed."""
    key, done = item
    embedding = None if isinstance(done.inference, Failure) else done.inference
    return group_of(done.example), (key, replace(done.example, embedding=embedding))


def embedding_of(
    group: str, item: tuple[str, AlignedFace]
) -> Iterator[tuple[str, tuple[str, np.ndarray]]]:
    """Name an embedding by its group and by what it is of; nothing where there is none."""
    _, face = item
    if face.embedding is not None:
        yield group, (face.origin, face.embedding)


def prototype(group: str, members: Iterable[tuple[str, np.ndarray]]) -> tuple[str, np.ndarray]:
    """Average the embeddings of a group, the same to the last bit in whatever order they come.

    Args:
        members: origins of faces and their embeddings, float32 (D,). The same face may come from
            several photos and counts once.

    Returns:
        The group, and float16 (D,).
    """
    once = dict(members)
    total = np.sum([once[face] for face in sorted(once)], axis=0, dtype=np.float64)
    return group, np.asarray(total / len(once), np.float16)


def with_prototype(
    _: str, gathered: Mapping[str, Iterable[Any]]
) -> Iterator[tuple[str, AlignedFace]]:
    """Give the faces of a group its prototype."""
    found = next(iter(gathered["prototype"]), None)
    for key, face in gathered["faces"]:
        yield key, replace(face, known=replace(face.known, prototype=found, group=None))


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
