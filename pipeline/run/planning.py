"""Plan what a run would do with an archive and its library as they are.

Nothing here loads TensorFlow, Beam or codecs before there is a new photo: to learn that there is
nothing to do takes no time.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.metadata import version

from photoveil.pipeline import fingerprints
from photoveil.pipeline.library import manifest
from photoveil.pipeline.library.library import Library
from photoveil.pipeline.library.manifest import RunStamp
from photoveil.pipeline.run.comparison import COLUMNS, make_plan
from photoveil.pipeline.run.plan import WHAT_IS_NEW, Plan, Selection
from photoveil.pipeline.run.reviewed import NOT_REVIEWED, NOTHING, Reviewed
from photoveil.pipeline.settings import MODES, Settings
from photoveil.pipeline.state.known_people import known
from photoveil.pipeline.state.review import Level, Review
from photoveil.pipeline.state.scan_cache import ScanCache
from photoveil.transforms.embedding.models import ASSETS, WHO
from photoveil.transforms.io import storage
from photoveil.transforms.naming import output_names
from photoveil.transforms.photo.discover import discover
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.records import ContentGroup, PhotoRef

_READERS = 8  # files hashed at once while planning: disks and networks like a queue


def models(settings: Settings) -> tuple[str, ...]:
    """Names of the assets that a run needs."""
    detector = ["retinaface.pb"] if settings.detector.model == "retinaface" else []
    surrogates = dict.fromkeys((*settings.cloak.recognisers, WHO))
    return tuple(detector + [asset for name in surrogates for asset in ASSETS[name]])


def new_run_id() -> str:
    """Return the name of a run that starts now: the time by this clock, and a random part."""
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%fZ")
    return f"{now}-{secrets.token_hex(3)}"


def new_stamp(settings: Settings) -> RunStamp:
    """The identity of a run that starts now."""
    return RunStamp(
        new_run_id(),
        settings.mode,
        fingerprints.settings_hash(settings),
        fingerprints.tries_hash(settings),
        fingerprints.models_hash(models(settings)),
        fingerprints.OUTPUT_VERSION,
        version("photoveil"),
    )


def reviewed(
    library: Library,
    review: Review,
    stamp: RunStamp,
    settings_of: Callable[[str], Settings] | None = None,
) -> Reviewed:
    """What a run needs to carry a review out.

    Args:
        stamp: of the run. settings_of: gives the settings in another mode; None where there is
            none, and all photos are cloaked alike.
    """
    if review == NOTHING:
        return NOT_REVIEWED
    people: dict[str, list[str]] = {}
    for face, person in known(library.state).items():
        if person in review.people:
            people.setdefault(face.split()[0], []).append(person)
    levels = {}
    for level, by in ((Level.WEAKER, -1), (Level.STRONGER, 1)):
        place = MODES.index(stamp.mode) + by
        if settings_of is not None and 0 <= place < len(MODES):
            settings = settings_of(MODES[place])
            levels[level] = (settings, replace(new_stamp(settings), run_id=stamp.run_id))
    return Reviewed(review, levels, people)


def plan_run(
    library: Library, settings: Settings, stamp: RunStamp, selection: Selection = WHAT_IS_NEW
) -> Plan:
    """What `run` would do; the arguments are those of `make_plan`.

    Raises:
        OSError: the archive or the library cannot be listed.
    """
    rows = manifest.read(library.manifest, COLUMNS)
    outputs = rows["output"].drop_null().to_pylist()
    return make_plan(
        discover(library.source),
        rows,
        output_names.listing(library.root, outputs) if storage.exists(library.root) else (),
        stamp,
        selection,
        partial(_hash_files, limits=settings.limits),
    )


def plan_scan(
    library: Library, settings: Settings, stamp: RunStamp, selection: Selection = WHAT_IS_NEW
) -> list[ContentGroup]:
    """The photos that a run would cloak and whose faces are not known yet.

    Raises:
        OSError: the archive or the library cannot be listed.
    """
    ahead = ScanCache(library.state, settings, stamp)
    todo = plan_run(library, settings, stamp, selection).todo
    return [group for group in todo if ahead.find(group.ref) is None]


def _hash_files(refs: Sequence[PhotoRef], limits: ReadLimits) -> Mapping[PhotoRef, str]:
    if not refs:
        return {}
    from photoveil.transforms.photo.read import fingerprint  # it loads the codecs

    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(partial(fingerprint, limits=limits), refs)
        return {photo.ref: photo.sha256 for photo in found if photo.sha256 is not None}
