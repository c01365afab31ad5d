"""Which private state is a library's: found by its id, and refused where it is another's.

The folder that a user names may be any folder on the disk. It is only read here.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from dataclasses import dataclass

from photoveil.pipeline.library import manifest, state_folder
from photoveil.pipeline.library.identity import FILE, FOLDER, Identity, LibraryError, read_identity
from photoveil.pipeline.library.state_folder import Found, Marker, inspect
from photoveil.transforms.io import parquet, storage


@dataclass(frozen=True)
class Claim:
    """The id and private state that a run takes. identity, marker: as they are now."""

    id: str
    state: str
    identity: Identity | None
    marker: Marker | None = None


def claim_state(source: str, root: str, given: str | None, new_state: bool) -> Claim:
    """Find the private state of a library, or a place for a new one.

    Args:
        source: folder of the originals. root: of the library. given: of the private state, if the
            user named one. new_state: as of `library.open_library`.

    Raises:
        LibraryError: the state is missing, or what was found or given is not this library's.
        OSError: it cannot be read.
    """
    identity = read_identity(root)
    found = find(root, identity, given)
    if problem := _no_folder(found.place):
        raise LibraryError(problem)
    new_id = identity.id if identity is not None else uuid.uuid4().hex
    if found.empty:
        if not new_state and (problem := _missing(source, root, identity, given)):
            raise LibraryError(problem)
        return Claim(new_id, given or _default_place(new_id), identity)
    problem = foreign(found, root, identity, source)
    if problem:
        raise LibraryError(problem)
    if shared := shared_with(found, root):
        if not new_state or given is not None:
            raise LibraryError(shared)
        new_id = uuid.uuid4().hex
        return Claim(new_id, _default_place(new_id), identity)
    if new_state:
        raise LibraryError(
            f"the private state of {root} is in {found.place}; to begin a new one all the same, "
            "delete it first: photoveil forget"
        )
    return Claim(
        found.marker.library if found.marker else new_id, found.place, identity, found.marker
    )


def given_folder(state: str | None) -> str | None:
    """The folder of --state, as it is known everywhere."""
    if state is None:
        return None
    if storage.is_local(state) and os.path.islink(state.rstrip(os.sep)):
        raise LibraryError(
            f"{state} is a link; give the folder itself, {storage.absolute(state)}: nothing is "
            "written through links"
        )
    return storage.absolute(state)


def find(root: str, identity: Identity | None, given: str | None) -> Found:
    """Where the private state of a library lies, or would lie; it may be another's."""
    if given is not None:
        return inspect(given)
    old = _place_of_0_1(root)
    place = old if identity is None else _default_place(identity.id)
    if identity is not None and not (found := inspect(place)).empty:
        return found
    for found in state_folder.in_default_folder():
        if identity is not None and found.marker and found.marker.library == identity.id:
            return found
        if identity is None and _lost_its_id(found, root):
            return found
    found = inspect(old)
    if not found.empty and found.marker is None:
        return found
    return Found(place, empty=True)


def _no_folder(place: str) -> str | None:
    if storage.is_local(place) and os.path.islink(place):
        return f"{place} is a link; nothing is written through links: put the folder itself there"
    if storage.is_local(place) and os.path.lexists(place) and not os.path.isdir(place):
        return f"{place} is a file; give a folder for the private state (--state)"
    return None


def _default_place(library_id: str) -> str:
    return storage.join(state_folder.default_folder(), library_id)


