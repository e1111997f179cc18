"""`latentgeo eval-isometry` on two tiny models: files, resuming, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.eval.isometric.run import evaluate_isometry
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.models.bundles.image_model import new_image_model, save_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of two models of 32 × 32 images."""
    config = TRAINED_PRESETS["tiny"]
    config = replace(config, sampling=replace(config.sampling, size=32))
    folders = []
    with torch.random.fork_rng(devices=[]):
        for seed in (0, 1):
            torch.manual_seed(seed)
            folder = tmp_path_factory.mktemp("models") / f"m{seed}"
            folders.append(str(save_image_model(new_image_model(config), folder)))
    return folders


def words(models, tiny, out):
    small = "--n-samples 10 --ppl-pairs 3 --walks 2 --jacobians 3".split()
    small += "--steps 2 --frames 3 --lanczos 3".split()
    given = ["--data", str(tiny.data), "--classifier", str(tiny.classifier), "--times", "700"]
    where = ["--device", "cpu", "--out", str(out)]
    large = ["--cells", "16", "1", "--exact", "0.3"]
    return ["eval-isometry", "--models", *models, *small, *given, *where, *large]


def test_the_command_measures_all_and_goes_on(models, tiny, tmp_path, capsys):
    """Iso Tab. 1, Iso Tab. 2: every metric of two models by one command."""
    pytest.importorskip("sklearn")
    line = words(models, tiny, tmp_path)
    assert main(line) == 0
    first = capsys.readouterr().out
    content = json.loads((tmp_path / "results.json").read_text())
    found = {(one["metric"], one["model"]): one for one in content["results"]}
    base, ours = models
    for metric in (
        "mRTL",
        "MCN of h in cells of 16",
        "VoR of h in cells of 16",
        "MCN of h, at least",
    ):
        assert found[metric, ours]["value"] > 0
        assert f"{metric}, ratio to {base}" in {name for name, _ in found}
    assert found["PPL, 1/ε², ε = 0.0001", base]["n"] == 3
    assert found["LS, radial kernel", base]["n"] == 10
    assert found["FD (AlexNet, 256-d)", base]["settings"]["steps"] == 2
    assert (tmp_path / "rtl.svg").is_file() and (tmp_path / "lpips.svg").is_file()
    assert len(list((tmp_path / "rows").glob("*/*"))) == 8  # four kinds, two models
    before = {path: path.read_bytes() for path in tmp_path.glob("rows/*/*/*")}
    assert main(line) == 0
    assert capsys.readouterr().out == first
    assert {path: path.read_bytes() for path in tmp_path.glob("rows/*/*/*")} == before


def test_path_length_has_steps_of_its_own(models, tiny, tmp_path):
    """Iso Sec. 4.1d: --ppl-steps 3 has the lengths of --steps 3, and the walks of --steps 2."""

    def rows(name, *more):
        line = [*words(models[:1], tiny, tmp_path / name), "--metrics", "ppl", "mrtl", *more]
        assert main(line) == 0
        found = json.loads((tmp_path / name / "results.json").read_text())["results"]
        return {one["metric"]: one["value"] for one in found}

    few, many = rows("few"), rows("many", "--steps", "3")
    both = rows("both", "--ppl-steps", "3")
    ppl = "PPL, 1/ε², ε = 0.0001"
    assert both[ppl] == many[ppl] != few[ppl]
    assert both["mRTL"] == few["mRTL"] != many["mRTL"]


def test_metrics_are_chosen_and_attributes_are_any(models, tiny, tmp_path):
    pytest.importorskip("sklearn")
    cmd = EvalIsometry(
        models=tuple(models[:1]),
        out=tmp_path,
        metrics=("ls",),
        data=tiny.data,
        n_samples=10,
        steps=1,
        device="cpu",
    )

    def dark(images):
        share = (images.mean((1, 2, 3)) + 1) / 2
        return {"dark": torch.stack([share, 1 - share], 1)}

    results = evaluate_isometry(cmd, dark)
    assert "H(Y|X), linear kernel: dark" in {one.metric for one in results}
    assert not any(word in one.metric for one in results for word in ("FD", "PPL", "mRTL"))
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["samples-read"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--ppl-pairs", "1"], "--ppl-pairs must be at least 2, got 1"),
        (["--frames", "2"], "frames must be at least 3, got 2"),
        (["--metrics", "fid"], "fid"),
        (["--metrics", "ppl", "ppl"], "metrics: got"),
        (["--ppl-epsilon", "0"], "--ppl-epsilon must lie in (0, 1], got 0.0"),
        (["--times", "0"], "times must be at least 1, got 0"),
        (["--exact", "-1"], "exact must not be negative"),
        (["--dtype", "fp16"], "fp16"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, capsys, more, message):
    assert main(["eval-isometry", "--models", "m", "--out", str(tmp_path), *more]) == 2
    err = capsys.readouterr().err.strip()
    assert message in err and "\n" not in err


def test_models_that_do_not_fit_are_refused(models, tiny, tmp_path, capsys):
    for wrong, message in (
        ([str(tiny.model)], "a model with text, wanted one without"),
        (["nowhere"], "nowhere"),
        (
            [models[0], "--times", "1001", "--data", str(tiny.data)],
            "times: got 1001, wanted at most T = 1000",
        ),
    ):
        line = ["eval-isometry", "--models", *wrong, "--out", str(tmp_path), "--device", "cpu"]
        assert main([*line, "--metrics", "mcn"]) == 2
        assert message in capsys.readouterr().err
    assert not Path(tmp_path / "results.json").exists()
