"""DDPM against Bayes' rule, quadrature and data for which it is exact."""

import math

import numpy as np
import pytest
import torch

from latentgeo.core import schedule as schedules
from latentgeo.core.ddpm import (
    ancestral_step,
    ancestral_step_beta,
    forward_step,
    posterior,
    q_sample,
    reverse_mean,
    sample,
    simple_loss,
)
from latentgeo.core.gaussian import Gaussian, exact_eps
from latentgeo.core.parameterization import score_from_eps, x_0_from_eps
from latentgeo.core.schedule import times

T = 1000
SCHEDULE = schedules.linear(T)
SHORT = schedules.linear(11, 0.01, 0.3)


def log_normal(x, mean, variance):
    return (-((x - mean) ** 2) / (2 * variance) - 0.5 * torch.log(2 * math.pi * variance)).sum()


def test_single_steps_compose_to_the_direct_sample():
    """DDPM Eq. 2, DDPM Eq. 4, Smooth Eq. 1, Smooth Eq. 2: t steps with independent noises have
    the mean and the variance of one draw, and unit variance stays unit variance.
    """
    torch.manual_seed(0)
    x_0 = torch.randn(1, 1, dtype=torch.float64, requires_grad=True)
    noises = torch.randn(11, 1, 1, dtype=torch.float64, requires_grad=True)
    x = x_0
    for t in range(1, 12):
        x = forward_step(SHORT, x, torch.tensor([t]), noises[t - 1])
        to_x_0, to_noises = torch.autograd.grad(x, (x_0, noises), retain_graph=True)
        eps = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
        direct = q_sample(SHORT, x_0, torch.tensor([t]), eps)
        direct_x_0, direct_eps = torch.autograd.grad(direct, (x_0, eps))
        torch.testing.assert_close(to_x_0, direct_x_0, rtol=1e-12, atol=0)
        torch.testing.assert_close((to_noises**2).sum(), direct_eps.item() ** 2 + 0 * x.sum())
        torch.testing.assert_close((to_noises**2).sum(), 1 - to_x_0.item() ** 2 + 0 * x.sum())
        assert direct_eps > 0 and to_noises[t - 1] > 0  # ε is added, not subtracted


def test_simple_loss_is_denoising_score_matching():
    """Iso Eq. 1: λ(t) = 1-ᾱ_t times the distance from the score, which autograd finds."""
    torch.manual_seed(2)
    x_0, eps, predicted = torch.randn(3, 5, 7, dtype=torch.float64)
    for t in (1, 4, 11):
        now = torch.full((5,), t)
        x_t = q_sample(SHORT, x_0, now, eps).requires_grad_()
        bar = SHORT.alpha_bar[t]
        density = log_normal(x_t, bar.sqrt() * x_0, (1 - bar).expand(5, 7))
        (score,) = torch.autograd.grad(density, x_t)
        s = score_from_eps(SHORT, x_t, predicted, now)
        weighted = (1 - bar) * ((s - score) ** 2).sum(1).mean()
        torch.testing.assert_close(7 * simple_loss(eps, predicted), weighted, rtol=1e-11, atol=0)


def test_forward_step_is_the_gaussian_it_claims():
    """DDPM Eq. 2, Asyrp Eq. 1, Smooth Eq. 1: noise n has log-density -n²/2 in N(√(1-β)x, βI)."""
    torch.manual_seed(1)
    x_prev, noise = torch.randn(2, 3, 7, dtype=torch.float64)
    t = torch.tensor([2, 5, 11])
    x = forward_step(SHORT, x_prev, t, noise)
    beta = SHORT.beta[t].unsqueeze(1)
    ratio = (SHORT.alpha_bar[t] / SHORT.alpha_bar[t - 1]).unsqueeze(1)
    torch.testing.assert_close(ratio, 1 - beta, rtol=1e-12, atol=0)
    density = log_normal(x, ratio.sqrt() * x_prev, (1 - ratio).expand(3, 7))
    normalizer = 0.5 * torch.log(2 * math.pi * beta.expand(3, 7)).sum()
    torch.testing.assert_close(density, -(noise**2).sum() / 2 - normalizer, rtol=1e-12, atol=0)


def test_no_noise_at_time_zero():
    """DDPM Eq. 4: at t = 0 the sample is the data."""
    x_0, eps = torch.randn(2, 2, 3)
    assert torch.equal(q_sample(SCHEDULE, x_0, torch.tensor([0, 0]), eps), x_0)


@pytest.mark.parametrize("t", [2, 10, 500, T])
def test_posterior_is_bayes_rule(t):
    """DDPM Eq. 6, DDPM Eq. 7: the score of q(x_t | x_{t-1}) q(x_{t-1} | x_0) is the posterior's."""
    torch.manual_seed(t)
    x_0, x_t, x_prev = torch.randn(3, 1, 7, dtype=torch.float64)
    x_prev.requires_grad_()
    beta, bar_prev = SCHEDULE.beta[t], SCHEDULE.alpha_bar[t - 1]
    log_joint = log_normal(x_t, (1 - beta).sqrt() * x_prev, beta) + log_normal(
        x_prev, bar_prev.sqrt() * x_0, 1 - bar_prev
    )
    (score,) = torch.autograd.grad(log_joint, x_prev)
    mean, variance = posterior(SCHEDULE, x_t, x_0, torch.tensor([t]))
    torch.testing.assert_close((mean - x_prev) / variance, score, rtol=1e-9, atol=1e-9)


