"""Tests of the learned variance: its two ends, what is between them, and the step that draws it."""

import pytest
import torch

from latentgeo.core import ddpm, learned_variance, schedule

T = 53
SCHEDULE = schedule.linear(T, end=0.3)


def batch(t: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return x_t, ε of noise and the times."""
    generator = torch.Generator().manual_seed(0)
    x_t, eps = torch.randn(2, len(t), 3, 5, 7, generator=generator, dtype=torch.float64)
    return x_t, eps, torch.tensor(t)


def test_ends_are_the_two_variances():
    """IDDPM Eq. 15: v = 1 is β_t, v = 0 is the posterior's β̃_t."""
    x_t, x_0, t = batch([2, 11, T])
    _, beta_tilde = ddpm.posterior(SCHEDULE, x_t, x_0, t)
    upper = learned_variance.variance(SCHEDULE, torch.ones_like(x_t), t)
    lower = learned_variance.variance(SCHEDULE, torch.zeros_like(x_t), t)
    torch.testing.assert_close(upper, SCHEDULE.beta[t, None, None, None].expand_as(upper))
    torch.testing.assert_close(lower, beta_tilde.expand_as(lower))


def test_midway_is_the_geometric_mean():
    """IDDPM Eq. 15: log Σ is affine in v: half-way √(β_t β̃_t), and d log Σ/dv = log(β_t/β̃_t)."""
    x_t, x_0, t = batch([2, 11, T])
    _, beta_tilde = ddpm.posterior(SCHEDULE, x_t, x_0, t)
    beta = SCHEDULE.beta[t, None, None, None]
    half = learned_variance.variance(SCHEDULE, torch.full_like(x_t, 0.5), t)
    torch.testing.assert_close(half, (beta * beta_tilde).sqrt().expand_as(half))
    v = torch.rand(x_t.shape, generator=torch.Generator().manual_seed(1), dtype=x_t.dtype)
    v.requires_grad_()
    (slope,) = torch.autograd.grad(learned_variance.variance(SCHEDULE, v, t).log().sum(), v)
    torch.testing.assert_close(slope, (beta / beta_tilde).log().expand_as(slope))


def test_first_step_has_the_second_ones_lower_end():
    """IDDPM Eq. 15: β̃_1 = 0 has no logarithm; β̃_2 takes its place, and nothing is infinite."""
    zero = torch.zeros(2, 3, 5, dtype=torch.float64)
    first, second = learned_variance.variance(SCHEDULE, zero, torch.tensor([1, 2]))
    torch.testing.assert_close(first, second)
    one = learned_variance.variance(SCHEDULE, zero + 1, torch.tensor([1, 2]))
    torch.testing.assert_close(one[0], SCHEDULE.beta[1].expand_as(one[0]))


def test_step_is_a_draw_of_the_two_published_ones():
    """IDDPM Eq. 15: at v = 1 and v = 0 the step is DDPM's with β_t and with β̃_t, and at t = 1."""
    x_t, eps, t = batch([1, 2, 11, T])
    noise = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(2), dtype=x_t.dtype)
    for v, published in (1.0, ddpm.ancestral_step_beta), (0.0, ddpm.ancestral_step):
        got = learned_variance.ancestral_step(SCHEDULE, x_t, eps, torch.full_like(x_t, v), t, noise)
        torch.testing.assert_close(got, published(SCHEDULE, x_t, eps, t, noise))


def test_output_is_split_into_noise_and_interpolation():
    """IDDPM Eq. 15: a network's output of zero is midway, of ±1 one of the ends."""
    eps, raw = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(3)).clamp(-1, 1)
    output = torch.cat([eps, raw])[None]
    found, v = learned_variance.split(output)
    torch.testing.assert_close(found[0], eps, rtol=0, atol=0)
    torch.testing.assert_close(2 * v[0] - 1, raw)
    predict = learned_variance.noise_only(lambda x_t, t: output)
    torch.testing.assert_close(predict(eps[None], torch.tensor([5]))[0], eps, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"output is \(1, 5, 5, 7\), wanted \(B, 2 C, ...\)"):
        learned_variance.split(output[:, :5])
