"""CLIP score: angles that are known, batches, and another implementation of the whole."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.eval.metrics.clip_score import clip_judge, clip_score
from latentgeo.models.bundles.presets import CLIP_PRESETS
from latentgeo.models.bundles.text_to_image import Undrawn
from latentgeo.models.clip_vision import CLIP
from latentgeo.models.formats.clip.config import write_clip_config

PROMPTS = ["a red face", "two people with hats", "", "a smile", "green"]


@pytest.fixture(scope="module")
def model() -> CLIP:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIP(CLIP_PRESETS["tiny"]).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def images(n: int = 5, size: tuple[int, int] = (24, 24)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, 3, *size), generator=generator) / 127.5 - 1


@pytest.mark.parametrize("degrees", [0, 17, 60, 89])
def test_the_score_is_the_cosine_of_the_angle(degrees):
    """CLIPScore Sec. 3: of two vectors turned apart by an angle, whatever their lengths."""
    angle = math.radians(degrees)
    basis = torch.linalg.qr(torch.randn(7, 7, dtype=torch.float64, generator=seeded()))[0]
    turned = math.cos(angle) * basis[0] + math.sin(angle) * basis[1]
    found = clip_score(3 * basis[None, 0], 0.2 * turned[None])
    assert found.item() == pytest.approx(100 * math.cos(angle))


def test_opposite_features_score_nothing():
    """CLIPScore Sec. 3: a negative cosine is 0, and nothing is less; each row is by itself."""
    x = torch.randn(11, 5, dtype=torch.float64, generator=seeded())
    assert clip_score(x, -x).tolist() == [0] * 11
    signs = torch.tensor([1.0, -1.0]).repeat(6)[:11, None]
    torch.testing.assert_close(clip_score(x, signs * x), 100 * (signs[:, 0] > 0).double())


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_batches_change_nothing(model):
    judge = clip_judge(model)
    whole = judge.scores(images(), PROMPTS)
    assert whole.shape == (5,) and whole.dtype == torch.float64
    torch.testing.assert_close(judge.scores(images(), PROMPTS, batch=2), whole, rtol=0, atol=1e-4)
    torch.testing.assert_close(
        judge.scores(images().flip(0), PROMPTS[::-1]).flip(0), whole, rtol=0, atol=1e-4
    )


def test_equals_the_cosines_of_transformers(model):
    """Its processor, its network, its cosine: from pictures in 8 bits to the score."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.CLIPModel(transformers.CLIPConfig(**write_clip_config(model.config)))
    theirs.load_state_dict(model.state_dict())
    side = {"height": 24, "width": 24}
    process = transformers.CLIPImageProcessor(size={"shortest_edge": 24}, crop_size=side)
    x, judge = images(size=(24, 30)), clip_judge(model)
    pictures = [
        Image.fromarray(((p + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()) for p in x
    ]
    pixels = process(pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        out = theirs.eval()(input_ids=judge.tokenizer(PROMPTS), pixel_values=pixels)
    wanted = 100 * (out.image_embeds * out.text_embeds).sum(dim=1).clamp(min=0)
    assert wanted.max() > 10
    np.testing.assert_allclose(judge.scores(x, PROMPTS), wanted, atol=1e-3)


def test_results_name_the_network(model):
    assert clip_judge(model).metric == "CLIP score (tiny)"
    with torch.device("meta"), Undrawn():
        large = CLIP(CLIP_PRESETS["vit-l-14"])
    assert clip_judge(large).metric == "CLIP score (vit-l-14)"


def test_what_does_not_pair_is_refused(model):
    with pytest.raises(ValueError, match="prompts: got 5 for 4 images"):
        clip_judge(model).scores(images(4), PROMPTS)
    with pytest.raises(ValueError, match=r"got features \(2, 3\) and \(1, 3\)"):
        clip_score(torch.ones(2, 3), torch.ones(1, 3))
