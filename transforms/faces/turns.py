"""Find faces on their side or upside down, and correct their landmarks.

RetinaFace was trained on upright faces. It finds most large rotated ones, with equally high scores,
but its landmarks are then off by up to the distance of the eyes, and the aligned crop is not the
one that a recogniser takes once somebody has rotated the photo upright. It gives most rotated faces
below some 60 pixels a low score. So a face with a low score or doubtful landmarks is cut out and
detected again, enlarged and at other angles. A photo without a certain face is also searched at the
other three quarter turns, at the coarse levels of the pyramid. Where any face proves rotated, the
whole photo is searched at that quarter turn for other faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from photoveil.transforms.faces.align import crop_face, invert
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.faces.pyramid import Pyramid
from photoveil.transforms.faces.rows import (
    SCORE,
    Detector,
    distortion,
    mapped,
    non_maximum_suppression,
    roll,
    sides,
)

# What is not doubtful. Of 126 faces in upright photos 12 % are; of the same faces turned by 90,
# 180 and 270 degrees all whose landmarks are off by more than 0.15 of the distance of the eyes.
_LIKELY_SCORE = 0.95
_LIKELY_ROLL = np.deg2rad(25)
_LIKELY_DISTORTION = 0.16
# What a view gains in rank by each unit of its score's log-odds, at most 12 of them. The score
# itself hardly tells a face seen upright (0.9999995) from the same one mistaken for one upside down
# (0.997), whose spectacles pass for a mouth.
_BY_LOG_ODDS, _MOST_LOG_ODDS = 0.02, 12.0

# A face below the least score by no more than this may still be one that is turned.
_SLACK = 0.1
# A faint candidate scores less than that and is small at the finest level, where larger faces score
# more. It counts only if it is likely once it is enlarged. Of 72 heads of 40 pixels turned by 90,
# 180 and 270 degrees 21 score 0.5 or more, and 59 score 0.05 or more.
_FAINTEST = 0.05
_LARGEST_FAINT = 64
_FAINT_RANK = 10.0  # by how much they rank below all others
# Cut-outs looked at for one photo, of 20 to 30 ms each: a crowd may not take minutes.
_MOST_LOOKS = 64
_MOST_FAINT_LOOKS = 16  # at faint candidates; leaves and stones may give many
_CUT_SIDE = 256
_FACE_SIDE = 88
_MOST_ENLARGED = 3.0


@dataclass(frozen=True)
class Candidate:
    """A row in pixels of the photo, and how it was detected.

    angle: by how much the photo was rotated anticlockwise for the detection, in radians.
    is_settled: it was detected again.
    """

    row: np.ndarray
    angle: float = 0.0
    is_settled: bool = False

    @property
    def score(self) -> float:
        """Return the detector's confidence, 0 to 1."""
        return float(self.row[SCORE])

    @cached_property
    def leaning(self) -> float:
        """Roll of the face in the rotated photo, -pi..pi."""
        return _wrapped(roll(self.row) - self.angle)

    @cached_property
    def distortion(self) -> float:
        """Return how unlike a face's the landmarks are; see `rows.distortion`."""
        return distortion(self.row)

    @property
    def is_doubtful(self) -> bool:
        """True if the score, the roll or the landmarks may be those of a turned face or of none."""
        return (
            self.score < _LIKELY_SCORE
            or abs(self.leaning) > _LIKELY_ROLL
            or self.distortion > _LIKELY_DISTORTION
        )

    @property
    def rank(self) -> float:
        """Return which of several views of a face to believe, higher for better.

        It is higher for one that is surely a face, with the landmarks of a face, upright. One of
        the whole photo is what the photo turned upright gives, and goes before a cut-out, unless it
        is doubtful.
        """
        plausible = self.score - self.distortion - abs(self.leaning) / np.pi
        certain = _BY_LOG_ODDS * _log_odds(self.score)
        return plausible + certain + (not self.is_settled and not self.is_doubtful)

    @property
    def quarter(self) -> int:
        """Quarter turns anticlockwise that put the face upright, 0..3."""
        return round((self.angle + self.leaning) / (np.pi / 2)) % 4


def find(
    pixels: np.ndarray,
    detector: Detector,
    parameters: DetectorParameters,
    also: Sequence[int] = (),
) -> np.ndarray:
    """Find the faces of a photo at any angle, float32 (n, 15) rows, best score first.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        also: quarter turns anticlockwise at which the photo is searched in any case.
    """
    looks = _Looks(pixels, detector, parameters)
    seen = looks.again(looks.turned(0))
    if all(one.is_doubtful for one in seen):
        # A small face on its side is mostly not found at all, where its photo is not turned.
        levels = parameters.turned_levels
        coarse = [one for k in (1, 2, 3) for one in looks.turned(k, levels)]
        seen = looks.again(looks.merged([*seen, *coarse]))
    searched = {0}
    for faint in (False, True):  # faint ones last: most are found at a turn that others prove
        seen = looks.again(seen, faint)
        turned = {one.quarter for one in seen if _is_turned(one, parameters)}
        for quarter in sorted({*turned, *also} - searched):
            seen = looks.again(looks.merged([*seen, *looks.turned(quarter)]), faint)
            searched.add(quarter)
    rows = [one.row for one in seen if one.score >= parameters.min_score]
    found = np.array(rows, np.float32).reshape(-1, SCORE + 1)
    return found[non_maximum_suppression(found, parameters.max_overlap)]


