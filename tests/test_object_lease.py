"""The lock of a library in a bucket, between runs that are alive, dead, asleep or too late."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from photoveil.transforms.io import object_store
from photoveil.transforms.io.object_lease import LeaseError, lease
from tests import clouds


@pytest.fixture(params=["gs", "s3"])
def path(request: pytest.FixtureRequest, servers: None) -> str:
    if request.param == "gs" and not clouds.CLOUDS:
        pytest.skip("gcp-storage-emulator takes no notice of conditions: make test-cloud")
    return f"{clouds.new_bucket(request.param)}/out/_photoveil/lock"


def held_by(path: str, **other: object) -> None:
    """The lease as it is when another run holds it."""
    with lease(path):
        words = json.loads(object_store.read(path))
    object_store.write(path, json.dumps({**words, "token": "another", **other}).encode())


def test_one_at_a_time(path: str) -> None:
    with lease(path):
        said = f"process {os.getpid()} on .* gave a sign of life"
        with pytest.raises(LeaseError, match=said), lease(path):
            raise AssertionError("two hold it")
    assert object_store.stat(path) is None
    with lease(path):
        pass


@pytest.mark.skipif(not clouds.CLOUDS, reason="takes 3 s: make test-cloud")
def test_a_lease_is_renewed_and_so_never_lapses_while_it_is_held(path: str) -> None:
    with lease(path, renewed=0.2, lapsed=2):
        time.sleep(3)
        with pytest.raises(LeaseError, match="another run holds"), lease(path, lapsed=2):
            pass


def test_one_that_lapsed_is_taken_over(path: str) -> None:
    held_by(path, host="elsewhere", process=1)
    with pytest.raises(LeaseError, match="process 1 on elsewhere"), lease(path):
        pass
    time.sleep(1.1)  # S3 knows whole seconds
    with lease(path, lapsed=1):
        assert json.loads(object_store.read(path))["token"] != "another"


def test_one_of_a_process_that_died_here_is_taken_over_at_once(path: str) -> None:
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    held_by(path, process=died.pid)
    with lease(path):
        assert json.loads(object_store.read(path))["process"] == os.getpid()


def test_a_holder_that_lost_it_is_interrupted_and_told(path: str) -> None:
    with pytest.raises(LeaseError, match="took over"), lease(path, renewed=0.2):
        object_store.write(path, b'{"token": "another"}')
        time.sleep(30)  # what the holder does, until it is interrupted
    assert object_store.read(path) == b'{"token": "another"}'


def test_an_answer_lost_on_its_way_loses_no_lease(path: str) -> None:
    with lease(path, renewed=0.3):
        object_store.write(path, object_store.read(path) + b" ")  # another version, the same holder
        time.sleep(1)
        assert not object_store.read(path).endswith(b" ")


@pytest.mark.skipif(bool(clouds.CLOUDS), reason="these servers take notice of conditions")
def test_a_server_that_cannot_keep_it_safe_is_refused(servers: None) -> None:
    path = f"{clouds.new_bucket('gs')}/lock"
    with pytest.raises(LeaseError, match="no notice of conditions"), lease(path):
        pass
    assert object_store.stat(path) is None