def _place_of_0_1(root: str) -> str:
    """Where version 0.1.0 kept the private state of a library at this path."""
    name = hashlib.sha256(root.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return storage.join(state_folder.default_folder(), name)


def _lost_its_id(found: Found, root: str) -> bool:
    """True for the state of a library at `root` that is there and does not say its id."""
    return (
        found.marker is not None
        and found.marker.root == root
        and storage.exists(storage.join(root, FOLDER))
    )


def foreign(
    found: Found, root: str, identity: Identity | None, source: str | None = None
) -> str | None:
    """Why what was found is not to be used as the private state of the library at `root`.

    Args:
        source: the input folder of a run that would take over a state of version 0.1.0.
    """
    place, marker = found.place, found.marker
    if found.damaged:
        return found.damaged
    if found.strange and marker:
        return (
            f"{storage.join(place, found.strange)} is a link; nothing is written through links: "
            "put the folder itself there"
        )
    if found.strange:
        return (
            f"{place} is not empty, and is not the private state of {root}: {found.strange} is in "
            "it. Nothing there was changed. Give a new or an empty folder (--state)"
        )
    if marker is None:
        return _foreign_of_0_1(found, root, source)
    if later := of_a_later_version(found):
        return later
    if identity is not None and marker.library == identity.id:
        return None
    if identity is None and _lost_its_id(found, root):
        return None
    if marker.root == root:
        return _replaced(root, place)
    return (
        f"{place} is not the private state of {root}: it belongs to another library, "
        f"{marker.root}. Two libraries cannot share one. Leave out --state, or give a new or an "
        "empty folder"
    )


def of_a_later_version(found: Found) -> str | None:
    """Why a state that this version does not know how to read is left alone."""
    if found.marker is None or found.marker.format <= state_folder.FORMAT:
        return None
    return f"{found.place} was made by a later version of Photoveil; install that one"


def _foreign_of_0_1(found: Found, root: str, source: str | None) -> str | None:
    """Version 0.1.0 left no id; the photos that a state knows tell whose it is."""
    if source in (None, found.source) or found.place == _place_of_0_1(root):
        return None
    known = state_folder.photos(found.place)
    done = manifest.read(storage.join(root, f"{FOLDER}/manifest"), ["source_sha256"])
    if not known or known.intersection(done["source_sha256"].to_pylist()):
        return None
    return (
        f"{found.place} is not the private state of {root}: it knows other photos, those of "
        f"{found.source}. Two libraries cannot share one. Leave out --state, or give a new or an "
        "empty folder"
    )


def shared_with(found: Found, root: str) -> str | None:
    """Why a state is not used for a copy of its library, which has the same id."""
    marker = found.marker
    if marker is None or marker.root == root or marker.place != found.place:
        return None  # the state was copied along
    try:
        original = read_identity(marker.root)
    except OSError:  # a disk or a server out of reach; the usual case is a library that was moved
        return None
    ids = (FOLDER, FILE)
    same = all(
        storage.is_same(storage.join(marker.root, name), storage.join(root, name)) for name in ids
    )
    if original is None or original.id != marker.library or same:
        return None
    return (
        f"{root} is a copy of the library {marker.root}, which is still there, and the private "
        f"state {found.place} belongs to that one. Go on with {marker.root}; or give the copy a "
        f"state of its own: a copy of {found.place} by --state, or a new one by --new-state"
    )


def _missing(source: str, root: str, identity: Identity | None, given: str | None) -> str | None:
    """Why a run does not just begin a new private state."""
    kept = [found for found in state_folder.in_default_folder() if found.place != given]
    if has_rows(root):
        if identity is not None and identity.forgotten is not None:
            return None
        own = find(root, identity, None)
        likely = [own.place] if own.is_state else []
        likely += [found.place for found in kept if not found.marker and found.source == source]
        hint = f" It may be {' or '.join(likely)}." if likely else ""
        return (
            f"the private state of {root} is not in {given or state_folder.default_folder()}. "
            "Without it nobody is known: people are told apart anew, get other targets than in the "
            "photos that are published, and a photo that is done anew gets another cloak, so that "
            f"two could be averaged.{hint} If it lies elsewhere, say where: --state DIR "
            "(`photoveil states` lists those on this machine). If it is lost, begin a new one: "
            "--new-state"
        )
    if given is None and identity is None:
        for found in kept:
            if found.marker is not None and found.marker.root == root:
                return _replaced(root, found.place)
    return None


def _replaced(root: str, place: str) -> str:
    return (
        f"{place} is the private state of a library that was at {root}, and that library is not "
        "there now. If it is on a disk, connect that disk. If it was moved, give its new path. If "
        f"you deleted it, delete its state too (photoveil states --delete {place}), or keep that "
        "and begin a new one beside it: --new-state, without --state or with another folder"
    )


def has_rows(root: str) -> bool:
    """True when a run has done photos."""
    parts = parquet.parts(storage.join(root, f"{FOLDER}/manifest"))
    return any(len(parquet.read(part, ["source"])) for part in parts)


def no_state(root: str, place: str) -> str:
    """Say that a folder is not the private state of a library, and what to do about it."""
    identity = read_identity(root)
    if identity is not None and identity.forgotten is not None:
        return (
            f"the private state of {root} was deleted by `photoveil forget`, {identity.forgotten}"
        )
    return (
        f"{place} is not the private state of {root}; give the folder that the run was given "
        "(--state). `photoveil states` lists those on this machine"
    )
