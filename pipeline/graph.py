"""Both Beam pipelines, on one page.

    scan:   references -> read and hash -> find faces -> align          -> scans (private state)
    cloak:  plan -> faces -> batched optimiser -> group by photo -> publish -> measure -> manifest

Only references, crops of 112 pixels and changes of that size cross a shuffle. Pixels of a whole
photo live within one fused step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import apache_beam as beam
from apache_beam.io.parquetio import WriteToParquet
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from pipeline import manifest, scans
from pipeline.manifest import RunStamp, manifest_row
from pipeline.progress import tick
from pipeline.settings import Settings
from transforms.cloak.handler import CloakHandler
from transforms.cloak.measure import MeasureHandler
from transforms.discover import PhotoRef
from transforms.faces.handler import FaceDetectorHandler
from transforms.fingerprint import read_photo
from transforms.publish import Destination, Planned, publish
from transforms.scan import aligned_faces, scanned, unreadable


@dataclass(frozen=True)
class Wave:
    """Where one wave reads and writes.

    scans: path prefix, in the private state, of the scan's results.
    manifest: path prefix of the wave's manifest part.
    progress: file for `tick`; None where no one watches.
    """

    destination: Destination
    scans: str
    manifest: str
    stamp: RunStamp
    progress: str | None


def scan(pipeline: beam.Pipeline, refs: list[PhotoRef], settings: Settings, wave: Wave) -> None:
    """From references to scans: what each file is, and the faces in it."""
    read = (
        pipeline
        | "References" >> beam.Create(refs)
        | "Read" >> beam.Map(read_photo, settings.limits)
    )
    unusable = read | beam.Filter(lambda photo: photo.status) | beam.Map(unreadable)
    usable = (
        read
        | "Readable" >> beam.Filter(lambda photo: not photo.status)
        | "Detect" >> RunInference(FaceDetectorHandler(settings.detector))
        | "Align" >> beam.Map(lambda found: scanned(found.example, found.inference))
    )
    _ = (
        (usable, unusable)
        | beam.Flatten()
        | "Scanned" >> beam.Map(tick, "scanned", wave.progress)
        | beam.Map(scans.to_row)
        | WriteToParquet(wave.scans, scans.SCHEMA, file_name_suffix=".parquet", num_shards=1)
    )


def cloak(pipeline: beam.Pipeline, plan: list[Planned], settings: Settings, wave: Wave) -> None:
    """From a plan to written photos and their manifest rows."""
    planned = (
        pipeline
        | "Plan" >> beam.Create(plan)
        | "By photo" >> beam.WithKeys(lambda item: item.photo.ref.key)
    )
    cloaks = (
        planned
        | "Faces" >> beam.FlatMapTuple(_faces_to_cloak)
        | "Cloak" >> RunInference(KeyedModelHandler(CloakHandler(settings.cloak)))
        | "Cloaked" >> beam.Map(tick, "face", wave.progress)
        | beam.MapTuple(lambda key, done: (key, (done.example.index, done.inference)))
    )
    _ = (
        {"planned": planned | beam.MapValues(_without_crops), "cloaks": cloaks}
        | "Gather" >> beam.CoGroupByKey()
        | "Publish" >> beam.FlatMapTuple(_publish, wave.destination)
        | "Published" >> beam.Map(lambda photo: tick(photo, photo.status, wave.progress))
        | "Measure"
        >> RunInference(MeasureHandler(settings.cloak.surrogates, settings.cloak.batch_size))
        | "Row" >> beam.Map(lambda done: manifest_row(done.example, done.inference, wave.stamp))
        | WriteToParquet(wave.manifest, manifest.SCHEMA, file_name_suffix=".parquet", num_shards=1)
    )


def _faces_to_cloak(key, planned):
    if planned.photo.status is None and planned.made_from is None:
        yield from ((key, face) for face in aligned_faces(planned.photo))


def _without_crops(planned: Planned) -> Planned:
    photo = replace(planned.photo, crops=planned.photo.crops[:0])
    return replace(planned, photo=photo)


def _publish(_key, grouped, destination):
    (planned,) = grouped["planned"]
    return publish(planned, dict(grouped["cloaks"]), destination)
