"""Read each photo once, several at a time."""

from __future__ import annotations

from functools import partial

import apache_beam as beam

from photoveil.transforms.beam.thread_map import ThreadMap
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.photo.read import read_photo
from photoveil.transforms.records import ContentGroup, ReadPhoto

_AHEAD = 2  # photos: one is looked at, the next is read


class ReadPhotos(beam.PTransform):
    """Read the first file of each `ContentGroup`: pairs of the group and its `ReadPhoto`."""

    def __init__(self, limits: ReadLimits) -> None:
        super().__init__()
        self._limits = limits

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        read = partial(read_group, self._limits)
        return groups | "Read" >> beam.ParDo(ThreadMap("read", read, _one, _AHEAD))


def read_group(limits: ReadLimits, group: ContentGroup) -> tuple[ContentGroup, ReadPhoto]:
    """Read the first file of a group, and look for other pictures inside it."""
    return group, read_photo(group.ref, limits, look_inside=True)


def is_sound(item: tuple[ContentGroup, ReadPhoto]) -> bool:
    """Tell whether the file is a photo that was decoded."""
    return not item[1].status


def _one(group: ContentGroup) -> float:
    return 1  # how many pixels a file has is not known before it is read
