"""The Beam pipelines, on one page.

    scan:   references -> read -> find faces -> align -> embed -> scans
    alike:  hashes -> bands -> buckets -> compare -> look -> pairs of near duplicates
    cloak:  scans -> faces -> batched optimiser, longer for people met first -> group by photo
            -> publish -> measure -> manifest

Only references, crops of 112 pixels and changes of that size cross a shuffle. Pixels of a whole
photo live within one fused step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from pipeline import cloak_memory, likes, manifest, scans
from pipeline.manifest import RunStamp, manifest_rows
from pipeline.progress import tick
from pipeline.settings import Settings
from pipeline.table_sink import WriteTable
from transforms.cloak.handler import CloakHandler
from transforms.cloak.measure import MeasureHandler
from transforms.cloak.remember import Remembered
from transforms.discover import PhotoRef
from transforms.duplicates import ContentGroup
from transforms.faces.embed import EmbedHandler
from transforms.faces.handler import FaceDetectorHandler
from transforms.fingerprint import read_photo
from transforms.near_duplicates import Hashed, Pair, bands, candidate_pairs, look_alike
from transforms.publish import Destination, publish
from transforms.scan import ScannedPhoto, aligned_faces, scanned, unreadable


@dataclass(frozen=True)
class Wave:
    """Where one wave reads and writes.

    destination: of the photos.
    scans: folder, in the private state, of the scan's results.
    pairs: likewise, of the near duplicates that were found.
    cloaks: folder, in the private state, of finished cloaks.
    changes: folder, likewise, of the cloaks of people met first.
    manifest: folder of the wave's rows of the manifest, before they are part of it.
    progress: file for `tick`; None where no one watches.
    """

    destination: Destination
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
        | "References" >> beam.Create(groups)
        | "Read" >> beam.Map(lambda group: (group, read_photo(group.ref, settings.limits)))
    )
    damaged = photos | "Damaged" >> beam.Filter(lambda item: item[1].status)
    found, undetected = (
        photos
        | "Sound" >> beam.Filter(lambda item: not item[1].status)
        | "Detect"
        >> RunInference(
            KeyedModelHandler(FaceDetectorHandler(settings.detector))
        ).with_exception_handling()
    )
    min_face = settings.detector.min_face
    _ = (
        (
            damaged | "Unreadable" >> beam.MapTuple(lambda group, p: unreadable(p, group.copies)),
            undetected.failed_inferences | "Undetected" >> beam.FlatMap(_undetected),
            found
            | "Align"
            >> beam.MapTuple(
                lambda group, done: scanned(done.example, done.inference, min_face, group.copies)
            )
            | "Embed" >> RunInference(EmbedHandler())
            | "Who" >> beam.Map(lambda done: replace(done.example, embeddings=done.inference)),
        )
        | beam.Flatten()
        | "Found" >> beam.Map(lambda p: tick(p, "found", wave.progress, len(p.faces)))
        | "Scanned" >> beam.Map(lambda p: tick(p, "scanned", wave.progress, 1 + len(p.copies)))
        | "Scan row" >> beam.Map(scans.to_row)
        | "Write scans" >> WriteTable(wave.scans, scans.SCHEMA)
    )


def alike(pipeline: beam.Pipeline, photos: list[Hashed], settings: Settings, wave: Wave) -> None:
    """From hashes to the pairs of near duplicates."""
    parameters = settings.near_duplicates
    _ = (
        pipeline
        | "Hashes" >> beam.Create(photos)
        | "Bands" >> beam.FlatMap(lambda photo: [(band, photo) for band in bands(photo.pdq)])
        | "Buckets" >> beam.GroupByKey()
        | "Compare"
        >> beam.FlatMapTuple(lambda _, found: candidate_pairs(found, parameters.max_distance))
        | "Distinct" >> beam.Distinct()
        | "Look" >> beam.Filter(_look_alike, settings)
        | "Pair" >> beam.Map(likes.to_row)
        | "Write pairs" >> WriteTable(wave.pairs, likes.PAIRS)
    )


def cloak(
    pipeline: beam.Pipeline, photos: list[ScannedPhoto], settings: Settings, wave: Wave
) -> None:
    """From scans to written photos and their manifest rows."""
    by_photo = (
        pipeline
        | "Scans" >> beam.Create(photos)
        | "By photo" >> beam.WithKeys(lambda photo: photo.ref.key)
    )
    handler: Remembered = Remembered(CloakHandler(settings.cloak), wave.cloaks)
    groups = (
        by_photo
        | "Faces" >> beam.FlatMapTuple(lambda key, p: [(key, face) for face in aligned_faces(p)])
        | "Has a start" >> beam.Partition(lambda item, _: int(item[1].has_start), 2)
    )
    finished = [
        faces
        | name
        >> RunInference(KeyedModelHandler(handler))
        .with_exception_handling()
        .with_resource_hints(**_hints(settings))
        for name, faces in zip(("Cloak", "Cloak from start"), groups, strict=True)
    ]
    cloaked = [done for done, _ in finished] | "All cloaks" >> beam.Flatten()
    cloaks = (
        cloaked
        | "Cloaked" >> beam.Map(tick, "face", wave.progress)
        | "Change" >> beam.MapTuple(lambda key, done: (key, (done.example.index, done.inference)))
    )
    _ = (
        finished[0][0]
        | "To keep"
        >> beam.MapTuple(lambda _, done: cloak_memory.to_row(done.example, done.inference))
        | "Keep" >> WriteTable(wave.changes, cloak_memory.CHANGES)
    )
    errors = (
        [failed.failed_inferences for _, failed in finished]
        | "All failures" >> beam.Flatten()
        | "Uncloaked" >> beam.FlatMap(_uncloaked)
    )
    photo = by_photo | "Strip" >> beam.MapTuple(_without_crops)
    _ = (
        {"photo": photo, "cloaks": cloaks, "errors": errors}
        | "Gather" >> beam.CoGroupByKey()
        | "Publish"
        >> beam.MapTuple(
            partial(
                _publish,
                wave.destination,
                settings.run.duplicates,
                settings.cloak.budget,
                settings.metadata,
            )
        )
        | "Published" >> beam.Map(lambda p: tick(p, "published", wave.progress, 1 + len(p.copies)))
        | "Measure"
        >> RunInference(MeasureHandler(settings.cloak.recognisers, settings.cloak.batch_size))
        | "Rows"
        >> beam.FlatMap(lambda done: manifest_rows(done.example, done.inference, wave.stamp))
        | "Write rows" >> WriteTable(wave.manifest, manifest.SCHEMA)
    )


def _hints(settings: Settings) -> dict[str, str]:
    accelerator = settings.run.accelerator
    return {"accelerator": accelerator} if accelerator else {}


def _undetected(failure) -> list[ScannedPhoto]:
    batch, (_, error, _) = failure
    return [
        unreadable(
            replace(photo, status="failed", reason=f"face detection failed: {error!r}", retry=True),
            group.copies,
        )
        for group, photo in batch
    ]


def _look_alike(pair: Pair, settings: Settings) -> bool:
    one, other = (
        read_photo(PhotoRef("", photo.path, 0, 0.0), settings.limits).pixels
        for photo in (pair.one, pair.other)
    )
    if one is None or other is None:
        return False
    return look_alike(one, other, settings.near_duplicates.max_difference)


def _uncloaked(failure) -> list[tuple[str, str]]:
    batch, (_, error, _) = failure
    return [(key, f"cloaking failed: {error!r}") for key, _ in batch]


def _without_crops(key, photo):
    return key, replace(photo, crops=photo.crops[:0], embeddings=photo.embeddings[:0], known=())


def _publish(destination, how, budget, metadata, _key, grouped):
    (photo,) = grouped["photo"]
    for reason in grouped["errors"]:
        photo = replace(photo, status="failed", reason=reason, retry=True)
    return publish(photo, dict(grouped["cloaks"]), destination, how, budget, metadata)
