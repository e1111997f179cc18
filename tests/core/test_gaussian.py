"""The closed forms for Gaussian data against autograd and composition."""

import torch

from latentgeo.core import schedule as schedules
from latentgeo.core.gaussian import Gaussian, exact_eps, flow, marginal

SCHEDULE = schedules.scaled_linear()
DATA = Gaussian(torch.tensor([0.4, -2.0, 1.1]).double(), torch.tensor([0.7, 0.2, 1.9]).double())
t = torch.tensor([1, 500, 1000, 3, 40])
x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_exact_eps_is_the_score_of_the_marginal():
    """DDPM Eq. 14 is least at ε = -√(1-ᾱ_t) ∇ log q(x_t), by autograd of the marginal density."""
    point = x.clone().requires_grad_()
    bar = SCHEDULE.bar(t, x)
    variance = bar * DATA.std**2 + 1 - bar
    (score,) = torch.autograd.grad(
        (-((point - bar.sqrt() * DATA.mean) ** 2) / (2 * variance)).sum(), point
    )
    eps = exact_eps(DATA, SCHEDULE)(x, t)
    torch.testing.assert_close(eps, -(1 - bar).sqrt() * score, rtol=1e-11, atol=1e-11)


def test_flow_carries_one_marginal_to_another_and_composes():
    """DDIM Eq. 14: the flow maps N(mean_t, var_t) onto N(mean_s, var_s), in any number of parts."""
    zero, half = torch.zeros_like(t), torch.full_like(t, 500)
    mean, variance = marginal(DATA, SCHEDULE, t, x)
    standard = torch.tensor([-1.0, 0.0, 1.0, 2.0, 3.0]).double().unsqueeze(1)
    out = flow(DATA, SCHEDULE, mean + standard * variance.sqrt(), t, zero)
    torch.testing.assert_close(out, DATA.mean + standard * DATA.std, rtol=1e-11, atol=1e-11)
    parts = flow(DATA, SCHEDULE, flow(DATA, SCHEDULE, x, t, half), half, zero)
    torch.testing.assert_close(parts, flow(DATA, SCHEDULE, x, t, zero), rtol=1e-11, atol=1e-11)
