"""What a person sees of a run that goes on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from photoveil.pipeline.cli.progress_bar import ProgressEstimate
from photoveil.pipeline.words import duration
from photoveil.transforms.beam.progress import ProgressReader, tick


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
    pace, done = ProgressEstimate(4), [0.0]
    events = ["scanned", "scanned", "found", "found", "face", "face", "published", "published"]
    counts: Counter[str] = Counter()
    for event in events * 2:
        counts[event] += 1
        pace.update(counts)
        done.append(pace.done)
    assert done == sorted(done)
    assert done[-1] == pace.total
    assert "4 of 4 photos, 4 faces" in str(pace)


def test_the_time_left_is_about_right_from_the_first_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """10,000 photos at one a second, after half a minute of loading and a slow first wave."""
    clock = [0.0]
    monkeypatch.setattr("photoveil.pipeline.cli.progress_bar.time.monotonic", lambda: clock[0])
    for expected in (0.5, 2.0):
        clock[0] = 0.0
        pace, counts = ProgressEstimate(10_000, expected=expected), Counter[str]()
        pace.update(counts)
        assert pace.seconds == expected
        assert "0 faces, loading the models, then about " in str(pace)
        clock[0] = 40.0
        pace.update(Counter(scanned=8, found=8, face=8, published=8))
        assert pace.seconds == expected
        clock[0] = 60.0
        pace.update(Counter(scanned=28, found=28, face=28, published=28))
        assert pace.seconds == pytest.approx(1.0, rel=0.3)
        clock[0] = 240.0
        pace.update(Counter(scanned=208, found=208, face=208, published=208))
        assert pace.seconds == pytest.approx(1.0, rel=0.05)
        assert str(pace).startswith("208 of 10,000 photos, 208 faces, about 2 h ")


def test_the_first_lines_say_what_goes_on_before_a_photo_is_done() -> None:
    pace = ProgressEstimate(60)
    pace.update(Counter())
    assert str(pace) == "0 of 60 photos, 0 faces, loading the models"
    pace.update(Counter(scanned=8, found=5, face=3))
    assert str(pace) == "0 of 60 photos (and 8 in work), 3 faces, the first take longest"
    pace.update(Counter(scanned=8, found=5, face=5, published=8))
    assert str(pace).startswith("8 of 60 photos, 5 faces")


@pytest.mark.parametrize(
    ("seconds", "words"), [(9.4, "9 s"), (200, "3 min 20 s"), (7_260, "2 h 01 min")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
