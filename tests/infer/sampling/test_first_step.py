"""The first step: a model that is read as it was trained is silent, all other readings warn."""

import warnings
from dataclasses import replace

import pytest
import torch

from latentgeo.core.parameterization import target, to_eps
from latentgeo.core.schedule import SCHEDULES
from latentgeo.infer.sampling.first_step import fault_of_first, watched
from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import Sampling, denoise, seed_noises

SCHEDULE = SCHEDULES["scaled_linear"]()
KINDS = ("eps", "v", "x_0")
UNSEEN = {("v", "x_0"), ("x_0", "v")}  # x̂_0 is an image, of the other sign


@pytest.mark.parametrize("trained", KINDS)
@pytest.mark.parametrize("read", KINDS)
def test_a_wrong_reading_is_told(trained, read):
    """DDPM Eq. 4: of the best network for images that are known, at t = 950."""
    generator = torch.Generator().manual_seed(0)
    x_0, eps = torch.randn(2, 2, 3, 11, 13, generator=generator, dtype=torch.float64)
    t = torch.tensor([950, 950])
    bar = SCHEDULE.alpha_bar[950]
    x_t = bar.sqrt() * 0.7 * x_0 + (1 - bar).sqrt() * eps
    output = target(SCHEDULE, 0.7 * x_0, eps, t, trained)
    predict = watched(to_eps(lambda x, t: output, SCHEDULE, read), SCHEDULE)
    if trained == read or (trained, read) in UNSEEN:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            predict(x_t, t)
    else:
        with pytest.warns(UserWarning, match=r"first step's x̂_0 has a spread of .*--prediction"):
            predict(x_t, t)
        with warnings.catch_warnings():  # once
            warnings.simplefilter("error")
            predict(x_t, t)


def test_later_steps_say_nothing():
    x = torch.randn(1, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    assert fault_of_first(SCHEDULE, x, torch.zeros_like(x), torch.tensor([300])) == ""
    assert "spread" in fault_of_first(SCHEDULE, x, torch.zeros_like(x), torch.tensor([990]))


def test_the_embedded_model():
    bundle = load_model("avatars", "cpu")
    noise, how = seed_noises([1], bundle.latent_shape), Sampling(steps=5, guidance=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        denoise(bundle, noise, ["a smiling face"], how)
    bundle.config = replace(bundle.config, prediction="v")
    with pytest.warns(UserWarning, match=r"a correlation of -0\.99|of -1\.00 with the noise"):
        denoise(bundle, noise, ["a smiling face"], how)
