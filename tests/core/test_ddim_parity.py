"""DDIM, step for step, beside the schedulers of the package diffusers.

Where the judge is not followed, and why: its DDIM steps by ⌊T/n⌋ whatever time it visits next, so
that with linspace spacing, and with trailing where n does not divide T, it lands beside it. There
one step is compared at its own two times.
"""

from itertools import pairwise

import pytest
import torch

from latentgeo.core import schedule as schedules
from latentgeo.core.ddim import invert_official, step, step_from_x_0
from latentgeo.core.parameterization import clipped, to_eps, x_0_from
from latentgeo.core.schedule import batch_time, times

KINDS = {"eps": "epsilon", "v": "v_prediction", "x_0": "sample"}
BETAS = {"scaled_linear": (0.00085, 0.012), "linear": (0.0001, 0.02)}
BOUND = 0.7  # of clipping: some of the values are beyond it, and some are not
WITHIN = {"rtol": 1e-6, "atol": 1e-6}


def judge_of(kind, name, **settings):
    """Return a scheduler whose ᾱ is the product, in float64, of its own float32 β.

    Its product in float32 is 1e-5 off at t = T.
    """
    diffusers = pytest.importorskip("diffusers")
    start, end = BETAS[name]
    judge = getattr(diffusers, kind)(
        beta_schedule=name, beta_start=start, beta_end=end, **{"clip_sample": False, **settings}
    )
    judge.alphas_cumprod = (1 - judge.betas.double()).cumprod(0)
    one = settings.get("set_alpha_to_one", True)
    last = torch.ones((), dtype=torch.float64) if one else judge.alphas_cumprod[0]
    judge.final_alpha_cumprod = judge.initial_alpha_cumprod = last
    return judge


def network(x, t):
    """Return a smooth nonlinear output that depends on x and on the paper's t."""
    phase = (t.to(x) / 1000).reshape(-1, 1, 1)
    return torch.sin(2 * x + phase) + 0.3 * torch.roll(x, 1, dims=1) * (1 - phase)


def start(seed=0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 7, dtype=torch.float64, generator=generator)


