"""Near duplicates of a wave: found by hash in the wave and the library, looked at, mirrored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from photoveil.pipeline.graph.pair_table import PAIRS
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.settings import Settings
from photoveil.transforms.duplicates import perceptual_hash
from photoveil.transforms.duplicates.perceptual_hash import pdq
from photoveil.transforms.duplicates.shared_faces import canonical, with_faces_of
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.io import parquet, storage
from photoveil.transforms.photo.read import read_photo
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import (
    CanonicalPhoto,
    Face,
    HashedPhoto,
    PhotoRef,
    ScannedPhoto,
    Status,
)

# Finds the pairs among photos, as `graph.alike` does, and gives the folder that they are in.
Finder = Callable[[list[HashedPhoto]], str]


class NearDuplicateIndex:
    """Knows the hashes of a library, and finds what is like them."""

    def __init__(self, library: Library, settings: Settings) -> None:
        self._library, self._settings = library, settings
        self._rows = manifest.RowsBySource(library.manifest)
        table = manifest.read(library.manifest, ["source", "pdq", "gone"])
        # A photo that is gone cannot be looked at any more, nor its faces be cut out again.
        there = table.filter(pc.and_(pc.is_valid(table["pdq"]), pc.is_null(table["gone"])))
        self._hashes: dict[str, bytes] = {
            source: bytes.fromhex(text)
            for source, text in zip(
                there["source"].to_pylist(), there["pdq"].to_pylist(), strict=True
            )
        }

    def mirrored(self, photos: Sequence[ScannedPhoto], find: Finder) -> list[ScannedPhoto]:
        """The photos of a wave, near duplicates with the faces of the photo that they are like."""
        parameters = self._settings.near_duplicates
        if parameters.policy == "off":
            return list(photos)
        mine = {p.ref.source: p for p in photos if p.status is None and p.pdq is not None}
        compared = self._comparable(mine)
        distances: dict[tuple[str, str], int] = {}
        if compared:
            rows = parquet.gathered(find(compared), PAIRS).to_pylist()
            distances = {(row["one"], row["other"]): row["distance"] for row in rows}
        nearest: dict[str, int] = {}
        for pair, bits in distances.items():
            for key in pair:
                nearest[key] = min(bits, nearest.get(key, bits))
        if distances:
            self._rows.update()  # as they are when this wave begins
        changed: dict[str, ScannedPhoto] = {}
        for group in perceptual_hash.groups(distances):
            changed |= self._group(group, mine, nearest)
        self._hashes |= {source: p.pdq for source, p in mine.items() if p.pdq is not None}
        return [changed.get(photo.ref.source, photo) for photo in photos]

    def _comparable(self, mine: Mapping[str, ScannedPhoto]) -> list[HashedPhoto]:
        known = {source: value for source, value in self._hashes.items() if source not in mine}
        new = {source: photo.pdq for source, photo in mine.items() if photo.pdq is not None}
        if not new:
            return []
        in_new, in_known = perceptual_hash.near_any(
            perceptual_hash.as_array(list(new.values())),
            perceptual_hash.as_array(list(known.values())),
            self._settings.near_duplicates.max_distance,
        )
        return [
            HashedPhoto(source, value, self._path(source, mine), is_known)
            for hashes, mask, is_known in ((new, in_new, False), (known, in_known, True))
            for (source, value), is_near in zip(hashes.items(), mask, strict=True)
            if is_near
        ]

    def _path(self, source: str, mine: Mapping[str, ScannedPhoto]) -> str:
        if source in mine:
            return mine[source].ref.path
        return storage.join(self._library.source, source)

    def _group(
        self,
        group: set[str],
        mine: Mapping[str, ScannedPhoto],
        nearest: Mapping[str, int],
    ) -> dict[str, ScannedPhoto]:
        """The group's photos of this wave that change."""
        like = self._known(sorted(group - mine.keys()))
        if like is None:
            # Photos that are done anew follow the one that they followed before.
            rows = [self._rows.find(key) for key in group if key in self._hashes]
            followed = {row["duplicate_of"] for row in rows if row is not None}
            first = min(
                (mine[key] for key in group if key in mine),
                key=lambda p: (
                    *(p.ref.source not in followed, -p.width * p.height),
                    *(-p.ref.size, p.ref.source),
                ),
            )
            like = canonical(first)
        changed = {}
        for key in group & mine.keys() - {like.source}:
            if self._as_before(mine[key]):
                continue
            photo = with_faces_of(mine[key], like, nearest[key], self._settings.detector.min_face)
            if self._settings.near_duplicates.policy == "skip":
                reason = Reason.NEAR_DUPLICATE.of(source=like.source)
                photo = replace(photo, status=Status.SKIPPED, reason=reason)
            changed[key] = photo
        return changed

    def _as_before(self, photo: ScannedPhoto) -> bool:
        """Whether it was done before, with these pixels and a cloak of its own: it keeps that."""
        row = self._rows.find(photo.ref.source) if photo.ref.source in self._hashes else None
        return row is not None and row["duplicate_of"] is None and _shows(row, photo.pdq)

    def _known(self, sources: Sequence[str]) -> CanonicalPhoto | None:
        """The photo of the library that a group is to be like; None when none can be read."""
        for source in sources:
            row = self._rows.find(source)
            while row is not None and row["duplicate_of"] is not None:
                row = self._rows.find(row["duplicate_of"])
            found = None if row is None else self._canonical(row)
            if found is not None:
                return found
        return None

    def _canonical(self, row: Mapping[str, Any]) -> CanonicalPhoto | None:
        ref = PhotoRef(self._library.source, row["source"], row["source_size"], 0.0)
        photo = read_photo(ref, self._settings.limits)
        if photo.pixels is None:
            return None
        if photo.sha256 != row["source_sha256"] and not _shows(row, pdq(photo.pixels)):
            return None
        if photo.pixels.shape[:2] != (row["height"], row["width"]):
            return None  # an earlier version turned it otherwise: its faces lie elsewhere now
        faces = [
            Face(
                (box["left"], box["top"], box["right"], box["bottom"]),
                tuple((point["x"], point["y"]) for point in face["landmarks"]),
                face["detector_score"],
            )
            for face in row["faces"]
            for box in (face["box"],)
        ]
        crops = [crop_face(photo.pixels, face_to_crop(face.landmarks)) for face in faces]
        return CanonicalPhoto(
            row["source"],
            row["width"],
            row["height"],
            faces,
            np.stack(crops) if crops else np.zeros((0, 0, 0, 3), np.uint8),
        )


def _shows(row: Mapping[str, Any], value: bytes | None) -> bool:
    """Whether a photo of this hash shows to the last bit of it what the one of a row showed."""
    return value is not None and row["pdq"] == value.hex()
