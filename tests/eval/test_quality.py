"""Quality: equal sets score 0, a worse set scores worse, and the command writes what it found."""

import json

import numpy as np
import pytest
import torch

from latentgeo.eval.caption_adherence import Adherence
from latentgeo.eval.main import main
from latentgeo.eval.quality import ADHERENCE, FD, Judged, quality_results


def judged(features, hits):
    n = len(features)
    found = Adherence(hits=hits, stated=np.full(n, 4.0), by_attribute={"hair": (n // 2, n)})
    return Judged(features=features, adherence=found)


def test_results_of_known_sets():
    """FID Eq. 6: a shift by c in each of D features is a distance of D c²."""
    x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    hits = np.tile([4.0, 2.0], 30)
    target, same, far = judged(x, hits), judged(x, hits), judged(x + 0.5, hits - 1)
    found = quality_results(target, {"base": same, "far": far}, 0, {"base": {}, "far": {}}, "base")
    value = {(one.metric, one.model): one.value for one in found}
    assert value[FD, "base"] == pytest.approx(0, abs=1e-5)
    assert value[FD, "far"] == pytest.approx(5 * 0.25, rel=1e-4)
    assert value[f"{FD}, minus base", "far"] == pytest.approx(5 * 0.25, rel=1e-4)
    assert value[ADHERENCE, "base"] == pytest.approx(0.75)
    assert value[f"{ADHERENCE}, minus base", "far"] == pytest.approx(-0.25)
    assert value[f"{ADHERENCE}: hair", "far"] == 0.5
    assert (f"{FD}, minus base", "base") not in value


def test_command_from_the_line_to_the_results(tiny, tmp_path, capsys):
    words = ["eval-quality", "--models", str(tiny.model), tiny.smooth, "--data", str(tiny.data)]
    words += ["--classifier", str(tiny.classifier), "--images", "10", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert "caption adherence" in capsys.readouterr().out
    found = json.loads((tmp_path / "results.json").read_text())["results"]
    models = {one["model"] for one in found if one["metric"] == FD}
    assert models == {str(tiny.model), tiny.smooth, "real images", "real images through the VAE"}
    assert all(one["n"] == 10 for one in found if one["metric"] == FD)
    assert len(list(tmp_path.glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--images", "3"), "images"),
        (("--images", "100"), "1..12"),
        (("--classifier", "/nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tiny, tmp_path, capsys, words, message):
    start = ["eval-quality", "--models", str(tiny.model), "--data", str(tiny.data)]
    start += ["--classifier", str(tiny.classifier), "--device", "cpu", "--images", "10"]
    assert main([*start, "--out", str(tmp_path), *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]
