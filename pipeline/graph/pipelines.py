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

from photoveil.pipeline.graph.pair_table import PAIRS, pair_to_row
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.manifest import RunStamp, copy_row, manifest_row
from photoveil.pipeline.settings import Settings
from photoveil.pipeline.state import scans, warm_starts
from photoveil.transforms.beam.cached_inference import CachingHandler
from photoveil.transforms.beam.create_from_files import CreateFromFiles
from photoveil.transforms.beam.isolate_errors import ErrorIsolatingHandler
from photoveil.transforms.beam.meters import bucket, tick, timed
from photoveil.transforms.beam.thread_map import ThreadMap
from photoveil.transforms.beam.write_parquet import WriteParquet
from photoveil.transforms.cloak.handler import CloakHandler
from photoveil.transforms.cloak.measure import MeasureHandler
from photoveil.transforms.duplicates.exact import Placing
from photoveil.transforms.duplicates.perceptual_hash import (
    Thumbnail,
    bands,
    candidate_pairs,
    show_the_same,
    thumbnail,
)
from photoveil.transforms.embedding.handler import EmbedHandler
from photoveil.transforms.failures import failure
from photoveil.transforms.photo.codec_process import ReadLimits
from photoveil.transforms.photo.find_faces import FaceDetectorHandler
from photoveil.transforms.photo.read import read_photo
from photoveil.transforms.photo.scan import aligned_faces, failed, scanned, unreadable
from photoveil.transforms.photo.write import Destination, place, publish, retract
from photoveil.transforms.records import (
    ContentGroup,
    Failure,
    HashedPhoto,
    NearDuplicatePair,
    PhotoRef,
    ReadPhoto,
    ScannedPhoto,
    WrittenPhoto,
)

Row = dict[str, Any]

_AHEAD = 2  # photos: one is looked at, the next is read
_PIXELS = 50_000_000  # of photos written at once: 2 GB, where the cores suffice for them
_GLANCES = 4096  # photos whose looks a worker remembers: 16 MB


@dataclass(frozen=True)
class WavePaths:
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
    pipeline: beam.Pipeline, groups: list[ContentGroup], settings: Settings, wave: WavePaths
) -> None:
    """From references to scans: what each file is, and the faces in it."""
    photos = (
        pipeline
        | "References" >> CreateFromFiles(groups, f"{wave.handed}/scan")
        | "Read" >> beam.ParDo(ThreadMap("read", partial(_read, settings.limits), _one, _AHEAD))
    )
    damaged = photos | "Damaged" >> beam.Filter(lambda item: item[1].status)
    detector: ErrorIsolatingHandler = ErrorIsolatingHandler(
        FaceDetectorHandler(settings.detector), "finding faces"
    )
    found = (
        photos
        | "Sound" >> beam.Filter(lambda item: not item[1].status)
        | "Detect" >> RunInference(KeyedModelHandler(detector))
        | "Align" >> beam.Map(_align, settings.detector.min_face)
        | "Looked at" >> beam.Map(_looked_at, wave.progress)
        | "Embed" >> RunInference(ErrorIsolatingHandler(EmbedHandler(), "embedding faces"))
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
        | "Write scans" >> WriteParquet(wave.scans, scans.SCHEMA)
    )


def find_near_duplicates(
    pipeline: beam.Pipeline, photos: list[HashedPhoto], settings: Settings, wave: WavePaths
) -> None:
    """From hashes to the pairs of near duplicates."""
    parameters = settings.near_duplicates
    _ = (
        pipeline
        | "Hashes" >> CreateFromFiles(photos, f"{wave.handed}/alike")
        | "Bands" >> beam.FlatMap(lambda photo: [(band, photo) for band in bands(photo.pdq)])
        | "Buckets" >> beam.GroupByKey()
        | "Compare" >> beam.FlatMap(_compare, parameters.max_distance)
        | "Spread" >> beam.Reshuffle()  # a bucket may give many pairs
        | "Look" >> beam.ParDo(_Look(settings))
        | "Pair" >> beam.Map(pair_to_row)
        | "Write pairs" >> WriteParquet(wave.pairs, PAIRS)
    )


def cloak(
    pipeline: beam.Pipeline, photos: list[ScannedPhoto], settings: Settings, wave: WavePaths
) -> None:
    """From scans to written photos and their manifest rows."""
    by_photo = (
        pipeline
        | "Scans" >> CreateFromFiles(photos, f"{wave.handed}/cloak")
        | "By photo" >> beam.WithKeys(lambda photo: photo.ref.key)
    )
    handler: ErrorIsolatingHandler = ErrorIsolatingHandler(
        CachingHandler(CloakHandler(settings.cloak), wave.cloaks), "cloaking"
    )
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
        | "Keep" >> WriteParquet(wave.changes, warm_starts.CHANGES)
    )
    photo = by_photo | "Strip" >> beam.MapTuple(_without_crops)
    done = (
        {"photo": photo, "cloaks": cloaks}
        | "Gather" >> beam.CoGroupByKey()
        | "Publish"
        >> beam.ParDo(
            ThreadMap("publish", partial(_publish, settings, wave.destination), _pixels, _PIXELS)
        )
        | "Published" >> beam.Map(tick, "published", wave.progress)
        | "Measure"
        >> RunInference(
            ErrorIsolatingHandler(
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
        | "Write rows" >> WriteParquet(wave.manifest, manifest.SCHEMA)
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


def _compare(item: tuple[bytes, Iterable[HashedPhoto]], most: int) -> list[NearDuplicatePair]:
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

    def process(self, pair: NearDuplicatePair) -> Iterator[NearDuplicatePair]:
        with timed("compare"):
            one, other = (self._glance(photo.path) for photo in (pair.one, pair.other))
        if one is not None and other is not None and show_the_same(one, other, self._most):
            yield pair

    def _read(self, path: str) -> Thumbnail | None:
        pixels = read_photo(PhotoRef("", path, 0, 0.0), self._limits).pixels
        return None if pixels is None else thumbnail(pixels)


def _to_keep(item: tuple[str, PredictionResult]) -> Iterator[dict[str, Any]]:
    _, done = item
    if not isinstance(done.inference, Failure):
        yield warm_starts.to_row(done.example, done.inference)


def _without_crops(key, photo):
    return key, replace(photo, crops=photo.crops[:0], embeddings=photo.embeddings[:0], known=())


def _pixels(item: tuple[str, Mapping[str, Any]]) -> float:
    (photo,) = item[1]["photo"]
    return photo.width * photo.height


def _publish(
    settings: Settings, destination: Destination, item: tuple[str, Mapping[str, Any]]
) -> WrittenPhoto:
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
