"""Restart markers after a number of rows of a JPEG (ITU-T T.81, B.2.4.4).

An interval is counted in MCUs. Counted in rows, it differs between the scans of a progressive file,
because a row of one component or of all together has more or fewer MCUs.
"""

from __future__ import annotations

from collections.abc import Callable

from photoveil.transforms.codecs import segments
from photoveil.transforms.codecs.segments import Segment

_BLOCK = 8
_DRI = 0xDD
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_MOST = 65535


def rows(parts: list[Segment]) -> int:
    """Return the restart interval in rows, if its MCUs differ between scans; else 0."""
    interval, found = 0, []
    for part in parts:
        if part.marker == _DRI:
            interval = int.from_bytes(part.payload, "big")
        elif part.marker == segments.SOS:
            found.append((interval, _across(parts, part)))
    count = found[0][0] // found[0][1] if len({interval for interval, _ in found}) > 1 else 0
    return count if all(one == min(count * across, _MOST) for one, across in found) else 0


def in_rows(count: int, write: Callable[[int], bytes]) -> bytes:
    """Write a progressive JPEG with a restart marker after every `count` rows of each scan.

    Args:
        count: of rows.
        write: from an interval in MCUs to the file with that interval in all scans; nothing else in
            the file depends on it.
    """
    first = segments.split(write(1))[0]
    scans = [part for part in first if part.marker == segments.SOS]
    intervals = [min(count * _across(first, scan), _MOST) for scan in scans]
    written = {one: _by_scan(segments.split(write(one))[0]) for one in set(intervals)}
    parts, last = [], 0
    for number, interval in enumerate(intervals):
        *before, scan = written[interval][number]
        if interval != last:
            before.append(Segment(_DRI, interval.to_bytes(2, "big")))
        parts += [*before, scan]
        last = interval
    return segments.join(parts)


def _across(parts: list[Segment], scan: Segment) -> int:
    """Return how many MCUs a row of a scan has."""
    frame = next(part.payload for part in parts if part.marker in _FRAMES)
    width = int.from_bytes(frame[3:5], "big")
    factors = {frame[at]: frame[at + 1] >> 4 for at in range(6, len(frame), 3)}
    components = scan.payload[1 : 1 + 2 * scan.payload[0] : 2]
    wide = factors[components[0]] if len(components) == 1 else 1
    return -(-width * wide // (_BLOCK * max(factors.values())))


def _by_scan(parts: list[Segment]) -> list[list[Segment]]:
    """Return each scan with the segments in front of it, except its restart interval."""
    groups: list[list[Segment]] = [[]]
    for part in parts:
        if part.marker != _DRI:
            groups[-1].append(part)
        if part.marker == segments.SOS:
            groups.append([])
    return groups[:-1]
