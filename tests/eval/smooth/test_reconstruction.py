"""`latentgeo eval-reconstruction`: results of known numbers, files, and what it refuses."""

import json

import numpy as np
import pytest

from latentgeo.core.run.main import main
from latentgeo.eval.smooth.inverted import TO_IMAGE, TO_VAE, VAE, Reconstructions
from latentgeo.eval.smooth.reconstruction import reconstruction_results


def measured(model, error):
    column = np.array(error)
    keys = ("MSE", "LPIPS", "SSIM", "PSNR")
    columns = {TO_IMAGE: dict.fromkeys(keys, column), TO_VAE: dict.fromkeys(keys, column / 2)}
    columns[VAE] = dict.fromkeys(keys, np.array([1.0, 2.0, 3.0]))
    return Reconstructions(columns=columns, settings={"model": model})


def test_results_of_known_errors():
    """Smooth Tab. 2: means, ratios to the autoencoder's, and paired differences."""
    by_model = {"base": measured("base", [2.0, 4.0, 6.0]), "s": measured("s", [1.5, 3.5, 5.5])}
    results = reconstruction_results({"ddim": by_model}, seed=0)
    found = {(one.metric, one.model): one for one in results}
    assert found[f"ddim: MSE, {TO_IMAGE}", "base"].value == pytest.approx(4)
    assert found["ddim: MSE, ratio to the VAE's own", "base"].value == pytest.approx(2)
    less = found[f"ddim: LPIPS, {TO_IMAGE}, less that of base", "s"]
    assert less.value == pytest.approx(-0.5) and less.n == 3
    np.testing.assert_allclose(less.interval, [-0.5, -0.5])  # the same on every image
    assert not any("less" in metric for metric, model in found if model == "base")


def test_the_command_writes_results_and_goes_on(tiny, tmp_path, capsys):
    models = ["--models", str(tiny.model), tiny.smooth, "--data", str(tiny.data)]
    words = ["eval-reconstruction", *models, "--n-images", "3", "--batch", "2", "--device", "cpu"]
    words += ["--out", str(tmp_path), "--methods", "ddim", "null-text", "--inner", "2"]
    assert main(words) == 0
    first = capsys.readouterr().out
    content = json.loads((tmp_path / "results.json").read_text())
    assert {one["model"] for one in content["results"]} == {str(tiny.model), tiny.smooth}
    assert all(one["n"] == 3 for one in content["results"])
    assert len(list((tmp_path / "rows").glob("*/*"))) == 4  # by method and model
    assert main(words) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--n-images", "1"], "--n-images must be at least 2"),
        (["--n-images", "999"], "--n-images must lie in 1..12"),
        (["--methods", "ddim", "ddim"], "methods: got"),
        (["--methods", "magic"], "magic"),
        (["--inner", "0"], "inner must be at least 1"),
        (
            ["--methods", "null-text", "--guidance", "1"],
            "--guidance: got 1, which leaves",
        ),
        (["--models", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tiny, tmp_path, capsys, more, message):
    start = ["eval-reconstruction", "--models", str(tiny.model), "--data", str(tiny.data)]
    words = [*start, "--n-images", "2", "--device", "cpu", "--out", str(tmp_path), *more]
    assert main(words) == 2
    err = capsys.readouterr().err.strip()
    assert message in err and "\n" not in err
