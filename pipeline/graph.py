"""The Beam pipelines, on one page.

    scan:   references -> read -> find faces -> align -> embed -> scans
    alike:  hashes -> bands -> buckets -> compare -> look -> pairs of near duplicates
    cloak:  scans -> faces -> batched optimiser, longer for people met first -> group by photo
            -> publish -> measure -> manifest
                                  -> exact duplicates -> place -> manifest

Only references, crops of 112 pixels and changes of that size cross a shuffle. Pixels of a whole
photo live within one fused step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, PredictionResult, RunInference

from pipeline import cloak_memory, likes, manifest, scans
from pipeline.handover import HandOver
from pipeline.manifest import RunStamp, copy_row, manifest_row
from pipeline.meters import bucket, tick, timed
from pipeline.settings import Settings
from pipeline.side_by_side import SideBySide
from pipeline.table_sink import WriteTable
from transforms.apart import ReadLimits
from transforms.cloak.handler import CloakHandler
from transforms.cloak.measure import MeasureHandler
from transforms.cloak.remember import Remembered
from transforms.discover import PhotoRef
from transforms.duplicates import ContentGroup, Placing
from transforms.faces.embed import EmbedHandler
from transforms.faces.handler import FaceDetectorHandler
from transforms.fingerprint import ReadPhoto, read_photo
from transforms.guarded import Failure, failure
from transforms.guarded_handler import Guarded
from transforms.near_duplicates import (
    Glance,
    Hashed,
    Pair,
    bands,
    candidate_pairs,
    glance,
    look_alike,
)
from transforms.publish import Destination, Written, place, publish, retract
from transforms.scan import ScannedPhoto, aligned_faces, failed, scanned, unreadable

Row = dict[str, Any]

_AHEAD = 2  # photos: one is looked at, the next is read
_PIXELS = 50_000_000  # of photos written at once: 2 GB, where the cores suffice for them
_GLANCES = 4096  # photos whose looks a worker remembers: 16 MB


@dataclass(frozen=True)
class Wave:
    """Where one wave reads and writes.

    destination: of the photos.
    handed: folder, in the private state, of what the pipelines are given to do.
    scans: folder, in the private state, of the scan's results.
    pairs: likewise, of the near duplicates that were found.
    cloaks: folder, in the private state, of finished cloaks.
    changes: folder, likewise, of the cloaks of people met first.
    manifest: folder of the wave's rows of the manifest, before they are part of it.
    progress: file for `tick`; None where no one watches.
    """

    destination: Destination
    handed: str
    scans: str
    pairs: str
    cloaks: str
    changes: str
    manifest: str
    stamp: RunStamp
    progress: str | None


def scan(
    pipeline: beam.Pipeline, groups: list[ContentGroup], settings: Settings, wave: Wave
) -> None:
    """From references to scans: what each file is, and the faces in it."""
    photos = (
        pipeline
        | "References" >> HandOver(groups, f"{wave.handed}/scan")
        | "Read" >> beam.ParDo(SideBySide("read", partial(_read, settings.limits), _one, _AHEAD))
    )
    damaged = photos | "Damaged" >> beam.Filter(lambda item: item[1].status)
    detector: Guarded = Guarded(FaceDetectorHandler(settings.detector), "finding faces")
    found = (
        photos
        | "Sound" >> beam.Filter(lambda item: not item[1].status)
        | "Detect" >> RunInference(KeyedModelHandler(detector))
        | "Align" >> beam.Map(_align, settings.detector.min_face)
        | "Looked at" >> beam.Map(_looked_at, wave.progress)
        | "Embed" >> RunInference(Guarded(EmbedHandler(), "embedding faces"))
        | "Who" >> beam.Map(_embedded)
    )
    lost = (
        damaged
        | "Unreadable" >> beam.MapTuple(lambda group, p: unreadable(p, group.copies))
        | "Not looked at" >> beam.Map(_looked_at, wave.progress)
    )
    _ = (
        (lost, found)
        | beam.Flatten()
        | "Scan row" >> beam.Map(scans.to_row)
        | "Write scans" >> WriteTable(wave.scans, scans.SCHEMA)
    )


def alike(pipeline: beam.Pipeline, photos: list[Hashed], settings: Settings, wave: Wave) -> None:
    """From hashes to the pairs of near duplicates."""
    parameters = settings.near_duplicates
    _ = (
        pipeline
        | "Hashes" >> HandOver(photos, f"{wave.handed}/alike")
        | "Bands" >> beam.FlatMap(lambda photo: [(band, photo) for band in bands(photo.pdq)])
        | "Buckets" >> beam.GroupByKey()
        | "Compare" >> beam.FlatMap(_compare, parameters.max_distance)
        | "Spread" >> beam.Reshuffle()  # a bucket may give many pairs
        | "Look" >> beam.ParDo(_Look(settings))
        | "Pair" >> beam.Map(likes.to_row)
        | "Write pairs" >> WriteTable(wave.pairs, likes.PAIRS)
    )


def cloak(
    pipeline: beam.Pipeline, photos: list[ScannedPhoto], settings: Settings, wave: Wave
) -> None:
    """From scans to written photos and their manifest rows."""
    by_photo = (
        pipeline
        | "Scans" >> HandOver(photos, f"{wave.handed}/cloak")
        | "By photo" >> beam.WithKeys(lambda photo: photo.ref.key)
    )
    handler: Guarded = Guarded(Remembered(CloakHandler(settings.cloak), wave.cloaks), "cloaking")
    groups = (
        by_photo
        | "Faces" >> beam.FlatMapTuple(lambda key, p: [(key, face) for face in aligned_faces(p)])
        | "Spread faces" >> beam.Reshuffle()  # a photo may have one or fifty
        | "Has a start" >> beam.Partition(lambda item, _: int(item[1].has_start), 2)
    )
    finished = [
        faces
        | name >> RunInference(KeyedModelHandler(handler)).with_resource_hints(**_hints(settings))
        for name, faces in zip(("Cloak", "Cloak from start"), groups, strict=True)
    ]
    cloaks = (
        finished
        | "All cloaks" >> beam.Flatten()
        | "Cloaked" >> beam.Map(tick, "face", wave.progress)
        | "Change" >> beam.MapTuple(lambda key, done: (key, (done.example.index, done.inference)))
    )
    _ = (
        finished[0]
        | "To keep" >> beam.FlatMap(_to_keep)
        | "Keep" >> WriteTable(wave.changes, cloak_memory.CHANGES)
    )
    photo = by_photo | "Strip" >> beam.MapTuple(_without_crops)
    done = (
        {"photo": photo, "cloaks": cloaks}
        | "Gather" >> beam.CoGroupByKey()
        | "Publish"
        >> beam.ParDo(
            SideBySide("publish", partial(_publish, settings, wave.destination), _pixels, _PIXELS)
        )
        | "Published" >> beam.Map(tick, "published", wave.progress)
        | "Measure"
        >> RunInference(
            Guarded(
                MeasureHandler(settings.cloak.recognisers, settings.cloak.batch_size), "measuring"
            )
        )
        | "Done" >> beam.Map(_done, wave.destination, wave.stamp)
    )
    placed = (
        done
        | "Copies" >> beam.FlatMapTuple(lambda row, twin, refs: [(ref, twin, row) for ref in refs])
        | "Spread copies" >> beam.Reshuffle()  # a photo may have one or ten thousand
        | "Place" >> beam.MapTuple(partial(_place, wave.destination, settings.run.duplicates))
        | "Placed" >> beam.Map(tick, "published", wave.progress)
    )
    _ = (
        (done | "Row" >> beam.MapTuple(lambda row, twin, refs: row), placed)
        | "All rows" >> beam.Flatten()
        | "Write rows" >> WriteTable(wave.manifest, manifest.SCHEMA)
    )


def _hints(settings: Settings) -> dict[str, str]:
    accelerator = settings.run.accelerator
    return {"accelerator": accelerator} if accelerator else {}


def _read(limits: ReadLimits, group: ContentGroup) -> tuple[ContentGroup, ReadPhoto]:
    return group, read_photo(group.ref, limits, look_inside=True)


def _one(group: ContentGroup) -> float:
    return 1  # how many pixels a file has is not known before it is read


def _align(item: tuple[ContentGroup, PredictionResult], min_face: float) -> ScannedPhoto:
    group, done = item
    photo, found = done.example, done.inference
    if not isinstance(found, Failure):
        try:
            with timed("align"):
                return scanned(photo, found.faces, min_face, group.copies, found.inside)
        except Exception as error:
            found = failure("aligning faces", error, group.ref.source)
    return failed(unreadable(photo, group.copies), found)


def _looked_at(photo: ScannedPhoto, progress: str | None) -> ScannedPhoto:
    tick(photo, "found", progress, len(photo.faces))
    return tick(photo, "scanned", progress, 1 + len(photo.copies))


def _embedded(done: PredictionResult) -> ScannedPhoto:
    if isinstance(done.inference, Failure):
        return failed(done.example, done.inference)
    return replace(done.example, embeddings=done.inference)


def _compare(item: tuple[bytes, Iterable[Hashed]], most: int) -> list[Pair]:
    band, found = item
    photos = list(found)
    bucket(len(photos))
    with timed("compare"):
        return list(candidate_pairs(band, photos, most))


class _Look(beam.DoFn):
    """Keeps the pairs whose photos show the same; reads a photo of many pairs once."""

    def __init__(self, settings: Settings) -> None:
        self._limits = settings.limits
        self._most = settings.near_duplicates.max_difference

    def setup(self) -> None:
        self._glance = lru_cache(_GLANCES)(self._read)

    def process(self, pair: Pair) -> Iterator[Pair]:
        with timed("compare"):
            one, other = (self._glance(photo.path) for photo in (pair.one, pair.other))
        if one is not None and other is not None and look_alike(one, other, self._most):
            yield pair

    def _read(self, path: str) -> Glance | None:
        pixels = read_photo(PhotoRef("", path, 0, 0.0), self._limits).pixels
        return None if pixels is None else glance(pixels)


def _to_keep(item: tuple[str, PredictionResult]) -> Iterator[dict[str, Any]]:
    _, done = item
    if not isinstance(done.inference, Failure):
        yield cloak_memory.to_row(done.example, done.inference)


def _without_crops(key, photo):
    return key, replace(photo, crops=photo.crops[:0], embeddings=photo.embeddings[:0], known=())


def _pixels(item: tuple[str, Mapping[str, Any]]) -> float:
    (photo,) = item[1]["photo"]
    return photo.width * photo.height


def _publish(
    settings: Settings, destination: Destination, item: tuple[str, Mapping[str, Any]]
) -> Written:
    _, grouped = item
    (photo,) = grouped["photo"]
    cloaks = dict(grouped["cloaks"])
    for cloak in cloaks.values():
        if isinstance(cloak, Failure):
            photo = failed(photo, cloak)
    budget = settings.cloak.budget
    return publish(photo, cloaks, destination, budget, settings.metadata, settings.limits)


def _done(
    measured: PredictionResult, destination: Destination, stamp: RunStamp
) -> tuple[Row, PhotoRef | None, tuple[PhotoRef, ...]]:
    """The row of a photo, the photo where it has an output, and its exact duplicates.

    A path alone would not do: Beam writes text as UTF-8, which names of files need not be.
    """
    photo, figures = measured.example, measured.inference
    if isinstance(figures, Failure):
        photo, figures = retract(photo, figures, destination), ()
    twin = None if photo.output is None else photo.ref
    return manifest_row(photo, figures, stamp), twin, photo.scan.copies


def _place(
    destination: Destination, how: Placing, ref: PhotoRef, twin: PhotoRef | None, row: Row
) -> Row:
    output = None if twin is None else twin.output
    with timed("publish"):
        return copy_row(row, place(ref, output, row["output_sha256"], destination, how))
