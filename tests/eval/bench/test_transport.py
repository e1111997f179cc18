"""`latentgeo bench-transport` prints rates, and says where POT is not."""

import sys
from types import ModuleType

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from latentgeo.core.couplings import optimal
from latentgeo.core.run.main import main
from latentgeo.core.transport import squared_w2
from latentgeo.eval.bench import transport as bench

WORDS = ["bench-transport", "--pairs", "5", "--tokens", "17", "--width", "3", "--rounds", "1"]


def test_without_pot_its_rows_say_so(capsys, monkeypatch):
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    assert main(WORDS) == 0
    out = capsys.readouterr().out
    assert "5 pairs, 17 × 3" in out and out.count("not installed") == 2
    assert out.count("pairs/s") == 4 and out.count("Sinkhorn") == 2


@pytest.mark.parametrize("error", [0.0, 1e-3])
def test_pot_runs_on_the_same_clouds_and_must_agree(capsys, monkeypatch, error):
    """A stand-in with POT's functions, whose costs are ours or are not."""
    pot = ModuleType("ot")
    pot.dist = lambda a, b: torch.cdist(torch.as_tensor(a), torch.as_tensor(b)).square().numpy()
    pot.emd = lambda a, b, c: optimal(torch.zeros(1, 2, 1), torch.zeros(1, 2, 1))
    pot.emd2 = lambda a, b, c: c[linear_sum_assignment(c)].mean() * (1 + error)
    monkeypatch.setitem(sys.modules, "ot", pot)
    monkeypatch.setattr(bench, "find_spec", lambda name: True)
    assert main(WORDS) == (0 if error == 0 else 1)
    said = capsys.readouterr()
    assert ("POT, ot.emd alone" in said.out) == (error == 0)
    assert ("are not ours" in said.err) == (error > 0)


def test_text_like_clouds_share_their_start_and_have_padding_alike():
    x, y = bench.text_like(3, 29, 7, seed=1)
    assert (x[:, 0] == y[0, 0]).all()
    padding, text = x[0, 12:].std(dim=0).mean(), x[0, 1:12].std(dim=0).mean()
    assert padding < 0.6 * text
    assert (squared_w2(x, y) > 0).all()


@pytest.mark.parametrize("name", ["pairs", "tokens", "width", "rounds"])
def test_nothing_to_measure_is_refused(name, capsys):
    assert main(["bench-transport", f"--{name}", "0"]) == 2
    assert f"{name} must be at least 1" in capsys.readouterr().err
