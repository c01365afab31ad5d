"""Identification and verification figures from distances, with bootstrap intervals.

The terms are those of NIST's FRVT (Grother et al., NISTIR 8271 and 8280): a probe is searched for
in a gallery (identification: rank), or compared with one gallery face (verification: match or no
match at a threshold that gives a stated rate of false matches).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tally:
    """A rate or mean over things that belong to people, kept by person for resampling.

    total: float (n,) sum of the values of each person. count: int (n,) number of values.
    """

    total: np.ndarray
    count: np.ndarray

    @property
    def mean(self) -> float:
        """Over all values of all people; NaN where there is none."""
        count = int(self.count.sum())
        return float(self.total.sum() / count) if count else float("nan")


def tally(values: np.ndarray, owners: np.ndarray, people: int) -> Tally:
    """Sum the values by person.

    Args:
        values: (m,) numbers or truth values.
        owners: int (m,) person of each, 0..people - 1.
    """
    return Tally(
        np.bincount(owners, np.asarray(values, np.float64), people),
        np.bincount(owners, minlength=people),
    )


def bootstrap_interval(
    rate: Tally, confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Compute the percentile bootstrap (Efron & Tibshirani 1993, ch. 13) of a tally's mean.

    People are resampled, not photos, because the results of one person's photos are correlated.

    Returns:
        Lower and upper end; NaN where there are fewer than two people with values.
    """
    known = rate.count > 0
    total, count = rate.total[known], rate.count[known]
    if len(count) < 2:
        return float("nan"), float("nan")
    chosen = np.random.default_rng(seed).integers(0, len(count), (draws, len(count)))
    means = total[chosen].sum(axis=1) / count[chosen].sum(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def ranks(
    distances: np.ndarray,
    probe_people: np.ndarray,
    gallery_people: np.ndarray,
    comparable: np.ndarray | None = None,
) -> np.ndarray:
    """Rank the right person in the search of each probe, 1 for the best.

    A person is as near as the nearest of their gallery faces; the rank is one more than the number
    of other people who are nearer. On a tie the right person counts as found.

    Args:
        distances: float (P, G) from each probe to each gallery face; NaN where there is no face.
        probe_people: int (P,).
        gallery_people: int (G,).
        comparable: bool (P, G), False where the probe is not searched for in that gallery face
            (it is the same photo); by default all are compared.

    Returns:
        float (P,); infinity where the right person is not in the gallery or no face was found.
    """
    usable = np.isfinite(distances)
    if comparable is not None:
        usable &= comparable
    distances = np.where(usable, distances, np.inf)
    people = np.unique(gallery_people)
    nearest = np.stack([distances[:, gallery_people == p].min(axis=1) for p in people], axis=1)
    right = np.where(probe_people[:, np.newaxis] == people, nearest, np.inf).min(axis=1)
    found = 1.0 + (nearest < right[:, np.newaxis]).sum(axis=1)
    return np.where(np.isfinite(right), found, np.inf)


def false_match_threshold(impostors: np.ndarray, rate: float) -> float:
    """Find the largest threshold at which no more than `rate` of the impostor pairs match.

    A pair matches when its distance is at or below the threshold.

    Args:
        impostors: float (n,) distances between different people, n >= 1.
        rate: 0..1.
    """
    ordered = np.sort(impostors)
    allowed = int(np.floor(rate * len(ordered) + 1e-9))
    if allowed >= len(ordered):
        return float(ordered[-1])
    # Just below the first impostor that must not match: ties with it must not match either.
    return float(np.nextafter(ordered[allowed], -np.inf))
