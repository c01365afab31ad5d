"""What makes results stale, and what leaves them as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from photoveil.pipeline import fingerprints
from photoveil.pipeline.library.manifest import RunStamp
from photoveil.pipeline.run.planning import new_stamp
from photoveil.pipeline.settings import RunSettings, Settings
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.duplicates.perceptual_hash import NearDuplicateParameters
from photoveil.transforms.faces.parameters import DetectorParameters, PeopleParameters
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.photo.parameters import MetadataParameters
from photoveil.transforms.records import ContentGroup, PhotoRef
from tests.archives import Archive
from tests.support.make_archive import make_archive

GROUP = ContentGroup(PhotoRef("in", "a.jpg", 100, 1_000.25))


def hashes(settings: Settings, stamp: RunStamp | None = None) -> dict[str, str]:
    """All fingerprints of a run with these settings, as the table of docs/fingerprints.md."""
    stamp = stamp or new_stamp(settings)
    return {
        "outputs": stamp.settings_hash,
        "tries": stamp.tries_hash,
        "models": stamp.assets_hash,
        "cloaks": fingerprints.optimiser_hash(settings, stamp),
        "scans": fingerprints.scan_hash(settings, stamp, ["ref"]),
        "waves": fingerprints.wave_hash([GROUP], stamp, ["ref"]),
    }


def changed(settings: Settings, stamp: RunStamp | None = None) -> set[str]:
    before = hashes(Settings())
    return {name for name, value in hashes(settings, stamp).items() if value != before[name]}


@pytest.mark.parametrize(
    ("settings", "stale"),
    [
        (Settings(), set()),
        (Settings(run=RunSettings(wave_photos=7, workers=2, duplicates="link")), set()),
        (Settings(cloak=CloakParameters(batch_size=2)), set()),
        (Settings(limits=ReadLimits(max_seconds=900)), {"tries", "scans", "waves"}),
        (Settings(mode="low"), {"outputs", "tries", "waves"}),
        (Settings(cloak=CloakParameters(steps=7)), {"outputs", "tries", "cloaks", "waves"}),
        (
            Settings(cloak=CloakParameters(preconditioner="none")),
            {"outputs", "tries", "cloaks", "waves"},
        ),
        (
            Settings(cloak=CloakParameters(surrogates=("mobilefacenet",))),
            {"outputs", "tries", "models", "cloaks", "scans", "waves"},
        ),
        (
            Settings(detector=DetectorParameters(min_face=40)),
            {"outputs", "tries", "scans", "waves"},
        ),
        (Settings(metadata=MetadataParameters(strip_names=True)), {"outputs", "tries", "waves"}),
        (Settings(people=PeopleParameters(spare=("person1",))), {"outputs", "tries", "waves"}),
        (
            Settings(near_duplicates=NearDuplicateParameters(policy="off")),
            {"outputs", "tries", "waves"},
        ),
    ],
    ids=lambda value: "" if isinstance(value, Settings) else ", ".join(sorted(value)) or "nothing",
)
def test_a_setting_makes_stale_what_depends_on_it(settings: Settings, stale: set[str]) -> None:
    assert changed(settings) == stale


def test_a_release_makes_nothing_stale_unless_it_raises_the_output_version() -> None:
    stamp = new_stamp(Settings())
    assert changed(Settings(), replace(stamp, version="9.9.9")) == set()
    raised = replace(stamp, output_version=stamp.output_version + 1)
    assert changed(Settings(), raised) == {"scans", "waves"}  # and rows: see tests/test_plan.py


def test_a_library_of_version_0_1_0_is_left_as_it_is_until_recloaked(tmp_path: Path) -> None:
    """Its rows do not say which output version made them: it was the first."""
    archive = Archive(tmp_path)
    make_archive(archive.photos, 4, seed=7, side=120)
    archive.run()
    (part,) = Path(archive.library.manifest).iterdir()
    pq.write_table(pq.read_table(part).drop_columns(["output_version"]), part)
    before = archive.rows()
    assert {row["output_version"] for row in before.values()} == {None}

    plan = archive.plan()
    assert (plan.refs, plan.unchanged) == ([], 0)
    assert plan.stale == {"output version 1 (Photoveil 0.1.0)": len(before)}
    archive.run()
    assert archive.rows() == before

    archive.run(recloak=True)
    versions = {row["output_version"] for row in archive.rows().values()}
    assert versions == {fingerprints.OUTPUT_VERSION}
    assert archive.plan().stale == {}


@pytest.mark.parametrize(
    "change", [lambda ref: replace(ref, size=101), lambda ref: replace(ref, mtime=2.0)]
)
def test_a_wave_goes_on_with_the_files_that_it_began_with(
    change: Callable[[PhotoRef], PhotoRef],
) -> None:
    stamp = new_stamp(Settings())
    names = {
        fingerprints.wave_hash([replace(GROUP, ref=ref)], stamp, ["ref"])
        for ref in (GROUP.ref, change(GROUP.ref))
    }
    assert len(names) == 2


def test_faces_keep_their_cloaks() -> None:
    """The hash is that of the optimiser's version, of all options, in their order."""
    settings = Settings(cloak=CloakParameters(batch_size=3))
    stamp = replace(new_stamp(settings), assets_hash="0123456789abcdef")
    options = ", ".join(
        f"{name}={value!r}" for name, value in {**asdict(settings.cloak), "batch_size": 1}.items()
    )
    spelt = f"(CloakParameters({options}), '0123456789abcdef', '0.5.0')"
    first = hashlib.sha256(spelt.encode()).hexdigest()[:16]
    assert fingerprints.optimiser_hash(settings, stamp) == first


def test_the_hash_of_models_depends_on_which_and_not_on_their_order() -> None:
    both = fingerprints.models_hash(("obama.jpg", "biden.jpg"))
    assert both == fingerprints.models_hash(("biden.jpg", "obama.jpg"))
    assert both != fingerprints.models_hash(("obama.jpg",))
    assert len(both) == 16
