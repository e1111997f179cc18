"""Ratios of shares: of edits that the base hardly ever makes there is none."""

import numpy as np
import pytest

from latentgeo.eval.compare.samples import is_enough, share_ratio


def test_a_ratio_needs_hits_of_the_base():
    """A resample of n edits with k hits has no hit with (1 - k / n)^n: 0.6 % of 5, 36 % of 1."""
    n, k = 31, 5
    theirs = np.r_[np.ones(k), np.zeros(n - k)]
    assert (1 - k / n) ** n < 0.025 < (1 - 1 / n) ** n
    assert is_enough(theirs) and not is_enough(np.r_[theirs[1:], 0])
    assert is_enough(np.full(3, 0.5)) and not is_enough(np.array([0.5, 0, 0.5]))
    found = share_ratio(np.ones(n), theirs)
    assert found.value == pytest.approx(n / k) and n / k < found.high < 2 * n
