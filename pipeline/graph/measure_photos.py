"""Measure what each written file gives away of its faces, and make the photo's manifest row."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import PredictionResult, RunInference

from photoveil.pipeline.library.manifest import RunStamp, manifest_row
from photoveil.transforms.beam.isolate_errors import ErrorIsolatingHandler
from photoveil.transforms.cloak.measure import MeasureHandler
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.photo.write import retract
from photoveil.transforms.records import Destination, Failure, PhotoRef

Row = dict[str, Any]


class MeasurePhotos(beam.PTransform):
    """From `WrittenPhoto` to the triples of `finish`. A file that cannot be measured is deleted."""

    def __init__(
        self, parameters: CloakParameters, destination: Destination, stamp: RunStamp
    ) -> None:
        super().__init__()
        self._parameters, self._destination, self._stamp = parameters, destination, stamp

    def expand(self, photos: beam.PCollection) -> beam.PCollection:
        handler = MeasureHandler(self._parameters.recognisers, self._parameters.batch_size)
        return (
            photos
            | "Measure" >> RunInference(ErrorIsolatingHandler(handler, "measuring"))
            | "Done" >> beam.Map(finish, self._destination, self._stamp)
        )


def finish(
    measured: PredictionResult, destination: Destination, stamp: RunStamp
) -> tuple[Row, PhotoRef | None, tuple[PhotoRef, ...]]:
    """Make the row of a photo.

    Returns:
        The row; the photo where it has an output, else None; and its exact duplicates. The path of
        the output alone would not do: Beam writes text as UTF-8, which names of files need not be.
    """
    photo, figures = measured.example, measured.inference
    if isinstance(figures, Failure):
        photo, figures = retract(photo, figures, destination), ()
    twin = None if photo.output is None else photo.ref
    return manifest_row(photo, figures, stamp), twin, photo.scan.copies