def test_posterior_of_the_first_step_is_the_data():
    """DDPM Eq. 7: at t = 1 the mean is x_0 and nothing is left to chance."""
    x_0, x_t = torch.randn(2, 3, 5, dtype=torch.float64)
    mean, variance = posterior(SCHEDULE, x_t, x_0, torch.tensor([1, 1, 1]))
    torch.testing.assert_close(mean, x_0, rtol=1e-12, atol=1e-12)
    assert (variance == 0).all() and variance.shape == (3, 1)


def test_reverse_mean_is_the_posterior_at_the_predicted_data():
    """DDPM Eq. 11: μ_θ = μ̃_t(x_t, x̂_0(ε)), at every t."""
    torch.manual_seed(2)
    t = torch.tensor([1, 2, 13, 499, T])
    x_t, eps = torch.randn(2, 5, 3, 7, dtype=torch.float64)
    mean, _ = posterior(SCHEDULE, x_t, x_0_from_eps(SCHEDULE, x_t, eps, t), t)
    torch.testing.assert_close(reverse_mean(SCHEDULE, x_t, eps, t), mean, rtol=1e-9, atol=1e-9)


def affine(step, data, t):
    """Return how a step with the exact network maps x_t and z: slope, noise size and offset."""
    predict, at = exact_eps(data, SCHEDULE), torch.tensor([t])
    x, z = torch.zeros(2, 1, 1, dtype=torch.float64)

    def go(x, z):
        return step(SCHEDULE, x, predict(x, at), at, z).item()

    base = go(x, z)
    return go(x + 1, z) - base, go(x, z + 1) - base, base


@pytest.mark.parametrize("t", [1, 2, 500, T])
def test_small_variance_is_exact_for_one_point(t):
    """DDPM Alg. 2: data that is one point m; with σ² = β̃ every x_{t-1} has its true marginal."""
    m = 0.7
    data = Gaussian(torch.tensor(m, dtype=torch.float64), torch.tensor(0.0))
    slope, size, base = affine(ancestral_step, data, t)
    bar, bar_prev = SCHEDULE.alpha_bar[t].item(), SCHEDULE.alpha_bar[t - 1].item()
    assert slope * bar**0.5 * m + base == pytest.approx(bar_prev**0.5 * m, rel=1e-10)
    assert slope**2 * (1 - bar) + size**2 == pytest.approx(1 - bar_prev, rel=1e-9, abs=1e-14)
    assert size >= 0


@pytest.mark.parametrize("t", [2, 500, T])
def test_large_variance_is_exact_for_normal_data(t):
    """DDPM Alg. 2, Asyrp Eq. 2: unit normal data; with σ² = β every x_{t-1} has unit variance."""
    data = Gaussian(torch.tensor(0.0), torch.tensor(1.0, dtype=torch.float64))
    slope, size, base = affine(ancestral_step_beta, data, t)
    assert base == 0 and size > 0
    assert slope**2 + size**2 == pytest.approx(1, rel=1e-12)
    assert affine(ancestral_step_beta, data, 1)[1] == 0  # z = 0 at t = 1


def test_sampling_one_point_returns_it():
    """DDPM Alg. 2: from any noise to the only image there is, by every step from T to 0."""
    mean = torch.randn(2, 3, dtype=torch.float64)
    predict = exact_eps(Gaussian(mean, torch.tensor(0.0)), SHORT)
    seen = []

    def watched(x, t):
        seen.append(t.tolist())
        return predict(x, t)

    x_t = torch.randn(5, 2, 3, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    out = sample(watched, SHORT, x_t, times(SHORT, 11, "trailing", final="zero"), generator)
    torch.testing.assert_close(out, mean.expand(5, 2, 3), rtol=1e-10, atol=1e-10)
    assert seen == [[t] * 5 for t in range(11, 0, -1)]


def test_sampling_refuses_to_skip_steps():
    """DDPM Alg. 2 takes single steps."""
    with pytest.raises(ValueError, match="step by step"):
        sample(lambda x, t: x, SHORT, torch.zeros(1, 2), (11, 5, 0))


def test_simple_loss_is_least_at_the_conditional_mean():
    """DDPM Eq. 14, LDM Eq. 2, SmoothS Eq. 2: over all (x_0, ε), by Gauss-Hermite quadrature, no
    affine change of E[ε | x_t] lowers the loss.
    """
    data, t = Gaussian(*torch.tensor([0.3, 0.6], dtype=torch.float64)), 400
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(5))
    a, b = (g.reshape(-1, 1) for g in torch.meshgrid(nodes, nodes, indexing="ij"))
    root = torch.outer(weights / weights.sum(), weights / weights.sum()).reshape(-1, 1).sqrt()
    at = torch.full((25,), t)
    x_t = q_sample(SCHEDULE, 0.3 + 0.6 * a, at, b)
    change = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    predicted = exact_eps(data, SCHEDULE)(x_t, at) + change[0] + change[1] * x_t
    loss = simple_loss(root * b, root * predicted) * 25  # the root turns the mean into E
    (slope,) = torch.autograd.grad(loss, change)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-14)
    bar = SCHEDULE.alpha_bar[t].item()
    least = bar * 0.36 / (bar * 0.36 + 1 - bar)  # Var[ε | x_t]
    assert loss.item() == pytest.approx(least, rel=1e-12)


def test_simple_loss_refuses_to_broadcast():
    """DDPM Eq. 14 compares tensors of one shape."""
    with pytest.raises(ValueError, match="one shape"):
        simple_loss(torch.zeros(3, 1), torch.zeros(3, 5))