def some(visited):
    """Return up to 30 of the steps between these times, the first and the last among them."""
    steps = list(pairwise(visited))
    return [*steps[: -1 : 1 + len(steps) // 29], steps[-1]]


def lands(judge, tau, steps) -> int:
    """Return the paper's time at which the judge's step from its own time ends."""
    prev = tau - 1000 // steps
    return prev + 1 if prev >= 0 else int(not judge.config.set_alpha_to_one)


CHAINS = [  # spacing, offset, set_alpha_to_one, steps: where the judge visits where it lands
    *[("leading", 1, False, n) for n in (1, 7, 50, 999)],
    *[("leading", 1, True, n) for n in (1, 7, 50)],
    *[("leading", 0, True, n) for n in (1, 7, 50, 1000)],
    *[("trailing", 0, True, n) for n in (1, 8, 50, 1000)],
    *[("trailing", 1, False, n) for n in (1, 8, 50)],
    *[("linspace", 0, True, n) for n in (1000,)],
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BETAS)
@pytest.mark.parametrize(("spacing", "offset", "one", "steps"), CHAINS)
def test_every_step_is_that_of_diffusers(spacing, offset, one, steps, name, kind):
    """DDIM Eq. 12, DDIM Eq. 16: all the times, and the steps between them, noisy or not."""
    judge = judge_of(
        "DDIMScheduler",
        name,
        timestep_spacing=spacing,
        steps_offset=offset,
        set_alpha_to_one=one,
        prediction_type=KINDS[kind],
    )
    judge.set_timesteps(steps)
    schedule = schedules.SCHEDULES[name]()
    visited = times(schedule, steps, spacing, offset, "zero" if one else "first")
    assert [t - 1 for t in visited[:-1]] == judge.timesteps.tolist()
    predict = to_eps(network, schedule, kind)
    for eta, noise in ((0.0, {}), (0.6, {"variance_noise": start(1)})):
        for t, t_prev in some(visited):
            x, now, prev = start(t), batch_time(t, start()), batch_time(t_prev, start())
            ours = step(schedule, x, predict(x, now), now, prev, eta, *noise.values())
            theirs = judge.step(network(x, now), t - 1, x, eta=eta, **noise).prev_sample
            torch.testing.assert_close(ours, theirs, **WITHIN)


@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize(
    ("spacing", "steps"), [("linspace", 7), ("linspace", 50), ("trailing", 7), ("trailing", 30)]
)
def test_steps_are_those_of_diffusers_where_it_lands_beside_its_next_time(spacing, steps, one):
    """DDIM Eq. 12, DDIM Eq. 16: the same times are visited, and a step to where it goes is ours."""
    judge = judge_of(
        "DDIMScheduler", "scaled_linear", timestep_spacing=spacing, set_alpha_to_one=one
    )
    judge.set_timesteps(steps)
    schedule = schedules.scaled_linear()
    visited = times(schedule, steps, spacing, final="zero")
    assert [t - 1 for t in visited[:-1]] == judge.timesteps.tolist()
    x, z = start(), start(1)
    beside = 0
    for t, t_next in pairwise(visited):
        t_prev = lands(judge, t - 1, steps)
        beside += t_prev != t_next
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        raw = network(x, now)
        theirs = judge.step(raw, t - 1, x, eta=0.6, variance_noise=z).prev_sample
        if t_prev < t:
            ours = step(schedule, x, raw, now, prev, 0.6, z)
            torch.testing.assert_close(ours, theirs, **WITHIN)
        else:  # from ᾱ_1 to ᾱ_1
            torch.testing.assert_close(x, theirs, **WITHIN)
    assert beside


def test_the_step_that_is_refused_here_does_nothing_there():
    """Offset 0 with set_alpha_to_one=False: the judge's last step is from ᾱ_1 to ᾱ_1."""
    judge = judge_of("DDIMScheduler", "scaled_linear", steps_offset=0, set_alpha_to_one=False)
    judge.set_timesteps(50)
    x = start()
    theirs = judge.step(network(x, batch_time(1, x)), int(judge.timesteps[-1]), x).prev_sample
    torch.testing.assert_close(theirs, x, **WITHIN)
    with pytest.raises(ValueError, match="which is no step"):
        times(schedules.scaled_linear(), 50, offset=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eta", [0.0, 0.6])
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_clipping_is_that_of_diffusers(kind, eta, steps):
    """DDIM Eq. 12, DDPM Sec. 3.3: with the ε of the clipped x̂_0, and with ε as it was."""
    judge = judge_of(
        "DDIMScheduler",
        "linear",
        clip_sample=True,
        clip_sample_range=BOUND,
        prediction_type=KINDS[kind],
    )
    judge.set_timesteps(steps)
    schedule = schedules.linear()
    predict = to_eps(network, schedule, kind)
    within = clipped(predict, schedule, BOUND)
    x, z = start(), start(1)
    noise = {"variance_noise": z} if eta else {}
    for t, t_prev in pairwise(times(schedule, steps, offset=0, final="zero")):
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        raw = network(x, now)

        def theirs(t=t, raw=raw, x=x, **how):
            return judge.step(raw, t - 1, x, eta=eta, **noise, **how).prev_sample

        both = step(schedule, x, within(x, now), now, prev, eta, z)
        torch.testing.assert_close(both, theirs(use_clipped_model_output=True), **WITHIN)
        x_0 = x_0_from(schedule, x, raw, now, kind)
        assert 0 < (x_0.abs() > BOUND).sum()
        one = step_from_x_0(schedule, x_0.clamp(-BOUND, BOUND), predict(x, now), now, prev, eta, z)
        torch.testing.assert_close(one, theirs(), **WITHIN)
        x = both


@pytest.mark.parametrize(
    ("spacing", "offset", "one", "steps"),
    [
        *[("leading", 1, False, n) for n in (1, 7, 50, 999)],
        *[("leading", 0, True, n) for n in (1, 7, 50, 1000)],
        *[("trailing", 0, True, n) for n in (1, 8, 50)],
    ],
)
def test_inversion_is_that_of_diffusers(spacing, offset, one, steps):
    """Smooth Eq. 4: the released form, with ε at the upper time, is DDIMInverseScheduler's."""
    judge = judge_of(
        "DDIMInverseScheduler",
        "scaled_linear",
        timestep_spacing=spacing,
        steps_offset=offset,
        set_alpha_to_one=one,
    )
    judge.set_timesteps(steps)
    schedule = schedules.scaled_linear()
    visited = times(schedule, steps, spacing, offset, "zero" if one else "first")
    assert [t - 1 for t in visited[-2::-1]] == judge.timesteps.tolist()
    found: list[torch.Tensor] = []
    invert_official(network, schedule, start(), visited, lambda t, x: found.append(x))
    x = start()
    for tau, ours in zip(judge.timesteps.tolist(), found, strict=True):
        x = judge.step(network(x, batch_time(tau + 1, x)), tau, x).prev_sample
        torch.testing.assert_close(ours, x, **WITHIN)
