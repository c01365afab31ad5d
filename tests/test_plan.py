"""What a run takes on, from the archive and the manifest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.manifest import RunStamp, utc
from pipeline.plan import make_plan
from transforms.discover import PhotoRef
from transforms.storage import Entry

STAMP = RunStamp("run", "mid", "settings", "assets", "0.1.0")
REF = PhotoRef("in", "a.jpg", 100, 1_000.25)
OUTPUT = Entry("a.jpg", 90, 5.0)


def row(**changes: Any) -> dict[str, Any]:
    return {
        "source": "a.jpg",
        "output": "a.jpg",
        "status": "cloaked",
        "source_sha256": "abc",
        "output_sha256": "def",
        "source_size": 100,
        "output_size": 90,
        "source_modified": utc(1_000.25),
        "settings_hash": "settings",
        "assets_hash": "assets",
        "width": 10,
        "height": 20,
        **changes,
    }


def test_a_new_file_is_to_do() -> None:
    assert make_plan([REF], [], [], STAMP, False).todo == (REF,)


def test_a_finished_file_is_left() -> None:
    plan = make_plan([REF], [row()], [OUTPUT], STAMP, False)
    assert (plan.todo, plan.unchanged) == ((), 1)
    assert plan.published["abc"].output == "a.jpg"


@pytest.mark.parametrize(
    ("ref", "changes", "outputs"),
    [
        (replace(REF, size=101), {}, [OUTPUT]),
        (replace(REF, mtime=1_001.0), {}, [OUTPUT]),
        (REF, {"status": "failed"}, [OUTPUT]),
        (REF, {"status": "unsupported"}, [OUTPUT]),
        (REF, {}, []),
        (REF, {}, [replace(OUTPUT, size=1)]),
    ],
    ids=["resized", "touched", "failed before", "unsupported before", "output gone", "output cut"],
)
def test_what_changed_or_failed_or_lost_its_output_is_to_do(
    ref: PhotoRef, changes: dict[str, Any], outputs: list[Entry]
) -> None:
    plan = make_plan([ref], [row(**changes)], outputs, STAMP, False)
    assert plan.todo == (ref,)
    assert plan.published == {}  # its output is about to be written over


@pytest.mark.parametrize("changes", [{"settings_hash": "old"}, {"assets_hash": "old"}])
def test_other_settings_or_models_are_stale_until_recloaked(changes: dict[str, Any]) -> None:
    stale = [row(**changes)]
    kept = make_plan([REF], stale, [OUTPUT], STAMP, recloak=False)
    assert (kept.todo, kept.unchanged, kept.stale) == ((), 0, 1)
    assert make_plan([REF], stale, [OUTPUT], STAMP, recloak=True).todo == (REF,)


def test_a_duplicate_is_no_source_for_copies() -> None:
    plan = make_plan([REF], [row(status="duplicate")], [OUTPUT], STAMP, False)
    assert plan.published == {}
