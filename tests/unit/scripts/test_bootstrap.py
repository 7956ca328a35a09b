"""Estimates with intervals, on numbers worked by hand."""

import numpy as np
import pytest

from bootstrap import NUM_RESAMPLES, Estimate


def test_a_ratio_is_of_the_sums_not_the_mean_of_ratios() -> None:
    estimate = Estimate.ratio(np.array([1.0, 9.0]), np.array([1.0, 3.0]), of="a text")
    assert estimate.value == 2.5  # the mean of the ratios would be 2
    # Drawn are the first twice, one of each, or the second twice.
    assert set(np.round(estimate.resampled, 12)) == {1.0, 2.5, 3.0}
    assert len(estimate.resampled) == NUM_RESAMPLES


def test_the_interval_has_the_width_that_theory_gives() -> None:
    values = np.arange(400.0)
    low, high = Estimate.mean(values, of="a text").interval
    standard_error = values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.3 * standard_error)
    assert high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.3 * standard_error)


def test_differences_over_the_same_sentences_are_paired() -> None:
    values = np.random.default_rng(0).normal(size=50)
    above = Estimate.mean(values + 0.01, of="a text") - Estimate.mean(values, of="a text")
    assert above.interval == pytest.approx((0.01, 0.01))
    assert above.value == pytest.approx(0.01)


def test_differences_over_other_sentences_are_not_paired() -> None:
    """Not even where both samples have been sorted: the variance is the sum of both."""
    values = np.arange(400.0)
    change = Estimate.mean(values, of="a text") - Estimate.mean(values, of="another")
    low, high = change.interval
    standard_error = np.sqrt(2) * values.std() / np.sqrt(len(values))
    assert change.value == 0.0
    assert (high - low) / 2 == pytest.approx(1.96 * standard_error, rel=0.15)


def test_a_function_maps_the_number_and_its_resamples() -> None:
    estimate = Estimate.mean(np.array([0.0, 2.0]), of="a text").map(np.exp)
    assert estimate.value == pytest.approx(np.e)
    assert estimate.interval == pytest.approx((1.0, np.exp(2.0)))
    assert estimate.show(2) == "2.72 [1.00, 7.39]"
    assert (estimate - estimate).show(1, sign="+") == "+0.0 [+0.0, +0.0]"
