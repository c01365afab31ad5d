"""Who is in the photos of a library. All of it is biometric, and lies in the private state.

people/faces/*.parquet   a part for each wave: photo, face, embedding, landmarks, date
people/prototypes/       see `prototypes`
people/people.parquet    which face is whose
people/changes.log       people that merged or split, and when

People are settled at the end of a run, and within one whenever the library has doubled: those met
in its first photos are then known for the rest. What is known hangs on the photos that are done
alone, so that a run that was killed goes on as it would have.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from photoveil.pipeline.library import sequence
from photoveil.pipeline.state import known_people, tables
from photoveil.pipeline.state.prototypes import Prototypes
from photoveil.pipeline.state.warm_starts import WarmStarts
from photoveil.transforms.faces.clustering import cluster
from photoveil.transforms.faces.identity import Change, name_people
from photoveil.transforms.faces.nearest_person import NearestPerson, to_cloak
from photoveil.transforms.faces.parameters import PeopleParameters
from photoveil.transforms.io import parquet, storage
from photoveil.transforms.photo.scan import face_key, origin, spare
from photoveil.transforms.records import PersonPrior, ScannedPhoto

FACES = pa.schema(
    [
        ("face", pa.string()),  # see `scan.face_key`
        ("sha256", pa.string()),
        ("embedding", pa.binary()),  # float16
        ("landmarks", pa.list_(pa.float32())),
        ("taken", pa.timestamp("ms")),  # as the camera's clock said, without a zone
        ("origin", pa.string()),  # see `scan.origin`
        # What it was cloaked with, see `CloakedAs`; null before it is.
        ("taken_for", pa.string()),
        ("started", pa.bool_()),
        ("prototype", pa.string()),
        ("engine", pa.string()),
    ]
)
_CLOAKED_AS = pa.schema(
    [FACES.field(name) for name in ("origin", "taken_for", "started", "prototype", "engine")]
)
_LOST_FACES = (
    "the people in the photos that it was about are only found again in those of later runs, and "
    "these photos, if they are done anew, get other cloaks"
)
_SIZE = b"sources"  # of the library when people were settled, in the metadata of that file


@dataclass(frozen=True)
class CloakedAs:
    """What the cloak of a face hangs on, beside its pixels.

    taken_for: person; None for one met first. started: whether there was a start for that person.
    prototype: name of what it was moved away from; None for its own embedding.
    engine: the optimiser, its settings and models, as a name.
    """

    taken_for: str | None = None
    started: bool | None = None
    prototype: str | None = None
    engine: str | None = None


@dataclass(frozen=True)
class WavePeople:
    """Whom the faces of a wave are taken for.

    faces: by origin, see `scan.origin`.
    """

    faces: Mapping[str, CloakedAs]


@dataclass(frozen=True)
class Person:
    """One of the people of a library.

    name: stays the same over runs. faces: keys of the faces. photos: sha256 of their photos.
    first, last: dates of these, as far as they are known.
    """

    name: str
    faces: tuple[str, ...]
    photos: tuple[str, ...]
    first: dt.datetime | None
    last: dt.datetime | None


class People:
    """The people of a library, in its private state folder."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._folder = storage.join(state, known_people.FOLDER)
        self._memory = WarmStarts(state)
        self._prototypes = Prototypes(state)
        self._recogniser: NearestPerson | None = None
        self._settled_at: int | None = None
        self._people: dict[str, str] | None = None  # as `known`; read once, not once a photo
        self._cloaked: pa.Table | None = None  # `_CLOAKED_AS` of all; read once, not once a wave
        # Of each person and engine, the name of the prototype; likewise.
        self._named: dict[tuple[str, str], str] | None = None

    def add(
        self, photos: Sequence[ScannedPhoto], part: str, engine: str | None = None
    ) -> WavePeople:
        """Keep the faces of a wave.

        A face that the same engine cloaked before is taken for whom it was taken then: what was
        learnt since would give it another cloak, and who has both could average them. Others move
        away from the prototype of the person, or, where there is none yet, from that of all of the
        person's faces in the wave.

        Args:
            part: its name; adding a wave again replaces it.
            engine: what cloaks them, see `fingerprints.optimiser_hash`; None for a scan.

        Returns:
            Whom the faces are taken for.
        """
        earlier = self._cloaked_as({origin(crop) for photo in photos for crop in photo.crops})
        wave: dict[str, CloakedAs] = {}
        alone: dict[str, np.ndarray] = {}  # embeddings of faces without a prototype
        for photo in photos:
            whom = zip(photo.crops, photo.embeddings, self._recognised(photo), strict=True)
            for crop, embedding, person in whom:
                face = origin(crop)
                found = earlier.get(face, CloakedAs())
                if engine is not None and found.engine != engine:
                    started = person is not None and self._memory.has_start(person)
                    found = CloakedAs(person, started, self._prototype_of(person, engine), engine)
                    if found.prototype is None:
                        alone[face] = embedding
                wave[face] = found
        for face, name in self._groups(alone, wave, part).items():
            wave[face] = replace(wave[face], prototype=name)
        rows = [
            {
                "face": face_key(photo.sha256, index),
                "sha256": photo.sha256,
                "embedding": embedding.astype(np.float16).tobytes(),
                "landmarks": [value for point in face.landmarks for value in point],
                "taken": photo.taken,
                "origin": origin(crop),
                **asdict(wave[origin(crop)]),
            }
            for photo in photos
            for index, (face, crop, embedding) in enumerate(
                zip(photo.faces, photo.crops, photo.embeddings, strict=True)
            )
        ]
        if rows:
            table = pa.Table.from_pylist(rows, FACES)
            self._write(table, f"faces/{part}.parquet")
            if self._cloaked is not None:
                self._cloaked = pa.concat_tables([self._cloaked, _cloaked(table)])
        return WavePeople(wave)

    def without_spared(
        self, photos: Iterable[ScannedPhoto], choice: PeopleParameters
    ) -> list[ScannedPhoto]:
        """The photos without the faces that are not to be cloaked."""
        if not choice.only and not choice.spare:
            return list(photos)
        return [spare(photo, list(to_cloak(self._recognised(photo), choice))) for photo in photos]

    def whose(self, photo: ScannedPhoto) -> list[str | None]:
        """Who each face of a photo is: as people were settled, or else as they are recognised."""
        if self._people is None:
            self._people = self.known()
        known, seen = self._people, self._recognised(photo)
        keys = (face_key(photo.sha256, index) for index in range(len(photo.faces)))
        return [known.get(key, person) for key, person in zip(keys, seen, strict=True)]

    def with_known(self, photos: Iterable[ScannedPhoto], wave: WavePeople) -> list[ScannedPhoto]:
        """The photos of a wave, with what is known of the people in them.

        A near duplicate has the faces of a photo that may have been cloaked long ago: each is taken
        for whom it was taken then, or the two cloaks would differ.

        Args:
            wave: what `add` gave for it.
        """
        photos = list(photos)
        origins = [[origin(crop) for crop in photo.crops] for photo in photos]
        elsewhere = {face for faces in origins for face in faces} - wave.faces.keys()
        found = {**wave.faces, **self._cloaked_as(elsewhere)}
        known = {face: self._prior(as_whom) for face, as_whom in found.items()}
        return [
            replace(photo, known=tuple(known.get(face) for face in faces))
            for photo, faces in zip(photos, origins, strict=True)
        ]

    def keep_cloaks(self, changes: pa.Table, prototypes: pa.Table, part: str) -> None:
        """Keep what a wave made for people met first.

        Args:
            changes: `warm_starts.CHANGES`. prototypes: `prototypes.PROTOTYPES`. part: their name.
        """
        self._memory.keep(changes, part)
        self._prototypes.keep(prototypes, part)

    def due(self, sources: int) -> bool:
        """Whether the library, of so many sources, has doubled since people were settled."""
        if self._settled_at is None:
            metadata = known_people.read(self._state).schema.metadata or {}
            self._settled_at = int(metadata.get(_SIZE, 0))
        return sources >= 2 * max(self._settled_at, 1)

    def settle(self, photos: Collection[str], sources: int) -> Change:
        """Cluster all faces again, if some came or went, and learn from the cloaks that were kept.

        People keep their names.

        Args:
            photos: sha256 of those that the library has; the faces of others are deleted.
            sources: how many files the library has.
        """
        self._settled_at = sources
        table = self._faces()
        table = table.filter(pc.is_in(table["sha256"], pa.array(list(photos), pa.string())))
        known = self.known()
        keys = table["face"].to_pylist()
        people, change = known, Change()
        if known.keys() != set(keys):
            people, change = name_people(keys, cluster(_vectors(table)), known)
        rows = {"face": list(people), "person": list(people.values())}
        origins = dict(zip(keys, table["origin"].to_pylist(), strict=True))
        persons = {origins[face]: person for face, person in people.items()}
        self._memory.learn(persons, dict(zip(*_means(table, people), strict=True)))
        self._log(change)
        schema = known_people.SCHEMA.with_metadata({_SIZE: str(sources)})
        self._write(pa.table(rows, schema), known_people.FILE)
        self._compact(table)
        self._prototypes.drop_all_but(set(table["prototype"].drop_null().to_pylist()))
        self._recogniser, self._cloaked, self._people, self._named = None, None, None, None
        return change

    def known(self) -> dict[str, str]:
        """The person of each face, as of the last `settle`."""
        return known_people.known(self._state)

    def everyone(self) -> list[Person]:
        """The people, those with most photos first."""
        known = self.known()
        members: dict[str, list[dict[str, Any]]] = {}
        for row in self._faces().select(["face", "sha256", "taken"]).to_pylist():
            if row["face"] in known:
                members.setdefault(known[row["face"]], []).append(row)
        people = [_person(name, rows) for name, rows in members.items()]
        return sorted(people, key=lambda person: (-len(person.photos), person.name))

    def landmarks(self) -> dict[str, np.ndarray]:
        """Of each face: float32 (5, 2), pixels of the upright photo."""
        table = self._faces().select(["face", "landmarks"])
        return {
            row["face"]: np.array(row["landmarks"], np.float32).reshape(5, 2)
            for row in table.to_pylist()
        }

    def taken(self) -> dict[str, dt.datetime]:
        """When the photos with faces were taken, by sha256, as far as their cameras say."""
        table = self._faces().select(["sha256", "taken"]).to_pylist()
        return {row["sha256"]: row["taken"] for row in table if row["taken"] is not None}

    def recogniser(self) -> NearestPerson:
        """Tells who of the people known a new face is."""
        known = self.known()
        if not known:
            return NearestPerson([], np.zeros((0, 0), np.float32))
        return NearestPerson(*_means(self._faces(), known))

    def _recognised(self, photo: ScannedPhoto) -> list[str | None]:
        if self._recogniser is None:
            self._recogniser = self.recogniser()
        return self._recogniser.recognise(photo.embeddings)

    def _prior(self, cloaked_as: CloakedAs) -> PersonPrior | None:
        """What is kept for a face that is taken for somebody, or that has a prototype."""
        person, name = cloaked_as.taken_for, cloaked_as.prototype
        prior = None if person is None else self._memory.of(person, bool(cloaked_as.started))
        if name is None:
            return prior
        found = self._prototypes.of(name)
        return replace(
            prior or PersonPrior(), prototype=found, group=name if found is None else None
        )

    def _prototype_of(self, person: str | None, engine: str) -> str | None:
        """The name of a person's prototype: the first that the person's faces have."""
        if self._named is None:
            known = self.known()
            table = self._faces().select(["face", "prototype", "engine"])
            rows = table.filter(pc.is_valid(table["prototype"])).to_pylist()
            self._named = {
                (known[row["face"]], row["engine"]): row["prototype"]
                for row in sorted(rows, key=lambda row: row["prototype"], reverse=True)
                if row["face"] in known
            }
        return None if person is None else self._named.get((person, engine))

    def _groups(
        self, embeddings: Mapping[str, np.ndarray], wave: Mapping[str, CloakedAs], part: str
    ) -> dict[str, str]:
        """Find faces of a wave that are of one person.

        Args:
            embeddings: of faces without a prototype, by origin.
            wave: whom these are taken for.
            part: name of the wave.

        Returns:
            The name of its group for each face that has company, by origin.
        """
        if self._prototypes.is_full:
            return {}
        people: defaultdict[str, list[str]] = defaultdict(list)
        strangers = sorted(face for face in embeddings if wave[face].taken_for is None)
        vectors = np.array([embeddings[face] for face in strangers], np.float32)
        for face, label in zip(strangers, cluster(vectors) if strangers else (), strict=True):
            people[f"stranger {label}"].append(face)
        for face in sorted(embeddings.keys() - set(strangers)):
            people[str(wave[face].taken_for)].append(face)
        groups = (faces for faces in people.values() if len(faces) > 1)
        return {face: f"{part} {faces[0][:16]}" for faces in groups for face in faces}

    def _cloaked_as(self, origins: Collection[str]) -> dict[str, CloakedAs]:
        """With what these faces were cloaked last, as far as they were."""
        if not origins:
            return {}
        if self._cloaked is None:
            parts = (
                _cloaked(tables.read(path, _CLOAKED_AS, _LOST_FACES))
                for path in self._oldest_first()
            )
            self._cloaked = pa.concat_tables([_CLOAKED_AS.empty_table(), *parts])
        wanted = pa.array(list(origins), pa.string())
        found = self._cloaked.filter(pc.is_in(self._cloaked["origin"], wanted))
        return {row.pop("origin"): CloakedAs(**row) for row in found.to_pylist()}

    def _oldest_first(self) -> list[str]:
        """The parts of the table of faces."""
        return sequence.oldest_first(parquet.parts(self._faces_folder))

    def _faces(self) -> pa.Table:
        """One row a face, what was added last, in the order of their keys."""
        paths = reversed(self._oldest_first())
        parts = (tables.read(path, FACES, _LOST_FACES) for path in paths)
        table = pa.concat_tables([FACES.empty_table(), *parts])
        keys = np.array(table["face"].to_pylist(), object)
        _, first = np.unique(keys, return_index=True) if len(keys) else (None, [])
        return table.take(pa.array(first, pa.int64()))

    def _compact(self, table: pa.Table) -> None:
        whole = "faces/all.parquet"
        old = parquet.parts(self._faces_folder)
        self._write(table, whole)
        storage.remove([path for path in old if path != storage.join(self._folder, whole)])

    @property
    def _faces_folder(self) -> str:
        return storage.join(self._folder, "faces")

    @property
    def _scratch(self) -> str:
        return storage.join(self._folder, "unfinished")

    def _write(self, table: pa.Table, name: str) -> None:
        parquet.write(table, storage.join(self._folder, name), self._scratch)

    def _log(self, change: Change) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        lines = [f"{now} {old} was merged into {new}\n" for old, new in change.merged]
        lines += [f"{now} {new} was split off {old}\n" for new, old in change.split]
        if lines:
            log = storage.join(self._folder, "changes.log")
            before = storage.read_bytes(log) if storage.exists(log) else b""
            storage.write_atomic(log, before + "".join(lines).encode(), self._scratch)


