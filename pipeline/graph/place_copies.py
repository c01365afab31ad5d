"""Give the exact duplicates of each photo its output, wherever they lie."""

from __future__ import annotations

from functools import partial
from typing import Any

import apache_beam as beam

from photoveil.pipeline.library.manifest import copy_row
from photoveil.transforms.beam.progress import tick
from photoveil.transforms.beam.stage_metrics import timed
from photoveil.transforms.duplicates.exact import Placing
from photoveil.transforms.photo.write import place
from photoveil.transforms.records import Destination, PhotoRef

Row = dict[str, Any]


class PlaceCopies(beam.PTransform):
    """From the triples of `MeasurePhotos` to the manifest rows of the exact duplicates.

    Args:
        how: a duplicate gets the output of its twin.
        progress: file for `tick`; None where no one watches.
    """

    def __init__(self, destination: Destination, how: Placing, progress: str | None) -> None:
        super().__init__()
        self._place = partial(place_copy, destination, how)
        self._progress = progress

    def expand(self, photos: beam.PCollection) -> beam.PCollection:
        return (
            photos
            | "Copies" >> beam.FlatMapTuple(each_copy)
            | "Spread copies" >> beam.Reshuffle()  # a photo may have one or ten thousand
            | "Place" >> beam.MapTuple(self._place)
            | "Placed" >> beam.Map(tick, "published", self._progress)
        )


def each_copy(
    row: Row, twin: PhotoRef | None, copies: tuple[PhotoRef, ...]
) -> list[tuple[PhotoRef, PhotoRef | None, Row]]:
    """Pair each exact duplicate with its twin and the twin's row."""
    return [(copy, twin, row) for copy in copies]


def place_copy(
    destination: Destination, how: Placing, ref: PhotoRef, twin: PhotoRef | None, row: Row
) -> Row:
    """Place one duplicate and make its row.

    Args:
        twin: the photo that was cloaked; None where it has no output. row: of the twin.
    """
    output = None if twin is None else twin.output
    with timed("publish"):
        return copy_row(row, place(ref, output, row["output_sha256"], destination, how))
