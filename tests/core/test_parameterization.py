"""Predictions of ε, x_0 and v against each other and against derivatives."""

import math

import pytest
import torch

from latentgeo.core import schedule as schedules
from latentgeo.core.ddpm import posterior, q_sample, reverse_mean
from latentgeo.core.parameterization import (
    clipped,
    eps_from_v,
    eps_from_x_0,
    score_from_eps,
    target,
    to_eps,
    v_from,
    x_0_from,
    x_0_from_eps,
    x_0_from_v,
)

SCHEDULE = schedules.scaled_linear()
t = torch.tensor([1, 500, 1000])
torch.manual_seed(0)
x_0, eps = torch.randn(2, 3, 2, 5, dtype=torch.float64)
x_t = q_sample(SCHEDULE, x_0, t, eps)
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def test_x_0_from_eps_undoes_the_noising():
    """DDPM Eq. 15, DDIM Eq. 9: the noising (checked against single steps) is taken back."""
    torch.testing.assert_close(x_0_from_eps(SCHEDULE, x_t, eps, t), x_0, **CLOSE)
    torch.testing.assert_close(eps_from_x_0(SCHEDULE, x_t, x_0, t), eps, **CLOSE)


def test_v_is_the_velocity_on_the_circle():
    """x(φ) = cos φ x_0 + sin φ ε passes x_t with velocity v; v gives back both ends."""
    angle = SCHEDULE.bar(t, x_t).sqrt().acos()
    _, v = torch.func.jvp(
        lambda a: a.cos() * x_0 + a.sin() * eps, (angle,), (torch.ones_like(angle),)
    )
    torch.testing.assert_close(v_from(SCHEDULE, x_0, eps, t), v, **CLOSE)
    torch.testing.assert_close(eps_from_v(SCHEDULE, x_t, v, t), eps, **CLOSE)
    torch.testing.assert_close(x_0_from_v(SCHEDULE, x_t, v, t), x_0, **CLOSE)


def test_score_is_the_gradient_of_the_density():
    """∇ log q(x_t | x_0) by autograd of the normal density."""
    point = x_t.clone().requires_grad_()
    bar = SCHEDULE.bar(t, x_t)
    (score,) = torch.autograd.grad(
        (-((point - bar.sqrt() * x_0) ** 2) / (2 * (1 - bar))).sum(), point
    )
    torch.testing.assert_close(score_from_eps(SCHEDULE, x_t, eps, t), score, **CLOSE)


@pytest.mark.parametrize("kind", ["eps", "x_0", "v"])
def test_a_perfect_network_of_any_kind_predicts_the_same_eps(kind):
    """A network that outputs its training target gives the true ε and x_0."""
    raw = target(SCHEDULE, x_0, eps, t, kind)
    predict = to_eps(lambda x, at: raw, SCHEDULE, kind)
    torch.testing.assert_close(predict(x_t, t), eps, **CLOSE)
    torch.testing.assert_close(x_0_from(SCHEDULE, x_t, raw, t, kind), x_0, **CLOSE)
    assert math.isfinite(predict(x_t, t).norm().item())


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="one of eps, x_0, v, got 'score'"):
        to_eps(lambda x, at: x, SCHEDULE, "score")


def test_the_clipped_eps_explains_x_t_by_data_within_the_bound():
    """DDPM Sec. 3.3: x_t is still √ᾱ_t x̂_0 + √(1-ᾱ_t) ε, and ε as it was where x̂_0 was within."""
    bound, raw = 0.8, 3 * eps
    found = clipped(lambda x, at: raw, SCHEDULE, bound)(x_t, t)
    x_0_found = x_0_from_eps(SCHEDULE, x_t, found, t)
    assert x_0_found.abs().max() <= bound * (1 + 1e-9)
    torch.testing.assert_close(q_sample(SCHEDULE, x_0_found, t, found), x_t, **CLOSE)
    within = x_0_from_eps(SCHEDULE, x_t, raw, t).abs() <= bound
    assert torch.equal(found[within], raw[within])
    assert 0 < within.sum() < within.numel()


def test_clipping_is_the_posterior_at_the_clipped_data():
    """DDPM Sec. 3.3: the mean of the next x is that of q(x_{t-1} | x_t, clip(x̂_0))."""
    inside = x_0_from_eps(SCHEDULE, x_t, eps, t).clamp(-1, 1)
    mean, _ = posterior(SCHEDULE, x_t, inside, t)
    found = clipped(lambda x, at: eps, SCHEDULE)(x_t, t)
    torch.testing.assert_close(reverse_mean(SCHEDULE, x_t, found, t), mean, **CLOSE)


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan])
def test_a_bound_is_positive(bound):
    with pytest.raises(ValueError, match="bound must be positive, got"):
        clipped(lambda x, at: x, SCHEDULE, bound)