def _cloaked(faces: pa.Table) -> pa.Table:
    """Those that were cloaked, and with what."""
    return faces.filter(pc.is_valid(faces["engine"])).select(_CLOAKED_AS.names)


def _means(table: pa.Table, known: Mapping[str, str]) -> tuple[list[str], np.ndarray]:
    """The people known, and the mean embedding of each: float32 (n, D)."""
    keys = table["face"].to_pylist()
    there = [index for index, key in enumerate(keys) if key in known]
    names = sorted({known[keys[index]] for index in there})
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([numbers[known[keys[index]]] for index in there], np.int64)
    vectors = _vectors(table)[there]
    sums = np.zeros((len(names), vectors.shape[1]), np.float32)
    np.add.at(sums, labels, vectors)
    counts = np.bincount(labels, minlength=len(names))[:, np.newaxis]
    return names, sums / np.maximum(counts, 1)


def _vectors(table: pa.Table) -> np.ndarray:
    if not len(table):
        return np.zeros((0, 0), np.float32)
    data = b"".join(table["embedding"].to_pylist())
    vectors = np.frombuffer(data, np.float16).astype(np.float32).reshape(len(table), -1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _person(name: str, rows: Sequence[Mapping[str, Any]]) -> Person:
    dates = sorted(row["taken"] for row in rows if row["taken"] is not None)
    return Person(
        name,
        tuple(sorted(row["face"] for row in rows)),
        tuple(sorted({row["sha256"] for row in rows})),
        dates[0] if dates else None,
        dates[-1] if dates else None,
    )
