"""Find the faces in photos, cut them out and compute who is who."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, PredictionResult, RunInference

from photoveil.transforms.beam.isolate_errors import ErrorIsolatingHandler
from photoveil.transforms.beam.progress import tick
from photoveil.transforms.beam.stage_metrics import timed
from photoveil.transforms.embedding.handler import EmbedHandler
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.failures import failure
from photoveil.transforms.photo.find_faces import FaceDetectorHandler
from photoveil.transforms.photo.scan import failed, scanned, unreadable
from photoveil.transforms.records import ContentGroup, Failure, ScannedPhoto


class FindFaces(beam.PTransform):
    """From pairs of a `ContentGroup` and its decoded `ReadPhoto` to `ScannedPhoto`.

    A photo that makes a step raise has the status FAILED and the reason.

    Args:
        progress: file for `tick`; None where no one watches.
    """

    def __init__(self, parameters: DetectorParameters, progress: str | None) -> None:
        super().__init__()
        self._parameters, self._progress = parameters, progress

    def expand(self, photos: beam.PCollection) -> beam.PCollection:
        detector: ErrorIsolatingHandler[Any, Any] = ErrorIsolatingHandler(
            FaceDetectorHandler(self._parameters), "finding faces"
        )
        return (
            photos
            | "Detect" >> RunInference(KeyedModelHandler(detector))
            | "Align" >> beam.Map(align, self._parameters.min_face)
            | "Looked at" >> beam.Map(count_scanned, self._progress)
            | "Embed" >> RunInference(ErrorIsolatingHandler(EmbedHandler(), "embedding faces"))
            | "Who" >> beam.Map(with_embeddings)
        )


def align(item: tuple[ContentGroup, PredictionResult], min_face: float) -> ScannedPhoto:
    """Cut the detected faces out of a photo.

    Args:
        item: a group, and the `FoundFaces` or the `Failure` of its photo.
        min_face: least size in pixels of a face that is worth cloaking.
    """
    group, done = item
    photo, found = done.example, done.inference
    if not isinstance(found, Failure):
        try:
            with timed("align"):
                return scanned(photo, found.faces, min_face, group.copies, found.inside)
        except Exception as error:
            found = failure("aligning faces", error, group.ref.source)
    return failed(unreadable(photo, group.copies), found)


def count_scanned(photo: ScannedPhoto, progress: str | None) -> ScannedPhoto:
    """Count a photo, its exact duplicates and its faces; pass it on."""
    tick(photo, "found", progress, len(photo.faces))
    return tick(photo, "scanned", progress, 1 + len(photo.copies))


def with_embeddings(done: PredictionResult) -> ScannedPhoto:
    """Put the embeddings of the faces into the photo, or the failure to compute them."""
    if isinstance(done.inference, Failure):
        return failed(done.example, done.inference)
    return replace(done.example, embeddings=done.inference)
