"""Reductions, tests and levels of walks whose numbers are made up, so that all is known."""

import numpy as np
import pytest

from latentgeo.eval.audit.errors import deviates
from latentgeo.eval.transport.results import (
    LARGEST,
    LPIPS,
    METRICS,
    PATH,
    compared,
    transport_results,
)

ROUNDING = 1e-12  # where all pairs have one reduction, the interval is its rounding errors
FACTOR = {"index": 1.0, "optimal": 0.8, "random": 1.1}  # of LPIPS, as the rows are made


@pytest.fixture(scope="module")
def found(walk_rows):
    made = transport_results("m", compared(walk_rows()), 0, {"seed": 0})
    return {(one.model, one.metric): one for one in made}


def test_means_are_over_pairs(found, walk_rows):
    """OT Sec. 5: the mean over a walk, its noises, and the pairs."""
    expected = [
        np.mean([np.mean(row["couplings"]["optimal"]["lpips"]) for row in walk_rows()[k::2]])
        for k in (0, 1)
    ]
    one = found["m: optimal", LPIPS]
    assert one.value == pytest.approx(np.mean(expected)) and one.n == 25
    walks = compared(walk_rows())
    for pair in (0, 13):
        own = [row["couplings"]["optimal"]["lpips"] for row in walk_rows() if row["pair"] == pair]
        assert walks.values["optimal"][LPIPS][pair] == pytest.approx(np.mean(own))


@pytest.mark.parametrize("metric", METRICS)
def test_reductions_are_what_was_put_in(found, metric):
    """OT Sec. 5b: the shares by which walks were made shorter, within their intervals."""
    for name, factor in FACTOR.items():
        one = found.get((f"m: {name}", f"{metric}, reduction from index"))
        assert (one is None) == (name == "index")
        if one is not None:
            low, high = one.interval
            spread = max((high - low) / 3.92, ROUNDING)
            assert deviates(one.value, 1 - factor, spread, 25) < 4
            assert low - ROUNDING <= one.value <= high + ROUNDING and high - low < 0.02
            p = found[f"m: {name}", f"{metric}, Wilcoxon's p against index"]
            assert p.value < 1e-6 and p.interval is None and p.n == 25


def test_levels_have_their_own_pairs(found):
    """OT Sec. 5c: no level and no trend differs where all were made shorter alike."""
    for level in range(1, 6):
        one = found["m: optimal", f"{LPIPS}, reduction from index, similarity {level} of 5"]
        assert one.n == 5 and abs(one.value - 0.2) < 0.02
    trend = found["m: optimal", "rank correlation of that reduction with similarity"]
    assert trend.interval is not None and trend.interval[0] < 0 < trend.interval[1]


def test_pairs_are_counted(found):
    assert found["m: optimal", "pairs with less LPIPS than index"].value == 1
    assert found["m: random", "pairs with less LPIPS than index"].value == 0


def test_the_largest_step_is_a_share(found):
    for name in FACTOR:
        assert found[f"m: {name}", LARGEST].value == pytest.approx(0.5)


def test_a_walk_that_stands_still_is_no_reduction(walk_rows):
    still = walk_rows()
    for row in still[:2]:
        for walk in row["couplings"].values():
            walk["lpips"] = [0.0, 0.0, 0.0]
    walks = compared(still)
    assert walks.reductions("optimal")[0] == 0 and walks.values["index"][LARGEST][0] == 0


def test_clouds_are_described(found):
    assert found["m", "padding, share of the tokens"].value == 0.5
    assert found["m", "index distance, ratio to W2"].value == pytest.approx(1.25)
    assert found["m", "Gaussian W2, ratio to W2"].value == pytest.approx(0.5)


def test_pairs_are_in_order_whatever_the_rows(walk_rows):
    turned = walk_rows()[::-1]
    walks = compared(turned)
    assert walks.similarity.tolist() == sorted(walks.similarity.tolist())
    np.testing.assert_allclose(
        walks.values["optimal"][PATH], compared(walk_rows()).values["optimal"][PATH]
    )
