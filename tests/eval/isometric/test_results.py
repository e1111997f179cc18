"""Results of made-up rows: means, ratios to the first model, curves, and the warning."""

from pathlib import Path

import pytest
import torch

from latentgeo.eval.isometric.results import Rows, curves, is_headline, isometry_results
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.metrics.separability import Tables

N = 5
CMD = EvalIsometry(models=("base", "ours"), out=Path("out"), seed=3)


def rows(gain, rounding=0.001, n=N):
    """Rows whose every length is `gain` times that of the first model."""
    lengths = [gain * (1 + i) for i in range(n)]
    return Rows(
        pairs=[{"length": one, "rounding": rounding * one} for one in lengths],
        walks=[
            {"times": [901, 401], "rtl": [gain * 2, gain * 4], "lpips": [one, 3 * one]}
            for one in lengths
        ],
    )


def results(base, ours):
    settings = {"base": {"weights": "a"}, "ours": {"weights": "b"}}
    return isometry_results({"base": base, "ours": ours}, CMD, settings)


def test_results_of_known_rows():
    """Iso Sec. 4.1b, Iso Sec. 4.1c: means, and ratios to the first model, paired."""
    found = {(one.metric, one.model): one for one in results(rows(1.0), rows(0.5))}
    ppl = "PPL, 1/ε², ε = 0.0001"
    assert found[ppl, "base"].value == 3 and found[ppl, "ours"].value == 1.5
    ratio = found[f"{ppl}, ratio to base", "ours"]
    assert ratio.value == pytest.approx(0.5) and ratio.interval == pytest.approx([0.5, 0.5])
    assert (ratio.n, ratio.seed, ratio.paper, ratio.settings["weights"]) == (N, 3, "Iso", "b")
    assert found["mRTL", "base"].value == 3 and found["mRTL, ratio to base", "ours"].value == 0.5
    assert found["RTL at t = 401", "base"].value == 4
    assert found["LPIPS between neighbours", "base"].value == 6
    assert found["LPIPS between neighbours, step 2", "base"].value == 9
    assert found["standard deviation of LPIPS along the walk", "base"].value == 3
    assert not any("ratio" in metric for metric, model in found if model == "base")


def test_a_cropped_path_length_has_no_extremes():
    """Iso Sec. 4.1: as StyleGAN's code, without what lies beyond the 1st or 99th percentile."""
    base, ours = rows(1.0, n=201), rows(0.5, n=201)
    base.pairs[-1]["length"] = ours.pairs[100]["length"] = 1e9
    found = {(one.metric, one.model): one for one in results(base, ours)}
    name = "PPL, 1/ε², ε = 0.0001, cropped"
    assert found[name, "base"].value == sum(range(3, 200)) / 197
    assert found[name, "base"].n == 197
    ratio = found[f"{name}, ratio to base", "ours"]
    assert ratio.value == pytest.approx(0.5) and ratio.n < 197
    assert name not in {one.metric for one in results(rows(1.0), rows(0.5))}


def test_curves_are_drawn_and_headlines_are_not_curves():
    """Iso Fig. 5, Iso Fig. 6: a point for every time, and for every step of the walk."""
    every = results(rows(1.0), rows(0.5))
    found = curves(every, "RTL at t = ")
    assert [(x, value) for x, value, *_ in found["ours"]] == [(901.0, 1.0), (401.0, 2.0)]
    assert [x for x, *_ in curves(every, "LPIPS between neighbours, step ")["base"]] == [1, 2]
    shown = {one.metric for one in every if is_headline(one)}
    assert "mRTL, ratio to base" in shown
    assert not any("t = " in metric or "step" in metric for metric in shown)


def test_rounding_that_dominates_is_said():
    with pytest.warns(UserWarning, match=r"PPL: rounding makes up 30% of it at ε = 0.0001 in fp32"):
        results(rows(1.0), rows(1.0, rounding=0.3))


def test_separability_by_kernel():
    """Iso Eq. 9: LS, its ratio, and each attribute's entropy."""
    joint = torch.zeros(40, 2, 2, dtype=torch.float64)
    joint[torch.arange(40), torch.arange(40) % 2, torch.arange(40) // 20] = 1  # tells nothing
    known = torch.zeros(40, 2, 2, dtype=torch.float64)
    known[torch.arange(40), torch.arange(40) % 2, torch.arange(40) % 2] = 1
    base, ours = (Rows(tables={"linear": Tables(joint={"mouth": x})}) for x in (joint, known))
    found = {(one.metric, one.model): one.value for one in results(base, ours)}
    assert found["LS, linear kernel", "base"] == pytest.approx(2)
    assert found["LS, linear kernel", "ours"] == pytest.approx(1)
    assert found["LS, linear kernel, ratio to base", "ours"] == pytest.approx(0.5)
    assert found["share of H(Y) left open, linear kernel", "base"] == pytest.approx(1)
    assert found["H(Y|X), linear kernel: mouth", "ours"] == pytest.approx(0, abs=1e-12)
