"""Intervals against tables, against each other, and by how often they cover the truth."""

import math

import numpy as np
import pytest

from latentgeo.eval.runs.statistics import (
    Estimate,
    exponential,
    function_of_means,
    jackknife,
    mean_interval,
    median_interval,
    proportion_interval,
    rank_correlation,
    ratio_interval,
    signed_rank_p,
)


def test_mean_interval_with_a_tabled_quantile():
    """t_{0.975} with 4 degrees of freedom is 2.776 in every table."""
    x = [1.0, 2.0, 4.0, 4.0, 9.0]
    found = mean_interval(x)
    half = 2.776 * np.std(x, ddof=1) / 5**0.5
    assert found.value == 4.0 and found.n == 5
    np.testing.assert_allclose(found.interval, [4 - half, 4 + half], atol=1e-3)  # 2.776 is rounded


def test_one_observation_says_nothing_about_spread():
    found = mean_interval([3.0])
    assert (found.value, found.low, found.high) == (3.0, -np.inf, np.inf)


def test_mean_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [mean_interval(rng.normal(7.0, 2.0, 6)) for _ in range(1500)]
    covered = np.mean([one.low <= 7.0 <= one.high for one in found])
    assert abs(covered - 0.95) < 0.02  # three standard errors are 0.017


@pytest.mark.parametrize("n", [*range(1, 19), 101])
def test_median_interval_is_the_shortest_that_covers_any_median(n):
    """As many values lie below the median as coins of n show heads, whatever is drawn."""
    found = median_interval(np.random.default_rng(n).permutation(n) + 1.0)

    def coverage(k):  # of x_(k) to x_(n+1-k)
        return sum(math.comb(n, below) for below in range(k, n - k + 1)) / 2**n

    assert found.value == (n + 1) / 2 and found.n == n
    if n < 6:
        assert found.interval == [-np.inf, np.inf] and coverage(1) < 0.95
        return
    k = int(found.low)
    assert found.high == n + 1 - k and coverage(k) >= 0.95 > coverage(k + 1)


def test_one_value_far_off_does_not_move_the_median_interval():
    rest = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
    near, far = median_interval([*rest, 2.0]), median_interval([*rest, 2e6])
    assert near == far and near.interval == [1.1, 1.7]


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1)],
)
def test_wilson_interval_of_published_examples(hits, n, low, high):
    """Values of the closed form, as in Newcombe (1998), to four digits."""
    found = proportion_interval(hits, n)
    np.testing.assert_allclose([found.low, found.high], [low, high], atol=2e-4)


@pytest.mark.parametrize(("hits", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_impossible_proportions_are_refused(hits, n):
    with pytest.raises(ValueError, match="hits and n"):
        proportion_interval(hits, n)


def test_bootstrap_of_a_mean_agrees_with_student():
    x = np.random.default_rng(0).normal(5.0, 1.0, 200)
    ours, student = function_of_means(lambda mean: mean, x), mean_interval(x)
    assert ours.value == pytest.approx(student.value)
    np.testing.assert_allclose(ours.interval, student.interval, atol=0.02)


def test_ratio_interval_cancels_what_pairs_share():
    """With b = 0.8 a exactly: the ratio is certain, however much a varies."""
    a = np.random.default_rng(0).lognormal(0.0, 2.0, 30)
    found = ratio_interval(0.8 * a, a)
    np.testing.assert_allclose([found.value, found.low, found.high], 0.8, rtol=1e-12)


def test_ratio_interval_is_wide_where_nothing_is_shared():
    rng = np.random.default_rng(0)
    found = ratio_interval(rng.lognormal(0, 1, 30), rng.lognormal(0, 1, 30))
    assert found.high - found.low > 0.3
    assert found.low < found.value < found.high


def test_ratio_is_of_the_means_not_the_mean_of_ratios():
    assert ratio_interval([1.0, 3.0], [1.0, 1.0]).value == 2.0
    assert ratio_interval([1.0, 1.0], [1.0, 3.0]).value == 0.5


def test_the_same_seed_is_the_same_interval():
    a, b = [1.0, 2.0, 4.0], [2.0, 2.0, 3.0]
    assert ratio_interval(a, b, seed=3) == ratio_interval(a, b, seed=3)


def test_jackknife_of_a_mean_is_students_of_group_means():
    """With as many groups as observations the jackknife of a mean is the classical interval."""
    x = np.random.default_rng(0).normal(size=23)
    found = jackknife(lambda kept: float(x[kept].mean()), 23, groups=23)
    np.testing.assert_allclose(found.interval, mean_interval(x).interval, rtol=1e-10)


def test_jackknife_needs_groups_it_can_leave_out():
    with pytest.raises(ValueError, match="groups"):
        jackknife(lambda kept: 0.0, 5, groups=6)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0], [1.0, 2.0], "pairs"),
        ([], [], r"\(n,\)"),
        ([1.0, np.nan], [1.0, 1.0], "not finite"),
        ([1.0, 1.0], [1.0, 0.0], "not positive"),
    ],
)
def test_bad_columns_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        ratio_interval(a, b)


def test_signed_rank_of_five_pairs_by_counting_signs():
    """Of the 32 signs of ranks 1..5, 2 are as one-sided as all positive, 6 as all but rank 2."""
    y = np.zeros(5)
    assert signed_rank_p([1, 2, 3, 4, 5], y) == pytest.approx(2 / 32)
    assert signed_rank_p([1, -2, 3, 4, 5], y) == pytest.approx(6 / 32)
    assert signed_rank_p([-1, 2, -3, -4, -5], y) == pytest.approx(6 / 32)
    assert signed_rank_p(y, y) == 1.0


def test_rank_correlation_covers_the_truth_as_often_as_it_says():
    """Spearman's of a normal pair with correlation r is 6/π arcsin(r/2)."""
    rng = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)
    covered = 0
    for _ in range(600):
        x, e = rng.normal(size=(2, 40))
        found = rank_correlation(x, 0.6 * x + 0.8 * e)
        covered += found.low <= truth <= found.high
    assert abs(covered / 600 - 0.95) < 0.03  # three standard errors are 0.027


def test_rank_correlation_sees_order_alone():
    x = np.arange(9.0)
    assert rank_correlation(x, x**3).value == pytest.approx(1)
    assert rank_correlation(x, -np.exp(x)).value == pytest.approx(-1)
    few = rank_correlation([1, 2, 3], [3, 1, 2])
    assert (few.low, few.high) == (-1, 1)


def test_a_ratio_estimated_by_its_log():
    found = exponential(Estimate(value=math.log(2), low=-math.inf, high=math.log(8), n=3))
    assert (found.low, found.n) == (0, 3)
    np.testing.assert_allclose([found.value, found.high], [2, 8])
