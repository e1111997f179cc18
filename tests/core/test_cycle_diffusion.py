"""The DPM encoder against the sampler that draws the noises, and against the forward process."""

from itertools import pairwise

import pytest
import torch

from latentgeo.core import ddim
from latentgeo.core import schedule as schedules
from latentgeo.core.cycle_diffusion import (
    cycle_diffusion,
    decode,
    encode,
    forward_path,
)
from latentgeo.core.ddpm import ancestral_step
from latentgeo.core.gaussian import Gaussian, exact_eps
from latentgeo.core.schedule import late_times, times
from latentgeo.eval.audit.errors import differs

SCHEDULE = schedules.scaled_linear()
T = SCHEDULE.T
SOURCE = Gaussian(torch.tensor([0.4, -1.0, 0.2]).double(), torch.tensor([0.7, 1.3, 0.9]).double())
TARGET = Gaussian(torch.tensor([-2.0, 1.5, 3.0]).double(), torch.tensor([0.4, 0.8, 1.6]).double())
EXACT = {"rtol": 0, "atol": 1e-10}

DATA = (SOURCE, TARGET)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def visited(steps=17, final="first", strength=1.0):
    return late_times(times(SCHEDULE, steps, final=final), strength)


def paths(at, eta):
    """Return how x at each time but the last depends on x_0 and on each noise: (N, 1 + N)."""
    count = len(at) - 1
    x_0 = torch.eye(1 + count, 1, dtype=torch.float64)
    noises = torch.eye(1 + count, dtype=torch.float64)[1:, :, None]
    return forward_path(SCHEDULE, x_0, at, eta, noises)[:-1, :, 0]


@pytest.mark.parametrize("eta", [0.0, 0.1, 0.7, 1.0])
def test_every_time_has_the_forward_marginal(eta):
    """Cycle Sec. 3.2: q(x_t | x_0) = N(√ᾱ_t x_0, (1-ᾱ_t) I) at every time, whatever η."""
    at = visited(11, strength=0.7)
    dependence = paths(at, eta)
    bar = SCHEDULE.alpha_bar[list(at[:-1])]
    torch.testing.assert_close(dependence[:, 0], bar.sqrt(), rtol=1e-12, atol=0)
    spread = dependence[:, 1:].square().sum(1)
    torch.testing.assert_close(spread, 1 - bar, rtol=1e-12, atol=0)


def test_at_eta_1_the_path_is_the_forward_chain():
    """Cycle Sec. 3.2: of two times s < t the covariance is √(ᾱ_t/ᾱ_s) (1-ᾱ_s), as of DDPM Eq. 2."""
    at = visited(7)
    noise = paths(at, 1.0)[:, 1:]
    bar = SCHEDULE.alpha_bar[list(at[:-1])]
    upper = torch.minimum(bar[:, None], bar)
    lower = torch.maximum(bar[:, None], bar)
    expected = (upper / lower).sqrt() * (1 - lower)
    torch.testing.assert_close(noise @ noise.T, expected, rtol=1e-11, atol=0)


@pytest.mark.parametrize("eta", [0.1, 1.0])
def test_the_encoder_finds_the_noises_that_the_sampler_drew(eta):
    """Cycle Sec. 3.2: ε_t of a trajectory of `ddim.sample` are the numbers of its generator."""
    at, predict, x = visited(), exact_eps(SOURCE, SCHEDULE), normal(2, 3)
    drawn = torch.stack(list(normal(len(at) - 1, 2, 3, seed=5)))
    passed = [x]
    for noise, (t, t_prev) in zip(drawn, pairwise(at), strict=True):
        now, prev = torch.full((2,), t), torch.full((2,), t_prev)
        passed.append(
            ddim.step(SCHEDULE, passed[-1], predict(passed[-1], now), now, prev, eta, noise)
        )
    code = encode(predict, SCHEDULE, torch.stack(passed), at, eta)
    bar = SCHEDULE.alpha_bar[list(at)]
    sigma = eta * ((1 - bar[1:]) / (1 - bar[:-1]) * (1 - bar[:-1] / bar[1:])).sqrt()
    found = code.offsets / sigma[:, None, None]
    torch.testing.assert_close(found, drawn, rtol=0, atol=1e-9)
    assert differs(found, drawn) < 1e-9


def test_of_single_steps_at_eta_1_it_is_ddpm():
    """Cycle Sec. 3.2, Cycle Alg. 1: decoding is DDPM's ancestral step with the noises found."""
    at, source, target = (
        tuple(range(9, -1, -1)),
        *(exact_eps(g, SCHEDULE) for g in (SOURCE, TARGET)),
    )
    x_0, noises = normal(2, 3, seed=1), normal(9, 2, 3, seed=2)
    path = forward_path(SCHEDULE, x_0, at, 1.0, noises)
    x = path[0]
    for i, t in enumerate(at[:-1]):
        now = torch.full((2,), t)
        zero = torch.zeros_like(x)
        residual = path[i + 1] - ancestral_step(SCHEDULE, path[i], source(path[i], now), now, zero)
        x = ancestral_step(SCHEDULE, x, target(x, now), now, zero) + residual
    found = cycle_diffusion(source, target, SCHEDULE, x_0, noises, at, 1.0)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-9)
    assert (found - x_0).abs().max() > 1e-4


@pytest.mark.parametrize("final", ["first", "zero"])
@pytest.mark.parametrize("eta", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_the_same_prompt_gives_the_image_back(final, eta, strength):
    """Cycle Alg. 1 with t̂ = t: x_0 itself, for a network that is no flow of anything."""
    at = visited(13, final, strength)
    x_0, noises = normal(2, 3, seed=1), normal(len(at) - 1, 2, 3, seed=2)

    def predict(x, t):
        return (3 * x + t[:, None] / 100).sin()

    found = cycle_diffusion(predict, predict, SCHEDULE, x_0, noises, at, eta)
    torch.testing.assert_close(found, x_0, **EXACT)
    path = forward_path(SCHEDULE, x_0, at, eta, noises)
    code = encode(predict, SCHEDULE, path, at, eta)
    other = decode(lambda x, t: predict(x, t) + 0.1, SCHEDULE, code, at, eta)
    assert (other - x_0).abs().max() > 1e-3


def test_a_translation_of_the_data_translates_the_image():
    """Cycle Alg. 1: two exact networks of data shifted by m; their code is common, so x̂ = x + m."""
    shift = torch.tensor([1.5, -0.3, 2.0]).double()
    moved = Gaussian(SOURCE.mean + shift, SOURCE.std)
    source, target = exact_eps(SOURCE, SCHEDULE), exact_eps(moved, SCHEDULE)
    at = times(SCHEDULE, 250, "trailing", final="zero")
    x_0, noises = normal(2, 3, seed=1), normal(250, 2, 3, seed=2)
    found = cycle_diffusion(source, target, SCHEDULE, x_0, noises, at, 1.0)
    left = SCHEDULE.alpha_bar[T].sqrt() * shift  # of the start, which both share
    assert (found - x_0 - shift).abs().max() < 2 * left.abs().max()
    assert (found - x_0 - shift).abs().max() < 0.1 * shift.abs().max()


def test_a_noise_for_every_step():
    with pytest.raises(ValueError, match="noises has 3 rows: give one per step, 5"):
        forward_path(SCHEDULE, normal(2, 3), visited(5), 0.1, normal(3, 2, 3))
