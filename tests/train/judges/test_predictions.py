"""Images as a model predicts them from noise: the half that is drawn, and what it becomes."""

import pytest
import torch

from latentgeo.models.bundles.image_model import new_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS
from latentgeo.train.data.draws import Draws
from latentgeo.train.judges.predictions import Predictions, predictions_of


@pytest.fixture
def model():
    torch.manual_seed(0)
    found = new_image_model(TRAINED_PRESETS["tiny"])
    for weight in found.unet.parameters():
        torch.nn.init.normal_(weight, std=0.15)
    return found.to("cpu", torch.float64)


def images(count):
    draw = torch.Generator().manual_seed(4)
    return torch.rand(count, 3, 16, 16, generator=draw, dtype=torch.float64) * 2 - 1


def test_a_prediction_is_of_noised_images_and_clipped(model):
    """Asyrp Eq. 3: (x_t - √(1-α_t) ε)/√α_t of x_t drawn by hand from the sample's own stream."""
    x, chosen = images(7), Draws(0, 3, 7)
    t, which = chosen.integers(1, 700), torch.tensor(chosen.chance(0.5))
    z = chosen.normal((3, 16, 16), x)
    seen = Predictions(model)(x, Draws(0, 3, 7))
    assert 0 < which.sum() < 7
    assert torch.equal(seen[~which], x[~which])
    a = model.schedule.alpha_bar[t][:, None, None, None]
    x_t = a.sqrt() * x + (1 - a).sqrt() * z
    eps = model.unet(x_t, t - 1)
    P = ((x_t - (1 - a).sqrt() * eps) / a.sqrt()).clamp(-1, 1)
    torch.testing.assert_close(seen[which], P[which], rtol=1e-9, atol=1e-9)


def test_an_image_is_seen_alike_in_any_batch(model):
    """The draws are the samples': two batches of three are one of six."""
    x, see = images(6), Predictions(model)
    parts = [see(x[i : i + 3], Draws(5, 10 + i, 3)) for i in (0, 3)]
    torch.testing.assert_close(torch.cat(parts), see(x, Draws(5, 10, 6)))


def test_what_cannot_predict_such_images_is_refused():
    assert predictions_of(None, 64, torch.device("cpu")) is None
    with pytest.raises(ValueError, match="size must be a positive multiple"):
        predictions_of("avatars-ddpm", 63, torch.device("cpu"))
