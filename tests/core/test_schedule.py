"""Schedules and sampling times against published formulas."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from latentgeo.core import schedule as schedules
from latentgeo.core.schedule import (
    Schedule,
    batch_time,
    check_times,
    column,
    from_beta,
    late_times,
    respaced,
    times,
)

SD = schedules.scaled_linear()


@pytest.mark.parametrize("name", schedules.SCHEDULES)
@pytest.mark.parametrize("T", [1000, 37])
def test_alpha_bar_is_the_running_product(name, T):
    """DDPM Eq. 4: ᾱ_t = Π(1 - β_s), summed as logarithms in exact pairs; ᾱ_0 = 1 and ᾱ descends."""
    schedule = schedules.SCHEDULES[name](T)
    logs = [math.log1p(-b) for b in schedule.beta.tolist()]
    expected = [math.exp(math.fsum(logs[: t + 1])) for t in range(T + 1)]
    np.testing.assert_allclose(schedule.alpha_bar.numpy(), expected, rtol=1e-11)
    assert schedule.alpha_bar[0] == 1 and schedule.T == T
    assert (schedule.alpha_bar.diff() < 0).all()


def test_published_constants():
    """DDPM Sec. 4a: β from 1e-4 to 0.02; Stable Diffusion's ᾱ_1 = 0.99915 and ᾱ_T = 0.0047."""
    ddpm = schedules.linear()
    assert ddpm.beta[1] == 1e-4 and abs(ddpm.beta[-1] - 0.02) < 1e-15
    assert ddpm.beta.diff()[1:].std() < 1e-15
    assert ddpm.alpha_bar[-1].item() == pytest.approx(4.036e-5, rel=1e-3)
    assert SD.alpha_bar[1].item() == pytest.approx(1 - 0.00085, abs=1e-15)
    assert SD.alpha_bar[-1].item() == pytest.approx(0.00466, rel=2e-3)
    assert SD.beta[1:].sqrt().diff().std() < 1e-15


def test_cosine_is_the_squared_cosine_until_the_clip():
    """IDDPM Eq. 17: √ᾱ_t cos(π/2 s/(1+s)) is a cosine whose angle grows evenly until the clip."""
    assert schedules.cosine().T == 1000
    schedule = schedules.cosine(101)
    angle = (schedule.alpha_bar[:100].sqrt() * math.cos(0.008 / 1.008 * math.pi / 2)).acos()
    torch.testing.assert_close(angle.diff(), torch.full_like(angle[1:], math.pi / 2 / 1.008 / 101))
    assert schedule.beta.max() == 0.999


def test_at_and_bar_pick_each_samples_row():
    """DDPM Eq. 4: rows of the tables, one per sample, in a shape that broadcasts."""
    like = torch.zeros(3, 2, 5, 7, dtype=torch.float64)
    t = torch.tensor([1, 500, 1000])
    beta, bar, bar_prev = SD.at(t, like)
    assert beta.shape == bar.shape == bar_prev.shape == (3, 1, 1, 1)
    torch.testing.assert_close(bar / bar_prev, 1 - beta, rtol=1e-13, atol=0)
    assert bar_prev[0] == 1
    torch.testing.assert_close(SD.bar(t, like), bar, rtol=0, atol=0)
    assert (SD.bar(torch.tensor([0, 0, 0]), like) == 1).all()


def test_low_precision_keeps_the_noise_of_the_first_step():
    """1 - ᾱ_1 = 0.00085 would be 0 in bfloat16."""
    like = torch.zeros(2, 3, dtype=torch.bfloat16)
    bar = SD.bar(torch.tensor([1, 2]), like)
    assert bar.dtype == torch.float32
    assert (1 - bar[0]).item() == pytest.approx(0.00085, rel=1e-3)


def test_stable_diffusion_at_fifty_steps():
    """Network times 981, 961, ..., 1 (diffusers, steps_offset 1), then ᾱ of network time 0."""
    visited = times(SD, 50)
    assert [t - 1 for t in visited[:-1]] == list(range(981, 0, -20))
    assert visited[-1] == 1
    assert times(SD, 50, final="zero")[-1] == 0


