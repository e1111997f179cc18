"""DDPM, step for step, beside DDPMScheduler of the package diffusers.

The judge skips steps, too: its respaced posterior is DDIM's step with η = 1, which is ours for it.
"""

from itertools import pairwise

import pytest
import torch

from latentgeo.core import ddim, learned_variance
from latentgeo.core import schedule as schedules
from latentgeo.core.ddpm import ancestral_step, ancestral_step_beta, sample
from latentgeo.core.gaussian import Gaussian, exact_eps
from latentgeo.core.parameterization import clipped, to_eps
from latentgeo.core.schedule import batch_time, times

KINDS = {"eps": "epsilon", "v": "v_prediction", "x_0": "sample"}
STEPS = {"fixed_small": ancestral_step, "fixed_large": ancestral_step_beta}
BOUND = 0.7  # of clipping: some of the values are beyond it, and some are not
WITHIN = {"rtol": 1e-6, "atol": 1e-6}
TIMES = [1000, 999, *range(960, 3, -53), 3, 2, 1]
SCHEDULE = schedules.linear()


def judge_of(**settings):
    """Return a scheduler whose ᾱ is the product, in float64, of its own float32 β."""
    diffusers = pytest.importorskip("diffusers")
    judge = diffusers.DDPMScheduler(**{"clip_sample": False, **settings})
    judge.alphas_cumprod = (1 - judge.betas.double()).cumprod(0)
    judge.one = judge.one.double()
    return judge


def network(x, t):
    """Return a smooth nonlinear output that depends on x and on the paper's t."""
    phase = (t.to(x) / 1000).reshape(-1, 1, 1)
    return torch.sin(2 * x + phase) + 0.3 * torch.roll(x, 1, dims=1) * (1 - phase)


def seeded(seed) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(seed) -> torch.Tensor:
    return torch.randn(2, 3, 7, dtype=torch.float64, generator=seeded(seed))


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variance", STEPS)
def test_every_step_is_that_of_diffusers(variance, kind, clip):
    """DDPM Alg. 2, DDPM Sec. 3.3: with either variance, clipped to a bound or not."""
    judge = judge_of(
        variance_type=variance,
        prediction_type=KINDS[kind],
        clip_sample=clip,
        clip_sample_range=BOUND,
    )
    predict = to_eps(network, SCHEDULE, kind)
    predict = clipped(predict, SCHEDULE, BOUND) if clip else predict
    x = draw(0)
    for t in TIMES:
        now = batch_time(t, x)
        ours = STEPS[variance](SCHEDULE, x, predict(x, now), now, draw(t))
        theirs = judge.step(network(x, now), t - 1, x, seeded(t)).prev_sample
        torch.testing.assert_close(ours, theirs, **WITHIN)


def test_a_whole_chain_is_that_of_diffusers():
    """DDPM Alg. 2: all 1000 steps on one stream of noise, drawn at the same moments."""
    judge, theirs = judge_of(), draw(0)
    denoiser = exact_eps(Gaussian(draw(3)[0], torch.tensor(0.6)), SCHEDULE)
    one, other = (seeded(5), seeded(5))
    visited = times(SCHEDULE, 1000, offset=0, final="zero")
    ours = sample(denoiser, SCHEDULE, theirs, visited, one)
    for t in visited[:-1]:
        raw = denoiser(theirs, batch_time(t, theirs))
        theirs = judge.step(raw, t - 1, theirs, other).prev_sample
    torch.testing.assert_close(ours, theirs, **WITHIN)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize(
    ("spacing", "steps"),
    [
        *[("leading", n) for n in (1, 7, 50)],
        *[("trailing", n) for n in (1, 7, 50)],
        *[("linspace", n) for n in (7, 50, 1000)],
    ],
)
def test_respaced_steps_are_those_of_diffusers(spacing, steps, clip, kind):
    """DDIM Eq. 12, DDIM Eq. 16: η = 1 between the times that the judge visits."""
    judge = judge_of(
        timestep_spacing=spacing,
        prediction_type=KINDS[kind],
        clip_sample=clip,
        clip_sample_range=BOUND,
    )
    judge.set_timesteps(steps)
    visited = times(SCHEDULE, steps, spacing, offset=0, final="zero")
    assert [t - 1 for t in visited[:-1]] == judge.timesteps.tolist()
    predict = to_eps(network, SCHEDULE, kind)
    predict = clipped(predict, SCHEDULE, BOUND) if clip else predict
    x, steps = draw(0), list(pairwise(visited))
    for t, t_prev in [*steps[: -1 : 1 + len(steps) // 29], steps[-1]]:
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        ours = ddim.step(SCHEDULE, x, predict(x, now), now, prev, 1.0, draw(t))
        theirs = judge.step(network(x, now), t - 1, x, seeded(t)).prev_sample
        torch.testing.assert_close(ours, theirs, **WITHIN)


def test_learned_variances_are_those_of_diffusers():
    """IDDPM Eq. 15: where a logarithm of β̃_1 is not asked for."""
    judge = judge_of(variance_type="learned_range")
    x = draw(0)
    for t in TIMES:
        now, raw = batch_time(t, x), 0.9 * torch.tanh(draw(-t))
        output = torch.cat([network(x, now), raw], dim=1)
        eps, v = learned_variance.split(output)
        ours = learned_variance.ancestral_step(SCHEDULE, x, eps, v, now, draw(t))
        theirs = judge.step(output, t - 1, x, seeded(t)).prev_sample
        torch.testing.assert_close(ours, theirs, **WITHIN)