def _is_turned(one: Candidate, parameters: DetectorParameters) -> bool:
    return one.quarter != 0 and one.angle != 0 and one.score >= parameters.min_score


class _Looks:
    """One photo and the passes of the detector over it."""

    def __init__(
        self, pixels: np.ndarray, detector: Detector, parameters: DetectorParameters
    ) -> None:
        self._pixels = pixels
        self._pyramid = Pyramid(pixels, parameters)
        self._detector = detector
        self._parameters = parameters
        self._least = parameters.min_score - _SLACK
        self._largest_faint = _LARGEST_FAINT * max(pixels.shape[:2]) / max(self._pyramid.sizes[-1])
        self._left = {False: _MOST_LOOKS, True: _MOST_FAINT_LOOKS}  # by whether it is faint

    def turned(self, quarter: int, levels: int | None = None) -> list[Candidate]:
        """What the pyramid finds in the photo after quarter turns anticlockwise."""
        rows = self._pyramid.find(self._detector, quarter, levels)
        is_seen = rows[:, SCORE] >= self._least
        if levels is None:
            is_seen |= (rows[:, SCORE] >= _FAINTEST) & (sides(rows) <= self._largest_faint)
        rows = rows[is_seen]
        return [Candidate(row, quarter * np.pi / 2) for row in rows]

    def merged(self, seen: Sequence[Candidate]) -> list[Candidate]:
        """Of the views of each face the one to believe."""
        rows = np.array([one.row for one in seen]).reshape(-1, SCORE + 1)
        rank = np.array([one.rank - _FAINT_RANK * self._is_faint(one) for one in seen])
        kept = non_maximum_suppression(rows, self._parameters.max_overlap, rank)
        return [seen[index] for index in kept]

    def again(self, seen: Sequence[Candidate], faint: bool = False) -> list[Candidate]:
        """The same faces; those that are doubtful as they look at the angle that suits them.

        Args:
            faint: look at faint candidates too; else they stay as they are.
        """
        surely = self._parameters.min_score

        def urgency(index: int) -> tuple[bool, bool, float, int]:
            one = seen[index]
            is_faint = self._is_faint(one)
            by = one.score if is_faint else sides(one.row[np.newaxis])[0]
            return one.score < surely, is_faint, -by, index

        looked = list(seen)
        for index in sorted(range(len(seen)), key=urgency):
            one, is_faint = seen[index], self._is_faint(seen[index])
            is_skipped = one.is_settled or (is_faint and not faint)
            if one.is_doubtful and not is_skipped and self._left[is_faint] > 0:
                looked[index] = self._settled(one)
        return self.merged(looked)

    def _is_faint(self, one: Candidate) -> bool:
        return one.score < self._least

    def _settled(self, one: Candidate) -> Candidate:
        best = one
        # As it seems to lie, enlarged: a small face without a surrounding often scores low.
        is_plain = one.score >= _LIKELY_SCORE and abs(one.leaning) <= _LIKELY_ROLL
        own = [] if is_plain else [one.angle + one.leaning]
        for angle in (*own, *(one.angle + quarter * np.pi / 2 for quarter in (1, 2, 3))):
            best = self._better(best, one, angle)
            if not best.is_doubtful:
                break
        if abs(best.leaning) > _LIKELY_ROLL:
            best = self._better(best, one, best.angle + best.leaning)
        if self._is_faint(one) and best.score < _LIKELY_SCORE:
            return replace(one, is_settled=True)
        # That a face is there was known; how it is turned is what was asked.
        row = best.row.copy()
        row[SCORE] = max(best.score, one.score)
        return Candidate(row, best.angle, is_settled=True)

    def _better(self, best: Candidate, one: Candidate, angle: float) -> Candidate:
        """The better one of the best view so far and that with the photo turned by an angle."""
        self._left[self._is_faint(one)] -= 1
        side = sides(one.row[np.newaxis])[0]
        scale = min(_FACE_SIDE / max(side, 1.0), _MOST_ENLARGED)
        cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
        linear = np.array([[cosine, sine], [-sine, cosine]])
        centre = (one.row[0:2] + one.row[2:4]) / 2
        matrix = np.column_stack([linear, _CUT_SIDE / 2 - linear @ centre])
        rows = self._detector(crop_face(self._pixels, matrix, _CUT_SIDE))
        rows = rows[rows[:, SCORE] >= self._least]
        views = [Candidate(row, angle) for row in mapped(rows, invert(matrix))]
        views = [view for view in views if _same_place(view.row, one.row)]
        return max([best, *views], key=lambda view: view.rank)


def _same_place(row: np.ndarray, other: np.ndarray) -> bool:
    side, expected = sides(np.stack([row, other]))
    apart = np.abs((row[0:2] + row[2:4]) - (other[0:2] + other[2:4])).max() / 2
    return bool(apart < 0.4 * expected and 0.5 < side / max(expected, 1e-9) < 2)


def _log_odds(score: float) -> float:
    """Log-odds of a score, at most `_MOST_LOG_ODDS`; a score of 1 is one that was rounded."""
    return min(float(np.log(score) - np.log1p(-min(score, 1 - 1e-7))), _MOST_LOG_ODDS)


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
