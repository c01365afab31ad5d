"""What version 0.1.0 left opens in this one: a library, its private state, and half a wave.

`support/library-0.1.0.tar.xz` was made at commit cbde0f8 by the script `make.py` in it: seven
photos are done, four more were in the hands of a run that was killed before it committed them. One
of these is a smaller copy of one that was done.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from photoveil.pipeline.library.identity import FILE
from photoveil.pipeline.library.state_folder import MARKER
from photoveil.pipeline.state.people import People
from tests.archives import Archive, photos_of
from tests.commands import hashes, invoked

FIXTURE = Path(__file__).with_name("support") / "library-0.1.0.tar.xz"
COMMITTED, KILLED = 7, 4
COPY = "shared/small.jpg"
COMMANDS = {
    "plan": ["plan", "IN", "OUT"],
    "run": ["run", "IN", "OUT"],
    "scan": ["scan", "IN", "OUT"],
    "status": ["status", "OUT"],
    "verify": ["verify", "OUT"],
    "people": ["people", "OUT"],
    "restore": ["restore", "OUT"],
    "evaluate": ["evaluate", "OUT", "--originals", "IN"],
    "forget": ["forget", "OUT", "--yes"],
}


@pytest.fixture
def old(tmp_path: Path) -> Archive:
    """The library of version 0.1.0, at another place than it was made at."""
    with tarfile.open(FIXTURE) as tar:
        tar.extractall(tmp_path, filter="data")
    return Archive(tmp_path)


def committed(archive: Archive) -> dict[str, dict[str, Any]]:
    """The rows that version 0.1.0 committed."""
    return {name: row for name, row in archive.rows().items() if row["version"] == "0.1.0"}


def test_nothing_is_done_anew_and_what_was_killed_goes_on(old: Archive) -> None:
    before = committed(old)
    outputs = photos_of(old)
    assert len(before) == COMMITTED
    known = set(People(str(old.state)).known().values())
    assert known

    plan = old.plan()
    assert {ref.relative for ref in plan.refs}.isdisjoint(before)
    assert len(plan.refs) == KILLED
    result = old.run()
    assert result.stopped is None

    rows = old.rows()
    assert {name: rows[name] for name in before} == before
    assert len(rows) == COMMITTED + KILLED
    assert not {row["status"] for row in rows.values()} & {"failed", "unsupported"}
    assert {name: photos_of(old)[name] for name in before} == {n: outputs[n] for n in before}
    # Hashes of 0.1.0, from another code, are compared with those of this version.
    assert rows[COPY]["duplicate_of"] in before
    assert known <= set(People(str(old.state)).known().values())
    assert not any(name.startswith("waves/") for name in hashes(old.state))
    assert old.plan().refs == []


def test_what_is_done_can_be_redone(old: Archive) -> None:
    before = committed(old)
    old.run()
    old.run(recloak=True)
    rows = old.rows()
    assert {rows[name]["status"] for name in before} == {row["status"] for row in before.values()}
    assert {row["output_version"] for row in rows.values()} != {1}


@pytest.mark.parametrize("newer", ["library", "state"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_later_version_made_is_refused_and_left_as_it_is(
    old: Archive, command: str, newer: str
) -> None:
    assert old.library  # opened by this version, which notes its format
    file = old.out / FILE if newer == "library" else old.state / MARKER
    data = file.read_bytes()
    assert b'"format": 1' in data
    file.write_bytes(data.replace(b'"format": 1', b'"format": 2'))
    before = hashes(old.out), hashes(old.state)
    places = {"IN": str(old.photos), "OUT": str(old.out)}
    words = [places.get(word, word) for word in COMMANDS[command]]
    code, said = invoked(*words, "--state", old.state)
    assert code == 2, said
    assert "made by a later version of Photoveil; install that one" in " ".join(said.split())
    assert (hashes(old.out), hashes(old.state)) == before
