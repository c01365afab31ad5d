"""Write each photo with the cloaks of its faces, several photos at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import apache_beam as beam

from photoveil.transforms.beam.progress import tick
from photoveil.transforms.beam.thread_map import ThreadMap
from photoveil.transforms.photo.parameters import WriteParameters
from photoveil.transforms.photo.scan import failed
from photoveil.transforms.photo.write import publish
from photoveil.transforms.records import Destination, Failure, ScannedPhoto, WrittenPhoto

_PIXELS = 50_000_000  # of photos written at once: 2 GB, where the cores suffice for them


class PublishPhotos(beam.PTransform):
    """From keyed `ScannedPhoto` and the cloaks of their faces to `WrittenPhoto`.

    Takes two collections: photos by their keys, and cloaks as `CloakFaces` gives them.

    Args:
        progress: file for `tick`; None where no one watches.
    """

    def __init__(
        self, parameters: WriteParameters, destination: Destination, progress: str | None
    ) -> None:
        super().__init__()
        self._write = partial(publish_with_cloaks, parameters, destination)
        self._progress = progress

    def expand(self, inputs: tuple[beam.PCollection, beam.PCollection]) -> beam.PCollection:
        photos, cloaks = inputs
        return (
            {"photo": photos | "Strip" >> beam.MapTuple(without_crops), "cloaks": cloaks}
            | "Gather" >> beam.CoGroupByKey()
            | "Publish" >> beam.ParDo(ThreadMap("publish", self._write, pixels_of, _PIXELS))
            | "Published" >> beam.Map(tick, "published", self._progress)
        )


def without_crops(key: str, photo: ScannedPhoto) -> tuple[str, ScannedPhoto]:
    """Leave out what the optimiser alone needs of a photo, so that it crosses no shuffle."""
    return key, replace(photo, crops=photo.crops[:0], embeddings=photo.embeddings[:0], known=())


def pixels_of(item: tuple[str, Mapping[str, Any]]) -> float:
    """Weigh a photo by its pixels."""
    (photo,) = item[1]["photo"]
    return photo.width * photo.height


def publish_with_cloaks(
    parameters: WriteParameters, destination: Destination, item: tuple[str, Mapping[str, Any]]
) -> WrittenPhoto:
    """Write a photo, unless the cloak of one of its faces failed: then the photo failed.

    Args:
        item: key of the photo, and what `CoGroupByKey` gathered for it.
    """
    _, grouped = item
    (photo,) = grouped["photo"]
    cloaks = dict(grouped["cloaks"])
    for cloak in cloaks.values():
        if isinstance(cloak, Failure):
            photo = failed(photo, cloak)
    return publish(photo, cloaks, destination, parameters)
