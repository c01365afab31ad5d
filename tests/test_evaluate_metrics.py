"""Figures of the tracker, on constructed distances with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from photoveil.transforms.evaluate import metrics
from photoveil.transforms.evaluate.metrics import Tally

NAN = float("nan")


def test_rank_counts_the_other_people_who_are_nearer() -> None:
    # Gallery: two faces of person 0, one each of persons 1 and 2.
    distances = np.array([[0.9, 0.4, 0.3, 0.8], [0.1, 0.2, 0.5, 0.4]])
    gallery = np.array([0, 0, 1, 2])
    assert metrics.ranks(distances, np.array([0, 2]), gallery).tolist() == [2, 2]
    assert metrics.ranks(distances, np.array([1, 0]), gallery).tolist() == [1, 1]


def test_several_near_faces_of_one_other_person_cost_one_rank() -> None:
    distances = np.array([[0.1, 0.2, 0.3, 0.4]])
    assert metrics.ranks(distances, np.array([1]), np.array([0, 0, 0, 1])).tolist() == [2]


def test_a_person_who_is_not_enrolled_or_has_no_face_is_never_found() -> None:
    gallery = np.array([0, 1])
    assert metrics.ranks(np.array([[0.1, 0.2]]), np.array([5]), gallery) == [np.inf]
    assert metrics.ranks(np.array([[NAN, 0.2]]), np.array([0]), gallery) == [np.inf]
    assert metrics.ranks(np.array([[NAN, NAN]]), np.array([0]), gallery) == [np.inf]


def test_a_photo_is_not_searched_for_in_itself() -> None:
    distances = np.array([[0.0, 0.7, 0.5]])
    people, gallery = np.array([0]), np.array([0, 0, 1])
    assert metrics.ranks(distances, people, gallery) == [1]
    comparable = np.array([[False, True, True]])
    assert metrics.ranks(distances, people, gallery, comparable) == [2]


@pytest.mark.parametrize(("rate", "matching"), [(0.0, 0), (0.01, 1), (0.1, 10), (1.0, 100)])
def test_no_more_impostors_match_than_the_rate_allows(rate: float, matching: int) -> None:
    impostors = np.random.default_rng(3).permutation(np.linspace(0.5, 1.5, 100))
    threshold = metrics.false_match_threshold(impostors, rate)
    assert (impostors <= threshold).sum() == matching


def test_tied_impostors_match_together_or_not_at_all() -> None:
    threshold = metrics.false_match_threshold(np.array([0.5, 0.5, 0.9, 1.0]), 0.25)
    assert threshold < 0.5


def test_a_tally_is_the_mean_over_all_values_not_over_people() -> None:
    rate = metrics.tally(np.array([1, 1, 1, 0]), np.array([0, 0, 0, 1]), 3)
    assert rate.mean == 0.75
    assert rate.count.tolist() == [3, 1, 0]
    assert np.isnan(metrics.tally(np.array([]), np.array([], int), 3).mean)


def test_the_interval_resamples_people() -> None:
    # All of a person's photos agree: many photos of few people tell little.
    few = Tally(np.array([100.0, 0.0]), np.array([100, 100]))
    assert metrics.bootstrap_interval(few) == (0.0, 1.0)
    many = Tally(np.tile([1.0, 0.0], 200), np.ones(400, int))
    low, high = metrics.bootstrap_interval(many)
    # Binomial: 0.5 +- 1.96 * sqrt(0.25 / 400).
    assert low == pytest.approx(0.451, abs=0.01)
    assert high == pytest.approx(0.549, abs=0.01)


def test_one_person_gives_no_interval() -> None:
    assert np.isnan(metrics.bootstrap_interval(Tally(np.array([3.0]), np.array([4])))).all()
