"""Find the pairs of near duplicates among photos by their hashes, and verify each by its pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import apache_beam as beam

from photoveil.transforms.beam.stage_metrics import bucket, timed
from photoveil.transforms.duplicates.perceptual_hash import (
    NearDuplicateParameters,
    Thumbnail,
    bands,
    candidate_pairs,
    show_the_same,
    thumbnail,
)
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.photo.read import read_photo
from photoveil.transforms.records import HashedPhoto, NearDuplicatePair, PhotoRef

_THUMBNAILS = 4096  # that a process remembers: 16 MB


class FindNearDuplicates(beam.PTransform):
    """From `HashedPhoto` to `NearDuplicatePair`.

    Photos are grouped by each band of their hash, compared within these buckets, and those with
    like hashes are read and compared by their thumbnails.
    """

    def __init__(self, parameters: NearDuplicateParameters, limits: ReadLimits) -> None:
        super().__init__()
        self._parameters, self._limits = parameters, limits

    def expand(self, photos: beam.PCollection) -> beam.PCollection:
        return (
            photos
            | "Bands" >> beam.FlatMap(by_band)
            | "Buckets" >> beam.GroupByKey()
            | "Compare" >> beam.FlatMap(compare, self._parameters.max_distance)
            | "Spread" >> beam.Reshuffle()  # a bucket may give many pairs
            | "Look" >> beam.ParDo(VerifyPair(self._parameters.max_difference, self._limits))
        )


def by_band(photo: HashedPhoto) -> list[tuple[bytes, HashedPhoto]]:
    """Key a photo by each band of its hash."""
    return [(band, photo) for band in bands(photo.pdq)]


def compare(item: tuple[bytes, Iterable[HashedPhoto]], most: int) -> list[NearDuplicatePair]:
    """Find the pairs of a bucket whose hashes differ in at most `most` bits."""
    band, found = item
    photos = list(found)
    bucket(len(photos))
    with timed("compare"):
        return list(candidate_pairs(band, photos, most))


class VerifyPair(beam.DoFn):
    """Keep the pairs whose photos show the same; read a photo of many pairs once, in many waves.

    Args:
        most: levels that any cell of a thumbnail may differ in brightness.
    """

    def __init__(self, most: float, limits: ReadLimits) -> None:
        self._most, self._limits = most, limits

    def process(self, pair: NearDuplicatePair) -> Iterator[NearDuplicatePair]:
        with timed("compare"):
            one, other = (
                _thumbnail(photo.path, photo.pdq, self._limits) for photo in (pair.one, pair.other)
            )
        if one is not None and other is not None and show_the_same(one, other, self._most):
            yield pair


@lru_cache(_THUMBNAILS)
def _thumbnail(path: str, pdq: bytes, limits: ReadLimits) -> Thumbnail | None:
    """Read a thumbnail. A photo that changes gets another `pdq`, and is read again."""
    pixels = read_photo(PhotoRef("", path, 0, 0.0), limits).pixels
    return None if pixels is None else thumbnail(pixels)
