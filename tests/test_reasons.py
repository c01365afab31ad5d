"""Every reason is one of a short documented list, whatever a file is like: mutated by the thousand.

PHOTOVEIL_MUTATIONS times as many mutations are tried of every format.
"""

from __future__ import annotations

import logging
import os
import pickle
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from photoveil.transforms import codecs
from photoveil.transforms.codecs.errors import explained
from photoveil.transforms.failures import failure
from photoveil.transforms.io import storage
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.photo.read import read_photo
from photoveil.transforms.reasons import Reason, is_listed
from photoveil.transforms.records import PhotoRef
from tests.test_codecs_fuzz import sound

MORE = int(os.environ.get("PHOTOVEIL_MUTATIONS", "1"))
MOST_PIXELS = 1_000_000
# Of each as many as take about two seconds; the default suite tries a third of them.
COUNTS = {
    "JPEG": 600,
    "progressive JPEG": 1000,
    "PNG": 2000,
    "WEBP": 1500,
    "TIFF": 1500,
    "JPEG in TIFF": 1500,
    "BMP": 2000,
    "GIF": 2000,
    "AVIF": 1000,
    "HEIC": 300,
}
BYTES = (0, 1, 2, 0x7F, 0x80, 0xD8, 0xD9, 0xDA, 0xE1, 0xFE, 0xFF)


def mutated(data: bytes, numbers: random.Random) -> bytes:
    """`data` with some bytes changed, and perhaps a piece missing, doubled, put in or cut off."""
    block = bytearray(data)
    for _ in range(numbers.choice((0, 1, 1, 2, 8))):
        # Half of the changes in the first bytes, where headers are.
        at = numbers.randrange(numbers.choice((len(block), min(len(block), 200))))
        block[at] = numbers.choice((*BYTES, numbers.randrange(256)))
    start = numbers.randrange(len(block))
    end = min(len(block), start + numbers.choice((1, 2, 4, 64)))
    how = numbers.choice(("whole", "whole", "cut off", "missing", "doubled", "put in"))
    if how == "cut off":
        del block[start:]
    elif how == "missing":
        del block[start:end]
    elif how == "doubled":
        block[start:start] = block[start:end]
    elif how == "put in":
        block[start:start] = bytes(numbers.randrange(256) for _ in range(end - start))
    return bytes(block)


def cloaked(data: bytes) -> None:
    photo = codecs.decode(data, MOST_PIXELS)
    change = np.zeros(photo.pixels.shape[:2], np.float32)
    change[2:12, 2:20] = 9
    codecs.encode(data, codecs.PhotoChange.of_levels(change))


def alone(data: bytes) -> None:
    codecs.decode(data, MOST_PIXELS)  # which refuses what takes too much memory
    codecs.alone(data)


@pytest.mark.parametrize("share", [1 / 6, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", COUNTS)
def test_a_mutated_file_gives_a_result_or_a_listed_reason(kind: str, share: float) -> None:
    original, numbers = sound(kind), random.Random(kind)
    seen: Counter[str] = Counter()
    for _ in range(round(COUNTS[kind] * share) * MORE):
        data = mutated(original, numbers)
        for look in (codecs.without_video, codecs.without_names, codecs.oddities, alone, cloaked):
            try:
                look(data)
            except codecs.CodecError as error:
                seen[str(error)] += 1
    assert [reason for reason in seen if not is_listed(reason)] == []
    assert seen, "no mutation was refused"


def test_the_documentation_lists_every_reason_and_no_other() -> None:
    page = Path(__file__).parents[1].joinpath("docs/manifest.md").read_text("utf-8")
    listed = page.split("## Reasons")[1].split("\n## ")[0]
    written = re.findall(r"^\| `(.+?)` \|", listed, re.MULTILINE)
    assert written == [reason.value for reason in Reason]


@pytest.mark.parametrize(
    "words",
    [
        "damaged or cut off (image file is truncated (41 bytes not processed))",
        "damaged or cut off ('MPO')",
        "reading failed: TypeError(\"unsupported operand type(s) for *: 'int' and 'tuple'\")",
        "cannot be read: cannot identify image file <_io.BytesIO object at 0x7f7b9acab5b0>",
        "TIFF of (8, 8, 0) bits",
        "animated <GIF>",
        "",
    ],
)
def test_no_other_words_are_listed(words: str) -> None:
    assert not is_listed(words)


def test_reasons_may_be_joined_and_hold_numbers_and_names() -> None:
    tiny, spared = Reason.TINY_FACES.of(3), Reason.SPARED_FACES.of(1)
    assert is_listed(f"{tiny}; {spared}")
    assert is_listed(Reason.TOO_MANY_PIXELS.of(314.5, 250.0))
    assert Reason.TOO_MANY_PIXELS.of(314.5, 250.0).startswith("314.5 megapixels are more")
    assert is_listed(Reason.NEAR_DUPLICATE.of(source="2013/a (1).jpg"))
    assert is_listed(Reason.NOT_A_FORMAT_WRITTEN.of(format="camera raw (CR2)"))


ERRORS = {
    "memory": (MemoryError(), "cloaking failed: not enough memory"),
    "disk": (OSError(28, "No space left on device"), "cloaking failed: no space left on the disk"),
    "bare": (OSError("<socket at 0x7f>"), "cloaking failed: an error of the disk or the network"),
    "other": (
        TypeError("unsupported operand type(s)"),
        "cloaking failed: unexpected error (--verbose shows it)",
    ),
}


@pytest.mark.parametrize("which", ERRORS)
def test_an_error_that_nobody_foresaw_is_told_in_the_log(
    which: str, caplog: pytest.LogCaptureFixture
) -> None:
    error, reason = ERRORS[which]
    with caplog.at_level(logging.INFO, "photoveil"):
        found = failure("cloaking", error, "2013/a.jpg")
    assert found.reason == reason
    assert is_listed(reason)
    assert found.retry == (which != "other")
    assert "cloaking of 2013/a.jpg failed" in caplog.text
    assert str(error) in caplog.text


def test_what_a_library_says_of_a_photo_is_in_the_log_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = sound("PNG")[:-300]
    (tmp_path / "a.png").write_bytes(data)
    with caplog.at_level(logging.INFO, "photoveil"):
        found = read_photo(PhotoRef(str(tmp_path), "a.png", len(data), 0.0), ReadLimits())
    assert (found.status, found.reason) == ("failed", "damaged or cut off")
    assert "a.png: damaged or cut off: " in caplog.text


def test_a_full_disk_is_no_fault_of_the_photo() -> None:
    with pytest.raises(OSError, match="No space") as found, explained(Reason.NOT_REWRITTEN):
        raise OSError(28, "No space left on device")
    assert storage.explain(found.value) == "no space left on the disk"


def test_the_detail_of_a_reason_comes_back_from_another_process() -> None:
    error = codecs.UnsupportedFormat(Reason.TIFF_CHANNELS.of(9), ValueError("nine"))
    same = pickle.loads(pickle.dumps(error))
    assert (type(same), str(same), same.detail) == (
        codecs.UnsupportedFormat,
        "TIFF of 9 channels",
        "ValueError('nine')",
    )
