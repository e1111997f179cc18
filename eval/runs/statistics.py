"""Intervals for the numbers that a report states: t, Wilson, paired bootstrap, grouped jackknife.

And two statements about ranks: Wilcoxon's test of pairs, Spearman's correlation.

Every interval is two-sided. Nothing here touches the global random state: what resamples takes a
seed.

Columns (n,) that are empty, not finite or of another shape are a ValueError that names them.

Notation: n observations x_i, mean x̄, standard deviation s with n - 1 in its denominator.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95  # two-sided coverage
RESAMPLES = 10_000  # of a bootstrap; the ends of its interval are then stable to about 1 %
PART = 1_000  # resamples at a time, which bounds the memory


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its interval [low, high] and the number of observations behind it."""

    value: float
    low: float
    high: float
    n: int

    @property
    def interval(self) -> list[float]:
        """The interval as JSON holds it."""
        return [self.low, self.high]

    def __str__(self) -> str:
        """Three significant digits: `0.412 [0.398, 0.427]`."""
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def mean_interval(x: ArrayLike, level: float = LEVEL) -> Estimate:
    """Return the mean of x (n,) with Student's interval x̄ ± t_{n-1} s / √n; n = 1 gives ±∞."""
    from scipy.stats import t as student

    values = _vector("x", x)
    n, mean = len(values), float(values.mean())
    if n == 1:
        return Estimate(value=mean, low=-np.inf, high=np.inf, n=1)
    half = float(student.ppf(0.5 + level / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(value=mean, low=mean - half, high=mean + half, n=n)


def median_interval(x: ArrayLike, level: float = LEVEL) -> Estimate:
    """Return the median of x (n,) with the interval of two order statistics; n < 6 gives ±∞.

    Of any distribution: the median is below x_(k) with P[Bin(n, 1/2) < k], which is at most half of
    what `level` leaves. One value far off moves neither, as it would a mean.
    """
    from scipy.stats import binom

    values = np.sort(_vector("x", x))
    n, median = len(values), float(np.median(values))
    k = int(binom.ppf(0.5 - level / 2, n, 0.5))  # the least with P[Bin <= k] at least that
    if k < 1:
        return Estimate(value=median, low=-np.inf, high=np.inf, n=n)
    return Estimate(value=median, low=float(values[k - 1]), high=float(values[n - k]), n=n)


def proportion_interval(hits: int, n: int, level: float = LEVEL) -> Estimate:
    """Return hits / n with Wilson's interval, which stays inside [0, 1] and is right at 0 and 1.

    Wilson (1927)   (p̂ + z²/2n ± z √(p̂(1 - p̂)/n + z²/4n²)) / (1 + z²/n)

    Raises ValueError unless 0 ≤ hits ≤ n and n ≥ 1.
    """
    from scipy.stats import norm

    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"hits and n: got {hits} of {n}, wanted 0 <= hits <= n and n >= 1")
    z, p = float(norm.ppf(0.5 + level / 2)), hits / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low, high = max(0.0, float(centre - half)), min(1.0, float(centre + half))
    return Estimate(value=p, low=min(low, p), high=max(high, p), n=n)


def function_of_means(
    f: Callable[..., NDArray[np.float64]],
    *columns: ArrayLike,
    seed: int = 0,
    level: float = LEVEL,
) -> Estimate:
    """Return f(mean of each column), columns (n,), with a paired bootstrap's percentile interval.

    Entry i of every column belongs to the same prompt, so that a resample draws whole prompts: what
    two models share (an easy caption, a close pair of noises) cancels as it should. f takes and
    returns arrays, one entry per resample.
    """
    rows = np.stack([_vector(f"column {i}", x) for i, x in enumerate(columns)], axis=1)  # (n, k)
    n, rng = len(rows), np.random.default_rng(seed)
    draws = [
        f(*(rng.multinomial(n, np.full(n, 1 / n), size=PART) @ rows / n).T)
        for _ in range(RESAMPLES // PART)
    ]
    low, high = np.quantile(np.concatenate(draws), [0.5 - level / 2, 0.5 + level / 2])
    value = float(f(*(rows.mean(axis=0)[:, None]))[0])
    return Estimate(value=value, low=float(low), high=float(high), n=n)


def ratio_interval(
    numerator: ArrayLike, denominator: ArrayLike, seed: int = 0, level: float = LEVEL
) -> Estimate:
    """Return mean(numerator) / mean(denominator), both (n,) and paired, with its interval.

    Raises ValueError for columns of different lengths, and for a denominator that is not positive.
    """
    a, b = _vector("numerator", numerator), _vector("denominator", denominator)
    if len(a) != len(b):
        raise ValueError(f"numerator and denominator: got {len(a)} and {len(b)}, wanted pairs")
    if (b <= 0).any():
        raise ValueError("denominator: got a value that is not positive")
    return function_of_means(np.divide, a, b, seed=seed, level=level)


def jackknife(
    statistic: Callable[[NDArray[np.int64]], float],
    n: int,
    groups: int = 10,
    seed: int = 0,
    level: float = LEVEL,
) -> Estimate:
    """Return statistic(all n indices) with an interval from leaving out one random group at a time.

    For statistics of a whole set, such as a Fréchet distance, that a bootstrap's repeated entries
    would bias. Standard error √((g-1)/g Σ (θ_(j) - θ̄)²), Student's t with g - 1 degrees of freedom.
    Raises ValueError unless 2 ≤ groups ≤ n.
    """
    from scipy.stats import t as student

    if not 2 <= groups <= n:
        raise ValueError(f"groups must lie in 2..{n}, got {groups}")
    order = np.random.default_rng(seed).permutation(n)
    without = [np.setdiff1d(order, part) for part in np.array_split(order, groups)]
    left = np.array([statistic(kept) for kept in without])
    error = np.sqrt((groups - 1) / groups * ((left - left.mean()) ** 2).sum())
    half = float(student.ppf(0.5 + level / 2, groups - 1) * error)
    value = statistic(np.arange(n))
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def exponential(one: Estimate) -> Estimate:
    """Return e to the power of an estimate: a product or a ratio that was estimated by its log."""
    value, low, high = (float(np.exp(x)) for x in (one.value, one.low, one.high))
    return Estimate(value=value, low=low, high=high, n=one.n)


def signed_rank_p(x: ArrayLike, y: ArrayLike) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test that x - y (n,) lies evenly about 0.

    OT Sec. 5b   whether one coupling is smoother than another

    Pairs without a difference are left out; without any difference p is 1.
    """
    from scipy.stats import wilcoxon

    difference = _vector("x", x) - _vector("y", y)
    return float(wilcoxon(difference).pvalue) if difference.any() else 1.0


def rank_correlation(x: ArrayLike, y: ArrayLike, level: float = LEVEL) -> Estimate:
    """Return Spearman's correlation of x and y (n,), in -1..1; n below 4 gives the whole range.

    Fieller, Hartley & Pearson (1957)   artanh(r) ± z √(1.06 / (n - 3))
    """
    from scipy.stats import norm, spearmanr

    a, b = _vector("x", x), _vector("y", y)
    n = len(a)
    if n < 4:
        return Estimate(value=float(spearmanr(a, b)[0]) if n > 1 else 0.0, low=-1, high=1, n=n)
    r = float(spearmanr(a, b)[0])
    half = float(norm.ppf(0.5 + level / 2)) * (1.06 / (n - 3)) ** 0.5
    middle = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    return Estimate(
        value=r, low=float(np.tanh(middle - half)), high=float(np.tanh(middle + half)), n=n
    )


def _vector(name: str, x: ArrayLike) -> NDArray[np.float64]:
    """Return x as a non-empty finite float64 vector."""
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{name}: got shape {values.shape}, wanted (n,) with n >= 1")
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: got values that are not finite")
    return values
