"""The Beam pipelines, on one page. Each step with a name of its own is a file beside this one.

    scan:   references -> read -> find faces -> align -> embed -> scans
    alike:  hashes -> bands -> buckets -> compare -> look -> pairs of near duplicates
    cloak:  scans -> faces -> prototypes of people met first -> batched optimiser, longer for them
            -> group by photo -> publish -> measure -> manifest
                                                    -> exact duplicates -> place -> manifest

Only references, crops of 112 pixels and changes of that size cross a shuffle. Pixels of a whole
photo live within one fused step.
"""

from __future__ import annotations

import apache_beam as beam

from photoveil.pipeline.graph.cloak_faces import CloakFaces
from photoveil.pipeline.graph.find_faces import FindFaces, count_scanned
from photoveil.pipeline.graph.find_near_duplicates import FindNearDuplicates
from photoveil.pipeline.graph.measure_photos import MeasurePhotos
from photoveil.pipeline.graph.pair_table import PAIRS, pair_to_row
from photoveil.pipeline.graph.paths import WavePaths
from photoveil.pipeline.graph.place_copies import PlaceCopies
from photoveil.pipeline.graph.publish_photos import PublishPhotos
from photoveil.pipeline.graph.read_photos import ReadPhotos, is_sound
from photoveil.pipeline.library import manifest
from photoveil.pipeline.settings import Settings
from photoveil.pipeline.state import prototypes, scan_table, scans, warm_starts
from photoveil.transforms.beam.create_from_files import CreateFromFiles
from photoveil.transforms.beam.write_parquet import WriteParquet
from photoveil.transforms.photo.parameters import WriteParameters
from photoveil.transforms.photo.scan import unreadable
from photoveil.transforms.records import ContentGroup, HashedPhoto, ScannedPhoto


def scan(
    pipeline: beam.Pipeline, groups: list[ContentGroup], settings: Settings, wave: WavePaths
) -> None:
    """From references to scans: what each file is, and the faces in it."""
    photos = (
        pipeline
        | "References" >> CreateFromFiles(groups, f"{wave.handed}/scan")
        | "Read photos" >> ReadPhotos(settings.limits)
    )
    lost = (
        photos
        | "Damaged" >> beam.Filter(lambda item: not is_sound(item))
        | "Unreadable" >> beam.MapTuple(lambda group, photo: unreadable(photo, group.copies))
        | "Not looked at" >> beam.Map(count_scanned, wave.progress)
    )
    found = (
        photos
        | "Sound" >> beam.Filter(is_sound)
        | "Find faces" >> FindFaces(settings.detector, wave.progress)
    )
    _ = (
        (lost, found)
        | beam.Flatten()
        | "Scan row" >> beam.Map(scans.to_row)
        | "Write scans" >> WriteParquet(wave.scans, scan_table.SCHEMA)
    )


def find_near_duplicates(
    pipeline: beam.Pipeline, photos: list[HashedPhoto], settings: Settings, wave: WavePaths
) -> None:
    """From hashes to the pairs of near duplicates."""
    _ = (
        pipeline
        | "Hashes" >> CreateFromFiles(photos, f"{wave.handed}/alike")
        | "Find near duplicates" >> FindNearDuplicates(settings.near_duplicates, settings.limits)
        | "Pair" >> beam.Map(pair_to_row)
        | "Write pairs" >> WriteParquet(wave.pairs, PAIRS)
    )


def cloak(
    pipeline: beam.Pipeline, photos: list[ScannedPhoto], settings: Settings, wave: WavePaths
) -> None:
    """From scans to written photos and their manifest rows."""
    accelerator = settings.run.accelerator
    hints = {"accelerator": accelerator} if accelerator else {}
    writing = WriteParameters(settings.cloak.budget, settings.metadata, settings.limits)
    by_photo = (
        pipeline
        | "Scans" >> CreateFromFiles(photos, f"{wave.handed}/cloak")
        | "By photo" >> beam.WithKeys(lambda photo: photo.ref.key)
    )
    cloaks, changes, means = by_photo | "Cloak faces" >> CloakFaces(
        settings.cloak, wave.cloaks, hints, wave.progress
    )
    _ = changes | "Keep" >> WriteParquet(wave.changes, warm_starts.CHANGES)
    _ = means | "Keep prototypes" >> WriteParquet(wave.prototypes, prototypes.PROTOTYPES)
    done = (
        (by_photo, cloaks)
        | "Publish photos" >> PublishPhotos(writing, wave.destination, wave.progress)
        | "Measure photos" >> MeasurePhotos(settings.cloak, wave.destination, wave.stamp)
    )
    rows = done | "Row" >> beam.MapTuple(lambda row, twin, copies: row)
    placed = done | "Place copies" >> PlaceCopies(
        wave.destination, settings.run.duplicates, wave.progress
    )
    _ = (
        (rows, placed)
        | "All rows" >> beam.Flatten()
        | "Write rows" >> WriteParquet(wave.manifest, manifest.SCHEMA)
    )
