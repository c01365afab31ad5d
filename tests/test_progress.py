"""What a person sees of a run that goes on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.progress import ProgressReader, tick
from pipeline.screen import Pace, duration


def test_the_reader_counts_what_workers_report_and_waits_for_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    reader = ProgressReader(file)
    assert reader.update() == {}
    assert tick("photo", "scanned", str(file), 3) == "photo"
    tick("face", "face", str(file))
    with open(file, "a") as stream:
        stream.write("scan")
    assert reader.update() == {"scanned": 3, "face": 1}
    with open(file, "a") as stream:
        stream.write("ned 2\n")
    assert reader.update() == {"scanned": 5, "face": 1}


def test_a_worker_on_another_machine_does_without_the_file(tmp_path: Path) -> None:
    assert tick("photo", "scanned", str(tmp_path / "of another machine/progress")) == "photo"


def test_progress_never_goes_back_and_ends_at_the_total() -> None:
    pace, done = Pace(4), [0.0]
    events = ["scanned", "scanned", "found", "found", "face", "face", "published", "published"]
    counts: Counter[str] = Counter()
    for event in events * 2:
        counts[event] += 1
        pace.update(counts)
        done.append(pace.done)
    assert done == sorted(done)
    assert done[-1] == pace.total
    assert "4 of 4 photos, 4 faces" in str(pace)


@pytest.mark.parametrize(
    ("seconds", "words"), [(9.4, "9 s"), (200, "3 min 20 s"), (7_260, "2 h 01 min")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
