"""Quality: equal sets score 0, a worse set scores worse, and the command writes what it found."""

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

from latentgeo.core.run.files import sha256
from latentgeo.core.run.main import main
from latentgeo.eval.metrics.caption_adherence import Adherence
from latentgeo.eval.metrics.inception_fid import FID
from latentgeo.eval.metrics.kid import kernel_distance
from latentgeo.eval.metrics.quality import (
    ADHERENCE,
    FD,
    KD,
    REAL,
    THROUGH_VAE,
    UNSTATED,
    Judged,
    distance_ratio,
    quality_results,
)
from latentgeo.models.bundles.presets import CLIP_PRESETS
from latentgeo.models.clip_vision import CLIP
from latentgeo.models.formats.clip.file import write_clip
from latentgeo.models.formats.inception_file import write_inception
from latentgeo.models.inception import Inception
from tests.models.test_inception import network
from tests.train.data.test_stream import make_folder


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
    assert value[KD, "base"] == 0 < value[KD, "far"] == pytest.approx(kernel_distance(x + 0.5, x))
    change = value[f"{KD}, minus base", "far"]
    assert change == pytest.approx(value[KD, "far"] - value[KD, "base"])
    assert value[ADHERENCE, "base"] == pytest.approx(0.75)
    assert value[f"{ADHERENCE}, minus base", "far"] == pytest.approx(-0.25)
    assert value[f"{ADHERENCE}: hair", "far"] == 0.5
    assert (f"{FD}, minus base", "base") not in value


def test_distance_ratio_of_known_sets():
    """FID Eq. 6: features moved by k times as much are k² times as far, whoever is left out."""
    target = torch.randn(23, 5, generator=torch.Generator().manual_seed(0)).double()
    found = distance_ratio(target + 3, target + 1, target)
    assert found.value == pytest.approx(9, rel=1e-6)
    assert found.low < 9 < found.high and found.n == 23


def test_command_from_the_line_to_the_results(tiny, tmp_path, capsys):
    words = ["eval-quality", "--models", str(tiny.model), tiny.smooth, "--data", str(tiny.data)]
    words += ["--classifier", str(tiny.classifier), "--n-images", "10", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert "caption adherence" in capsys.readouterr().out
    found = json.loads((tmp_path / "results.json").read_text())["results"]
    models = {one["model"] for one in found if one["metric"] == FD}
    assert models == {str(tiny.model), tiny.smooth, "real images", "real images through the VAE"}
    assert all(one["n"] == 10 for one in found if one["metric"] == FD)
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_results_of_other_judges():
    """CLIPScore Sec. 3, FID Eq. 6: the mean of the scores, paired differences, 7-d features."""
    x = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    scores = torch.linspace(20, 30, 50, dtype=torch.float64)

    def seen(shift: float) -> Judged:
        one = judged(torch.zeros(50, 2) + torch.randn(50, 2, generator=seeded()), np.full(50, 4.0))
        return replace(one, others={FID: x + shift}, scores={"CLIP": scores + shift})

    found = quality_results(
        seen(0), {"base": seen(0), "far": seen(0.5)}, 0, {"base": {}, "far": {}}, "base"
    )
    value = {(one.metric, one.model): one for one in found}
    assert value[FID, "far"].value == pytest.approx(7 * 0.25, rel=1e-4)
    assert value[f"{FID}, minus base", "far"].value == pytest.approx(7 * 0.25, rel=1e-4)
    assert value["CLIP", "base"].value == pytest.approx(25)
    change = value["CLIP, minus base", "far"]
    assert change.value == pytest.approx(0.5) and change.interval == pytest.approx([0.5, 0.5])
    assert {one.paper for one in found if one.metric.startswith("CLIP")} == {"CLIPScore"}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.filterwarnings("ignore:.*were cut")
def test_command_with_clip_and_inception(tiny, tmp_path, monkeypatch):
    """Their files are loaded, what they see is named after them, and run.toml has their hashes."""
    monkeypatch.setattr(Inception, "features", lambda self, x: x.mean(dim=3).flatten(1)[:, :20])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        clip = write_clip(CLIP(CLIP_PRESETS["tiny"]), tmp_path / "clip", "transformers")
    inception = write_inception(network(), tmp_path / "inception.pth")
    words = ["eval-quality", "--models", str(tiny.model), tiny.smooth, "--data", str(tiny.data)]
    words += ["--classifier", str(tiny.classifier), "--n-images", "10", "--device", "cpu"]
    words += ["--clip-model", str(clip), "--inception", str(inception)]
    words += ["--out", str(tmp_path / "out")]
    assert main(words) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    for metric in ("CLIP score (tiny)", FID):
        models = {one["model"] for one in found if one["metric"] == metric}
        assert models == {str(tiny.model), tiny.smooth, REAL, THROUGH_VAE}
        assert any(one["metric"] == f"{metric}, minus {tiny.model}" for one in found)
    run = tomllib.loads((tmp_path / "out" / "run.toml").read_text())
    assert run["hashes"] == {
        "clip": sha256(clip / "model.safetensors"),
        "inception": sha256(inception),
    }


def test_a_folder_of_ones_own_is_measured_without_the_avatars_attributes(tiny, tmp_path):
    """One half of the images is held out, and captions that state nothing have no adherence."""
    folder = make_folder(tmp_path / "mine", 20)
    words = ["eval-quality", "--models", str(tiny.model), tiny.smooth, "--data", str(folder)]
    words += ["--n-images", "10", "--steps", "1", "--device", "cpu", "--out", str(tmp_path)]
    with pytest.warns(UserWarning) as said:
        assert main(words) == 0
    text = "\n".join(str(one.message) for one in said)
    assert "half of its 20 images are measured" in text and f"not measured, {UNSTATED}" in text
    found = json.loads((tmp_path / "results.json").read_text())["results"]
    assert {one["metric"].partition(",")[0] for one in found} == {"FD (AlexNet", "KD (AlexNet"}
    assert all(one["n"] == 10 for one in found)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--n-images", "3"), "images"),
        (("--clip-model", "/nowhere.pt"), "nowhere.pt"),
        (("--inception", "/nowhere.pt"), "nowhere.pt"),
        (("--n-images", "100"), "--n-images must lie in 1..12"),
        (("--classifier", "/nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tiny, tmp_path, capsys, words, message):
    start = ["eval-quality", "--models", str(tiny.model), "--data", str(tiny.data)]
    start += ["--classifier", str(tiny.classifier), "--device", "cpu", "--n-images", "10"]
    assert main([*start, "--out", str(tmp_path), *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]
