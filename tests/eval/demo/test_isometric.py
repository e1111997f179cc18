"""The demo's section on an isometric latent space: of two tiny models, and without weights."""

from dataclasses import replace

import pytest
import torch

from latentgeo.eval.demo.isometric import Isometric, isometric_section, sentence
from latentgeo.eval.demo.settings import Demo
from latentgeo.eval.runs.results import RATIO, Result
from latentgeo.infer.pictures.images import read_metadata
from latentgeo.models.bundles.image_model import new_image_model, save_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS
from latentgeo.models.lora import adapter as lora

PLAN = Isometric(
    steps=2,
    pairs=2,
    walks=2,
    frames=3,
    images=3,
    times=(700,),
    cell=16,
    samples=10,
    directions=1,
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model of 32 × 32 images, and the same with an adapter beside it."""
    config = TRAINED_PRESETS["tiny"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = new_image_model(replace(config, sampling=replace(config.sampling, size=32)))
        folder = save_image_model(model, tmp_path_factory.mktemp("models") / "base")
        lora.attach(model.unet, rank=2, targets="*conv*")
        for parameter in lora.lora_parameters(model.unet):
            torch.nn.init.normal_(parameter, std=0.3)
        lora.save_lora(folder / "isometric_lora.safetensors", model.unet)
    return str(folder), f"{folder}+isometric_lora"


def test_the_section_shows_and_measures_both_models(models, tiny, tmp_path):
    """Iso Sec. 4.1, Iso Sec. 4.3: strips, LPIPS, RTL(t), ratios, the directions of each."""
    cmd = Demo(out=tmp_path, data=tiny.data, classifier=tiny.classifier, device="cpu")
    page, results = isometric_section(cmd, PLAN, models)
    assert page.count("data:image/png;base64,") == 1 + 2 and page.count("<svg") == 3
    found = {(one.metric, one.model): one for one in results}
    base, twin = models
    for metric, n in (
        ("PPL, 1/ε², ε = 0.0001", 2),
        ("mRTL", 2),
        ("MCN of h in cells of 16", 3),
        ("VoR of h in cells of 16", 3),
        ("FD (AlexNet, 256-d)", 10),
    ):
        for model in models:
            assert found[metric, model].n == n and found[metric, model].text in page
    assert f"mRTL{RATIO}{base}" in {metric for metric, model in found if model == twin}
    assert read_metadata(tmp_path / "isometric-walk.png")["models"] == list(models)
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names == {"isometric-walk.png", *(f"isometric-directions-{i}.png" for i in (1, 2))}


def test_without_weights_there_is_one_line(models, tmp_path):
    cmd = Demo(out=tmp_path, device="cpu")
    page, results = isometric_section(cmd, PLAN, (models[0], f"{models[0]}+no_such_lora"))
    assert not results and not list(tmp_path.iterdir())
    assert page.count("<p>") == 1 and "no_such_lora are not in this installation" in page


def test_the_sentence_follows_the_intervals():
    def ratio(metric, low, high):
        return Result(
            paper="Iso",
            metric=f"{metric}{RATIO}a",
            model="b",
            value=(low + high) / 2,
            interval=[low, high],
            n=3,
            seed=0,
        )

    said = sentence([ratio("PPL, 1/ε²", 0.4, 0.6), ratio("mRTL", 0.9, 1.2)], ("a", "b"))
    assert "PPL of b is lower than that of a (ratio 0.5 [0.4, 0.6])" in said
    assert "mRTL of b cannot be told" in said
    assert "is higher than" in sentence([ratio("mRTL", 1.1, 1.2)], ("a", "b"))
