"""A scanned photo is the same after it was stored in the table of scans."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from photoveil.pipeline.state.scan_table import SCHEMA
from photoveil.pipeline.state.scans import from_row, to_row
from photoveil.transforms.records import (
    CROP_SIZE,
    EmbeddedKind,
    FileKind,
    Leak,
    PhotoRef,
    ScannedPhoto,
    Status,
)


def read_back(photo: ScannedPhoto) -> ScannedPhoto:
    (row,) = pa.Table.from_pylist([to_row(photo)], SCHEMA).to_pylist()
    return from_row(row)


def scanned(status: Status | FileKind | None = None, inside: tuple[Leak, ...] = ()) -> ScannedPhoto:
    crops = np.empty((0, CROP_SIZE, CROP_SIZE, 3), np.uint8)
    return ScannedPhoto(
        PhotoRef("/photos", "a.jpg", 3, 5.0),
        *("ab" * 32, "JPEG", 40, 30, (), crops),
        status=status,
        inside=inside,
    )


@pytest.mark.parametrize("kind", EmbeddedKind)
def test_what_is_embedded_is_a_member_of_its_enum_again(kind: EmbeddedKind) -> None:
    (leak,) = read_back(scanned(inside=(Leak("JPEG at byte 1,234", kind),))).inside
    assert leak.where == "JPEG at byte 1,234"
    assert leak.what is kind


@pytest.mark.parametrize("status", [None, Status.FAILED, *FileKind])
def test_a_status_is_a_member_of_its_enum_again(status: Status | FileKind | None) -> None:
    assert read_back(scanned(status)).status is status
