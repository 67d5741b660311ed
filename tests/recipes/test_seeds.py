"""Means and paired differences against NumPy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tightbound.recipes.seeds import error_of_mean, interval_over_seeds, mean_over, paired_difference


def test_the_mean_and_its_standard_error_are_numpys():
    values = np.random.default_rng(0).normal(-90, 2, 7)
    mean = mean_over(list(values))
    assert mean.value == pytest.approx(values.mean(), rel=1e-14)
    assert mean.error == pytest.approx(values.std(ddof=1) / math.sqrt(7), rel=1e-12)
    assert mean.seeds == 7


def test_one_run_has_no_error_over_seeds():
    assert mean_over([-93.5]) == (-93.5, None, 1)


def test_the_difference_is_taken_within_seeds_that_both_have():
    """Differences 1, 2 and 6: mean 3, s² = (4 + 1 + 9)/2 = 7; the fourth and the ninth seed have no partner."""
    ours = {0: 11.0, 1: 22.0, 2: 36.0, 4: 1000.0}
    baseline = {0: 10.0, 1: 20.0, 2: 30.0, 9: -1000.0}
    difference = paired_difference(ours, baseline)
    assert difference is not None
    assert difference.value == 3
    assert difference.error == pytest.approx(math.sqrt(7 / 3), rel=1e-15)
    assert difference.seeds == 3
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_the_interval_over_seeds_is_students():
    """t(4; 0.975) = 2.776445, of any table."""
    low, high = interval_over_seeds(mean_over([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert (low, high) == pytest.approx((3 - 2.776445 * math.sqrt(0.5), 3 + 2.776445 * math.sqrt(0.5)), abs=1e-6)
    assert interval_over_seeds(mean_over([1.0])) is None


def test_independent_errors_add_in_squares_and_correlated_ones_to_no_more_than_their_mean():
    """The two bounds that the docstring states, on draws: errors 0.3 and 0.4, independent and fully correlated."""
    noise = np.random.default_rng(0).normal(size=(2, 200_000))
    independent = (0.3 * noise[0] + 0.4 * noise[1]) / 2
    correlated = (0.3 + 0.4) * noise[0] / 2
    assert independent.std() == pytest.approx(error_of_mean([0.3, 0.4]), rel=0.01)
    assert correlated.std() == pytest.approx((0.3 + 0.4) / 2, rel=0.01)


def test_monte_carlo_errors_of_independent_runs_add_in_squares():
    assert error_of_mean([0.3, 0.4]) == pytest.approx(0.25, rel=1e-15)
    assert error_of_mean([0.3, None]) is None
    assert error_of_mean([]) is None
