"""Bytes written as text: base64 and base64url (RFC 4648), and hexadecimal digits."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy as np

# What may stand within a text: line breaks, as they are or as XML and JSON write them, and the
# other half of each character of UTF-16.
_BREAK = rb"(?:[ \t\r\n\0]|&#(?:x[AaDd9]|10|13|9);|\\[nrt])"
# JSON may write "/" and "+" in other ways.
_BASE64 = re.compile(
    rb"(?:[A-Za-z0-9+/_-]\0?){8,}"
    rb"(?:(?:%b|\\/|\\u00(?:2[BbFf]|3[Dd]|0[AaDd]))+[A-Za-z0-9+/_-]+)*(?:=\0?){0,2}%b*"
    % (_BREAK, _BREAK)
)
_LEAST = 22  # digits, of the smallest picture's head
_HEX = re.compile(rb"(?:[0-9A-Fa-f]\0?[0-9A-Fa-f](?:%b|[:,;%%-]|0x|\\x){0,4}){32,}" % _BREAK)
_NO_HEX_DIGITS = re.compile(rb"0x|\\x|&#\w+;|\\[nrt]|[^0-9A-Fa-f]")
_ESCAPED = re.compile(rb"\\u00([0-9A-Fa-f]{2})")
_NO_BASE64_DIGITS = re.compile(rb"&#\w+;|\\[nrt]|[^A-Za-z0-9+/]")
_URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
# How JPEG, PNG, GIF, RIFF, TIFF, gzip and ZIP begin in base64: other text may lie right before it.
_BASE64_BEGINNINGS = re.compile(rb"/9j/|iVBORw0KGgo|R0lGOD|UklGR|SUkqA|TU0AK|H4sI|UEsDB")
# Between two strings that are one text: JSON's strings and keys, XML's tags and attributes.
_BETWEEN_STRINGS = re.compile(
    rb"\s*(?:"
    rb"\"[\s,:\[\]{}]*(?:\"[^\"\\]{0,64}\"\s*:[\s\[{]*)*\""
    rb"|[\"']\s+[\w:.-]{1,64}\s*=\s*[\"']"
    rb"|(?:<[^<>]{1,200}>\s*)+"
    rb")\s*"
)


# All that a match consists of: in the pixels of a photo few runs of it are long enough.
_BASE64_BYTES = re.compile(rb"[A-Za-z0-9+/_\-\0 \t\r\n&#;\\=]")
_HEX_BYTES = re.compile(rb"[A-Fa-f0-9\0 \t\r\n&#;\\:,%\-xnrt]")
_BASE64_RUN, _HEX_RUN = 8, 64  # bytes of a match, at least

_FIRST = 1 << 16  # digits that are decoded before it is known that more are needed


@dataclass(frozen=True)
class Text:
    """A text that codes bytes, in one or several strings.

    spans: start and end of each string.
    ends: number of digits up to the end of each string.
    per_digit: bits of a digit.
    """

    spans: tuple[tuple[int, int], ...]
    ends: tuple[int, ...]
    digits: bytes
    per_digit: int

    def beginnings(self) -> list[int]:
        """Return the digits from which it may be decoded.

        It is uncertain where the coded bytes begin.
        """
        if self.per_digit == 4:
            return [0, 1]
        heads = (head.start() for head in _BASE64_BEGINNINGS.finditer(self.digits))
        return sorted({0, 1, 2, 3, *heads})

    def decoded(self, start: int) -> Iterator[tuple[bytes, bool]]:
        """Decode from a digit on, in ever longer parts.

        Yields:
            The bytes up to there, and whether these are all.
        """
        count, is_all = _FIRST, False
        while not is_all:
            is_all = start + count >= len(self.digits)
            yield self._decoded(self.digits[start : start + count]), is_all
            count *= 4

    def of(self, start: int, first: int, end: int) -> list[tuple[int, int]]:
        """Return the strings with the bytes `first` to `end` of what is decoded from `start` on."""
        low = start + first * 8 // self.per_digit
        high = start + -(-end * 8 // self.per_digit)
        begins = (0, *self.ends)
        return [
            span
            for span, begin, stop in zip(self.spans, begins, self.ends, strict=False)
            if begin < high and stop > low
        ]

    def _decoded(self, text: bytes) -> bytes:
        if self.per_digit == 4:
            return bytes.fromhex(text[: len(text) // 2 * 2].decode("ascii"))
        return base64.b64decode(text[: len(text) - (len(text) % 4 == 1)] + b"===")


def texts(data: bytes) -> Iterator[Text]:
    """Find every text of base64 or hexadecimal digits.

    Strings that may belong together count as one.
    """
    kinds = ((_BASE64, _BASE64_BYTES, _BASE64_RUN, 6), (_HEX, _HEX_BYTES, _HEX_RUN, 4))
    for pattern, of, least, per_digit in kinds:
        group: list[re.Match[bytes]] = []
        matches = (pattern.finditer(data, *run) for run in _runs(data, of, least))
        for match in chain.from_iterable(matches):
            if group and not _BETWEEN_STRINGS.fullmatch(data, group[-1].end(), match.start()):
                yield from _joined(group, per_digit)
                group = []
            group.append(match)
        yield from _joined(group, per_digit)


def _runs(data: bytes, of: re.Pattern[bytes], least: int) -> Iterator[tuple[int, int]]:
    """Find where at least so many bytes of a set, which a pattern describes, follow each other."""
    members = bytes(bool(of.fullmatch(bytes([byte]))) for byte in range(256))
    is_within = np.frombuffer(data.translate(members), bool)
    length = 1
    while length < least:  # True where so many bytes of the set begin
        step = min(length, least - length)
        is_within = is_within[: max(0, len(is_within) - step)] & is_within[step:]
        length += step
    edges = np.diff(is_within, prepend=False, append=False)
    for start, stop in np.flatnonzero(edges).reshape(-1, 2).tolist():
        yield start, stop - 1 + least


def _joined(group: list[re.Match[bytes]], per_digit: int) -> Iterator[Text]:
    strings = [_digits(match[0], per_digit) for match in group]
    ends = tuple(accumulate(map(len, strings)))
    if ends and ends[-1] >= _LEAST:
        yield Text(tuple(match.span() for match in group), ends, b"".join(strings), per_digit)


def _digits(text: bytes, per_digit: int) -> bytes:
    if per_digit == 4:
        return _NO_HEX_DIGITS.sub(b"", text)
    plain = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), text)
    return _NO_BASE64_DIGITS.sub(b"", plain.translate(_URL_ALPHABET))