@pytest.mark.parametrize("steps", [2, 3, 7, 20, 30, 50, 333, 500])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_times_follow_the_published_formulas(spacing, steps):
    """The three formulas of diffusers' schedulers, in numpy, on network time τ = t - 1."""
    T = SD.T
    tau = {
        "leading": (np.arange(0, steps) * (T // steps)).round()[::-1] + 1,
        "trailing": np.round(np.arange(T, 0, -T / steps)) - 1,
        "linspace": np.linspace(0, T - 1, steps).round()[::-1],
    }[spacing]
    visited = times(SD, steps, spacing, final="zero")
    assert [t - 1 for t in visited[:-1]] == tau.astype(int).tolist()


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_diffusers_agrees(spacing):
    """The independent judge, where it is installed."""
    diffusers = pytest.importorskip("diffusers")
    judge = diffusers.DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        steps_offset=1,
        timestep_spacing=spacing,
        set_alpha_to_one=False,
    )
    judge.set_timesteps(50)
    assert [t - 1 for t in times(SD, 50, spacing, final="zero")[:-1]] == judge.timesteps.tolist()
    torch.testing.assert_close(
        judge.alphas_cumprod.double(), SD.alpha_bar[1:], rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("T", [1000, 97])
def test_every_answer_is_strictly_descending_and_within_bounds(T):
    """Over all step counts, spacings, offsets and landings: a valid sequence or a ValueError."""
    schedule = schedules.linear(T)
    answered = 0
    for steps in range(1, T + 1, 1 if T < 100 else 13):
        for spacing in ("leading", "trailing", "linspace"):
            for offset in (0, 1):
                for final in ("first", "zero"):
                    try:
                        visited = times(schedule, steps, spacing, offset, final)
                    except ValueError:
                        continue
                    answered += 1
                    assert len(visited) == steps + 1
                    assert all(a > b for a, b in pairwise(visited))
                    assert visited[0] <= T and visited[-2] >= 1
    assert answered > 100


def test_every_step_can_be_taken():
    """All T steps, 1000 down to 0, as DDPM samples."""
    assert times(SD, 1000, "leading", offset=0, final="zero") == tuple(range(1000, -1, -1))
    assert times(SD, 1000, "trailing", final="zero") == tuple(range(1000, -1, -1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "1..T = 1000, got 0"),
        ({"steps": 1001}, "got 1001"),
        ({"steps": 1000}, "visit t = 1001"),  # diffusers #10003: index out of bounds
        ({"steps": 50, "offset": 40}, "outside 1..1000"),
        ({"steps": 50, "offset": -1}, "outside 1..1000"),
        ({"steps": 50, "offset": 0}, "which is no step"),
        ({"steps": 50, "spacing": "linspace"}, "which is no step"),
        ({"steps": 1, "spacing": "linspace"}, "at least 2 steps"),
        ({"steps": 50, "spacing": "trailing", "offset": 5}, "'leading' only"),
        ({"steps": 50, "spacing": "karras"}, "'karras'"),
        ({"steps": 50, "final": "one"}, "'one'"),
    ],
)
def test_impossible_times_say_so(arguments, message):
    with pytest.raises(ValueError, match=message):
        times(SD, **arguments)


def test_bad_tables_and_times_are_refused():
    zero, one = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for beta, bar in [(zero, one), (one / 2, one), (zero[:1], one[:1]), (zero.float(), one)]:
        with pytest.raises(ValueError):
            Schedule(beta, bar)
    good = from_beta(torch.tensor([0.1, 0.2]))
    with pytest.raises(ValueError, match="running product"):
        Schedule(good.beta, torch.tensor([1, 0.9, 0.7], dtype=torch.float64))
    with pytest.raises(ValueError, match=r"1\.\.2, got 0\.\.1"):
        good.at(torch.tensor([0, 1]), zero)
    with pytest.raises(ValueError, match="integer tensor"):
        good.bar(torch.tensor([0.5]), zero)
    for visited in [(2,), (2, 2), (1, 2), (3, 1), (1, -1)]:
        with pytest.raises(ValueError):
            check_times(good, visited)
    assert batch_time(2, torch.zeros(3, 5)).tolist() == [2, 2, 2]


def test_a_respaced_step_is_the_steps_it_leaves_out():
    """IDDPM Eq. 19: it shrinks data and adds variance as all the steps of DDPM Eq. 2 in between."""
    visited = (999, 640, 7, 1, 0)
    found = respaced(SD, visited)
    assert found.T == 4
    for i, (t_prev, t) in enumerate(pairwise(visited[::-1]), 1):
        x, variance = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for beta in SD.beta[t_prev + 1 : t + 1]:
            x, variance = (1 - beta).sqrt() * x, (1 - beta) * variance + beta
        torch.testing.assert_close((1 - found.beta[i]).sqrt(), x, rtol=1e-10, atol=0)
        torch.testing.assert_close(found.beta[i], variance, rtol=1e-10, atol=0)
        torch.testing.assert_close(found.alpha_bar[i], SD.alpha_bar[t], rtol=1e-10, atol=0)
    with pytest.raises(ValueError, match="lands on t = 1, wanted clean data"):
        respaced(SD, visited[:-1])


def test_strength_is_the_share_of_the_steps():
    visited = times(schedules.scaled_linear(), 20)
    assert late_times(visited, 1) == visited
    assert late_times(visited, 0.25) == visited[-6:]
    assert late_times(visited, 0.001) == visited[-2:]
    for wrong in (0, -0.5, 1.01, math.nan):
        with pytest.raises(ValueError, match="strength must be in"):
            late_times(visited, wrong)


def test_a_column_goes_with_its_batch():
    """Every sample meets its own value, in a batch of any rank."""
    values = torch.tensor([2.0, 3.0, 5.0])
    for shape in ((3,), (3, 7), (3, 2, 5, 7)):
        product = column(values, torch.ones(shape)) * torch.ones(shape)
        assert product.shape == shape
        assert product.reshape(3, -1).unique(dim=1).tolist() == [[2.0], [3.0], [5.0]]
