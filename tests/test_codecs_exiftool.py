"""What ExifTool reads from the camera files before and after: only what is meant to change does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photoveil.transforms import codecs

# Why a tag may differ: what ExifTool calls it, as group:place:tag.
MEANT_TO_CHANGE = {
    "the thumbnail is made anew from the cloaked photo": r"IFD1:.*:Thumbnail(Image|Length)",
    "an uncompressed thumbnail, or one with no room for a new one, goes with its directory": (
        r"IFD1:.*:(BitsPerSample|Compression|ImageHeight|ImageWidth|ResolutionUnit|[XY]Resolution"
        r"|PhotometricInterpretation|RowsPerStrip|SamplesPerPixel|Strip\w+|ThumbnailOffset"
        r"|YCbCrPositioning)"
    ),
    "previews are removed": r"(File|JFXX|Photoshop):Main:\w*(Thumbnail|Preview)\w*",
    "the list of further pictures is removed with them": r"MPF0:.*|MPImage\d+:.*",
    "a MakerNote that is nothing but a preview": r"ExifTool:Main:Warning",
    "how a HEIC is coded and where its parts lie": r"(QuickTime|Meta):.*",
    "strips of a TIFF that grew lie elsewhere": r"IFD0:Main:Strip(Offsets|ByteCounts)",
}
ABOUT_THE_FILE = re.compile(r"System:|ExifTool:.*ExifToolVersion|SourceFile")


def dump(folder: Path) -> dict[str, dict[str, Any]]:
    """Every tag of every file, by file name."""
    command = ["exiftool", "-json", "-a", "-u", "-G1:3:4", "-n", "-q", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {Path(tags["SourceFile"]).name: tags for tags in json.loads(done.stdout)}


def change_somewhere(data: bytes) -> np.ndarray:
    height, width = codecs.decode(data, 10**9).pixels.shape[:2]
    change = np.zeros((height, width), np.float32)
    change[height // 3 : height // 3 + 64, width // 3 : width // 3 + 64] = 20
    return change


@pytest.mark.slow
def test_tags_stay(exif_data: Path, tmp_path: Path) -> None:
    if not shutil.which("exiftool"):
        pytest.skip("no exiftool: apt install libimage-exiftool-perl")
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    for path in sorted(exif_data.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        kind = codecs.sniff(data)
        if kind is None or (kind == "HEIC" and len(data) > 100_000):  # too slow here
            continue
        try:
            coded = codecs.encode(data, codecs.PhotoChange.of_levels(change_somewhere(data))).data
        except codecs.CodecError:
            continue  # which ones: test_codecs_real_files.py
        (tmp_path / "before" / path.name).write_bytes(data)
        (tmp_path / "after" / path.name).write_bytes(coded)
    before, after = dump(tmp_path / "before"), dump(tmp_path / "after")
    assert before.keys() == after.keys()
    allowed = re.compile("|".join(f"(?:{one})" for one in MEANT_TO_CHANGE.values()))
    wrong = {
        (name, tag, str(tags.get(tag)), str(after[name].get(tag)))
        for name, tags in before.items()
        for tag in tags.keys() | after[name].keys()
        if tags.get(tag) != after[name].get(tag)
        and not ABOUT_THE_FILE.match(tag)
        and not allowed.fullmatch(tag)
    }
    print(f"{len(before)} files, {sum(map(len, before.values()))} tags")
    assert wrong == set()
