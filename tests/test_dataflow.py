"""What Dataflow would be sent, as far as can be seen without the service.

Each pipeline goes all the way to the job description, its files staged in a bucket on an emulator;
only the last call, to the service itself, is left out (that is what Beam calls a template).
"""

from __future__ import annotations

import base64
import bz2
import json
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apache_beam.internal import pickler
from apache_beam.portability.api import beam_runner_api_pb2 as api

from photoveil.pipeline.graph import pipelines
from photoveil.pipeline.graph.paths import WavePaths
from photoveil.pipeline.graph.pipelines import find_near_duplicates
from photoveil.pipeline.run.planning import new_stamp
from photoveil.pipeline.runners import select
from photoveil.pipeline.settings import Settings, SettingsError, load_settings
from photoveil.transforms.io import assets, storage
from photoveil.transforms.records import (
    ContentGroup,
    Destination,
    Face,
    HashedPhoto,
    PhotoRef,
    ScannedPhoto,
)
from tests import clouds

IMAGE = "photoveil/worker:1"
ACCELERATOR = "beam:resources:accelerator:v1"


@dataclass(frozen=True)
class Submitted:
    """description: of the job, as the service gets it. pipeline: what it leads to."""

    description: dict[str, Any]
    pipeline: api.Pipeline

    def functions(self) -> Iterator[tuple[str, bytes]]:
        """The name of every step that is Python of ours or Beam's, and what was pickled for it."""
        for step in self.pipeline.components.transforms.values():
            if step.spec.urn == "beam:transform:pardo:v1":
                function = api.ParDoPayload.FromString(step.spec.payload).do_fn
                if function.urn == "beam:dofn:pickled_python_info:v1":
                    yield step.unique_name, function.payload


def unpacked(pickled: bytes) -> bytes:
    packed = base64.b64decode(pickled)
    return bz2.decompress(packed) if packed.startswith(b"BZh") else zlib.decompress(packed)


def photo(seed: int = 0) -> ScannedPhoto:
    crop = np.random.default_rng(seed).integers(0, 256, (1, 112, 112, 3), np.uint8)
    face = Face((50, 50, 150, 150), ((80, 80), (120, 80), (100, 100), (85, 120), (115, 120)), 0.9)
    ref = PhotoRef("gs://photos", f"{seed}.jpg", 1, 1.0)
    return ScannedPhoto(ref, f"{seed:064}", "JPEG", 200, 200, (face,), crop)


def settings_for(bucket: str, folder: Path) -> Settings:
    config = folder / "mine.yaml"
    options = {
        "project": "mine",
        "region": "europe-west4",
        "temp_location": f"{bucket}/temp",
        "template_location": f"{bucket}/job.json",
        "sdk_container_image": IMAGE,
        "no_auth": True,
    }
    config.write_text(json.dumps({"run": {"options": options}}))
    return load_settings(config, runner="dataflow")


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Submitted]]:
    with clouds.gcs():
        bucket = clouds.new_bucket("gs")
        settings = settings_for(bucket, tmp_path_factory.mktemp("dataflow"))
        assert select.within_reach(Path("progress"), settings.run) is None
        wave = WavePaths(
            Destination("gs://cloaked", "gs://cloaked/_photoveil/unfinished"),
            handed=f"{bucket}/handed",
            scans="gs://state/waves/scan",
            pairs="gs://state/waves/pairs",
            cloaks="gs://state/waves/cloaks",
            changes="gs://state/waves/changes",
            prototypes="gs://state/waves/prototypes",
            manifest="gs://cloaked/part",
            stamp=new_stamp(settings),
            progress=None,
        )
        photos = [photo(seed) for seed in range(100)]
        hashed = [HashedPhoto(one.ref.relative, bytes(32), one.ref.path) for one in photos]
        builders: dict[str, Callable[..., None]] = {
            "scan": partial(pipelines.scan, groups=[ContentGroup(one.ref) for one in photos]),
            "alike": partial(find_near_duplicates, photos=hashed),
            "cloak": partial(pipelines.cloak, photos=photos),
        }
        found = {}
        for name, builder in builders.items():
            select.run_pipeline(partial(builder, settings=settings, wave=wave), settings.run)
            description = json.loads(storage.read_bytes(f"{bucket}/job.json"))
            sent = description["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
            found[name] = Submitted(description, api.Pipeline.FromString(storage.read_bytes(sent)))
        yield found


def test_the_workers_are_those_of_the_preset(submitted: dict[str, Submitted]) -> None:
    for job in submitted.values():
        (pool,) = job.description["environment"]["workerPools"]
        assert pool["machineType"] == "n1-standard-4"
        assert {image["containerImage"] for image in pool["sdkHarnessContainerImages"]} == {IMAGE}


def test_only_steps_with_the_optimiser_ask_for_an_accelerator(
    submitted: dict[str, Submitted],
) -> None:
    for job in submitted.values():
        parts = job.pipeline.components
        asking = {
            "/".join(step.unique_name.split("/")[:2])
            for step in parts.transforms.values()
            if ACCELERATOR in parts.environments[step.environment_id].resource_hints
        }
        steps = {f"Cloak faces/{name}" for name in ("Embed", "Cloak", "Cloak from start")}
        assert asking == (steps if job is submitted["cloak"] else set())


def test_nothing_of_the_launchers_disk_and_no_model_is_sent(
    submitted: dict[str, Submitted],
) -> None:
    here = [Path.cwd(), Path.home(), assets.cache_folder(), Path(tempfile.gettempdir())]
    for job in submitted.values():
        assert len(list(job.functions())) > 5
        for name, pickled in job.functions():
            assert len(unpacked(pickled)) < 200_000, name  # the smallest model has 4 million
            for folder in here:
                paths = re.findall(
                    re.escape(str(folder).encode()) + rb"/[\w./-]+", unpacked(pickled)
                )
                # Functions remember what source file they are from.
                assert [path for path in paths if not path.endswith(b".py")] == [], name


def test_all_that_is_sent_can_be_unpickled(submitted: dict[str, Submitted]) -> None:
    for job in submitted.values():
        for _, pickled in job.functions():
            assert pickler.loads(pickled) is not None


def test_the_image_says_where_its_models_lie() -> None:
    image = Path("configs/dataflow.Dockerfile").read_text()
    assert f"ENV {assets.CACHE_ENV}=" in image
    assert "photoveil assets" in image


def test_a_folder_of_this_machine_is_refused_and_so_is_a_missing_project(tmp_path: Path) -> None:
    settings = settings_for("gs://bucket", tmp_path)
    with pytest.raises(SettingsError, match="no Dataflow worker can reach"):
        select.check(settings.run, "gs://photos", "gs://cloaked", str(tmp_path))
    with pytest.raises(SettingsError, match="Dataflow needs project, region, temp_location"):
        select.check(load_settings(runner="dataflow").run, "gs://photos")


def test_beam_has_every_option_of_the_preset(tmp_path: Path) -> None:
    select.check(settings_for("gs://bucket", tmp_path).run, "gs://photos")
