"""The statistic v against the full Jacobian, and its three weight gradients against each other."""

import pytest
import torch
from torch import nn

from latentgeo.core import schedule as schedules
from latentgeo.core.ddpm import q_sample, simple_loss
from latentgeo.core.gaussian import Gaussian, exact_eps
from latentgeo.core.parameterization import target, x_0_from
from latentgeo.core.smooth import objective, official_direction, regularizer, unit_direction
from latentgeo.core.variation_routes import (
    ROUTES,
    central_difference,
    double_backward,
    reverse_over_forward,
    variation,
)

SCHEDULE = schedules.scaled_linear()
KINDS = ["eps", "x_0", "v"]


class Tiny(nn.Module):
    """A network with all that a UNet has: convolution, GroupNorm, SiLU, attention, time."""

    def __init__(self):
        super().__init__()
        self.inward = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.GroupNorm(2, 6)
        self.time = nn.Linear(1, 6)
        self.qkv = nn.Conv2d(6, 18, 1)
        self.outward = nn.Conv2d(6, 2, 3, padding=1)

    def forward(self, x, t):
        h = self.inward(x) + self.time(t.to(x).unsqueeze(1) / 1000)[:, :, None, None]
        h = nn.functional.silu(self.norm(h))
        q, k, v = self.qkv(h).flatten(2).chunk(3, dim=1)  # (B, C, N)
        mixed = v @ torch.softmax(q.transpose(1, 2) @ k / 6**0.5, dim=2).transpose(1, 2)
        return self.outward(h + mixed.reshape(h.shape))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Tiny().double()


def point(dtype=torch.float64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x_0, eps = torch.randn(2, 3, 2, 5, 7, generator=generator, dtype=torch.float64).to(dtype)
    direction = unit_direction(torch.zeros(3, 2, 5, 7, dtype=torch.float64), generator)
    return x_0, eps, torch.tensor([3, 400, 990]), direction.to(dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_variation_is_the_jacobian_transposed(network, kind):
    """Smooth Eq. 9, Smooth Eq. 10: √(1-ᾱ_t) ‖J_εᵀ Δx̂_0‖ from the full Jacobian, row by row, which
    has no entries between samples, whatever the network predicts.
    """
    x_0, eps, t, d = point()

    def x_0_hat(e):
        x_t = q_sample(SCHEDULE, x_0, t, e)
        return x_0_from(SCHEDULE, x_t, network(x_t, t), t, kind)

    jacobian = torch.autograd.functional.jacobian(x_0_hat, eps).reshape(3, 70, 3, 70)
    v = variation(network, SCHEDULE, x_0, eps, t, d, kind)
    for i in range(3):
        pulled = jacobian[i, :, i].T @ d[i].flatten()
        expected = (1 - SCHEDULE.alpha_bar[t[i]]).sqrt() * pulled.norm()
        torch.testing.assert_close(v[i], expected, rtol=1e-10, atol=0)
        assert jacobian[i, :, (i + 1) % 3].abs().max() == 0
    assert not v.requires_grad


@pytest.mark.parametrize("std", [0.3, 1.0])
def test_variation_of_the_exact_gaussian_denoiser(std):
    """Smooth Eq. 9: x̂_0 has slope √ᾱ s²/(ᾱs² + 1-ᾱ) in x_t, so v is that times 1 - ᾱ: √ᾱ (1-ᾱ)
    for unit data, 0.385 at its highest, for every direction.
    """
    data = Gaussian(torch.tensor(0.4), torch.tensor(std, dtype=torch.float64))
    t = torch.tensor([1, 3, 400, 571, 990])
    x_0, eps, direction = torch.randn(3, 5, 7, dtype=torch.float64)
    d = unit_direction(direction)
    v = variation(exact_eps(data, SCHEDULE), SCHEDULE, x_0, eps, t, d)
    bar = SCHEDULE.alpha_bar[t]
    slope = bar.sqrt() * std**2 / (bar * std**2 + 1 - bar)
    torch.testing.assert_close(v, (1 - bar) * slope, rtol=1e-8, atol=1e-10)
    if std == 1:
        assert v.max() < 2 / 27**0.5  # √ᾱ(1-ᾱ) is highest at ᾱ = 1/3


def test_a_longer_direction_is_measured_in_proportion(network):
    """Smooth Eq. 9: v is homogeneous in Δx̂_0, as the released direction of random length needs."""
    x_0, eps, t, _ = point()
    generator = torch.Generator().manual_seed(5)
    drawn = official_direction(x_0, generator)
    length = drawn.flatten(1).norm(dim=1)
    unit = drawn / length.reshape(-1, 1, 1, 1)
    torch.testing.assert_close(
        variation(network, SCHEDULE, x_0, eps, t, drawn),
        length * variation(network, SCHEDULE, x_0, eps, t, unit),
    )


def weight_gradient(route, network, kind, dtype=torch.float64, **options):
    """Return (v, all weight gradients joined) of the whole training objective."""
    x_0, eps, t, d = point(dtype)
    network.zero_grad()
    raw, v = route(network, SCHEDULE, x_0, eps, t, d, kind, **options)
    base = simple_loss(target(SCHEDULE, x_0, eps, t, kind), raw)
    loss = objective(base, regularizer(v, torch.tensor(0.3)), 0.5)
    loss.backward()
    return loss, v, torch.cat([p.grad.flatten() for p in network.parameters()])


@pytest.mark.parametrize("route", ROUTES.values())
def test_the_noise_gets_no_gradient(network, route):
    """Smooth Eq. 10: the gradient is the weights' alone, even where ε would take one."""
    x_0, eps, t, d = point()
    eps.requires_grad_()
    _, v = route(network, SCHEDULE, x_0, eps, t, d, "eps")
    v.sum().backward()
    assert eps.grad is None
    assert network.outward.weight.grad.abs().max() > 0


@pytest.mark.parametrize("route", [variation, *ROUTES.values()])
def test_the_noise_is_left_as_it_was(network, route):
    """Smooth Eq. 10: what is differentiated in ε's place is not the caller's tensor."""
    x_0, eps, t, d = point()
    before = eps.clone()
    route(network, SCHEDULE, x_0, eps, t, d, "eps")
    assert not eps.requires_grad and torch.equal(eps, before)


@pytest.mark.parametrize("kind", KINDS)
def test_routes_agree(network, kind):
    """Smooth Eq. 10: one value and one weight gradient by three routes, in float64."""
    loss, v, exact = weight_gradient(double_backward, network, kind)
    forward_loss, forward_v, forward = weight_gradient(reverse_over_forward, network, kind)
    secant_loss, secant_v, secant = weight_gradient(central_difference, network, kind)
    for other in (forward_v, secant_v):
        torch.testing.assert_close(other, v, rtol=1e-14, atol=0)
    for other in (forward_loss, secant_loss):
        torch.testing.assert_close(other, loss, rtol=1e-13, atol=0)
    assert ((forward - exact).norm() / exact.norm()) < 1e-8
    assert ((secant - exact).norm() / exact.norm()) < 3e-10  # at the default h
    assert exact.norm() > 1e-3


def test_weight_gradient_is_the_slope_of_the_loss(network):
    """Smooth Eq. 9, Smooth Eq. 14: along a random line of weights, by differences of the loss."""
    _, _, exact = weight_gradient(double_backward, network, "eps")
    line = torch.randn(exact.shape, dtype=torch.float64)
    start = nn.utils.parameters_to_vector(network.parameters()).detach()

    def loss_at(s):
        nn.utils.vector_to_parameters(start + s * line, network.parameters())
        return weight_gradient(double_backward, network, "eps")[0].item()

    slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
    assert slope == pytest.approx((exact @ line).item(), rel=1e-6)


def test_central_difference_error_is_second_order(network):
    """Smooth Eq. 10 by differences: ten times the step, a hundred times the error."""
    _, _, exact = weight_gradient(double_backward, network, "eps")
    near, far = (
        (weight_gradient(central_difference, network, "eps", h=h)[2] - exact).norm()
        for h in (1e-4, 1e-3)
    )
    assert 80 < far / near < 120


def test_routes_agree_in_float32():
    """Smooth Eq. 10 in the precision of training: 1e-5 for the exact routes, 1e-3 for the third."""
    torch.manual_seed(0)
    network = Tiny()
    _, _, exact = weight_gradient(double_backward, network, "eps", torch.float32)
    _, _, forward = weight_gradient(reverse_over_forward, network, "eps", torch.float32)
    _, _, secant = weight_gradient(central_difference, network, "eps", torch.float32)
    assert ((forward - exact).norm() / exact.norm()) < 1e-5
    assert ((secant - exact).norm() / exact.norm()) < 1e-3


def test_the_default_step_balances_rounding_and_curvature():
    """Smooth Eq. 10 by differences in float32: the square root's step has more rounding."""
    torch.manual_seed(0)
    network = Tiny()
    _, _, exact = weight_gradient(double_backward, network, "eps", torch.float32)

    def error(**step):
        found = weight_gradient(central_difference, network, "eps", torch.float32, **step)[2]
        return (found - exact).norm()

    assert error() < 0.5 * error(h=torch.finfo(torch.float32).eps ** 0.5)


@pytest.mark.parametrize("name", ROUTES)
def test_base_loss_shares_the_first_pass(network, name):
    """Smooth Eq. 10, Smooth Eq. 14: `raw` is the network's output at x_t, with its gradient."""
    x_0, eps, t, d = point()
    passes = []

    def counted(x, at):
        passes.append(1)
        return network(x, at)

    raw, v = ROUTES[name](counted, SCHEDULE, x_0, eps, t, d, "eps")
    assert (
        len(passes)
        == {
            "double-backward": 1,
            "reverse-over-forward": 2,
            "central-difference": 3,
        }[name]
    )
    x_t = q_sample(SCHEDULE, x_0, t, eps)
    torch.testing.assert_close(raw, network(x_t, t), rtol=1e-13, atol=1e-13)
    shared = torch.autograd.grad(simple_loss(eps, raw), network.inward.weight, retain_graph=True)
    alone = torch.autograd.grad(simple_loss(eps, network(x_t, t)), network.inward.weight)
    torch.testing.assert_close(shared, alone)
    torch.testing.assert_close(v, variation(network, SCHEDULE, x_0, eps, t, d), rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", ROUTES)
def test_frozen_weights_stay_without_gradient(network, name):
    """Smooth Eq. 6 in use: the base is frozen and an adapter alone is trained."""
    network.requires_grad_(False)
    network.qkv.requires_grad_(True)
    x_0, eps, t, d = point()
    raw, v = ROUTES[name](network, SCHEDULE, x_0, eps, t, d, "eps")
    objective(simple_loss(eps, raw), regularizer(v, torch.tensor(0.1))).backward()
    assert network.qkv.weight.grad.abs().sum() > 0 and network.inward.weight.grad is None


@pytest.mark.parametrize("name", ROUTES)
def test_a_flat_network_has_a_finite_gradient(name):
    """Smooth Eq. 10 where v = 0: x̂_0 does not depend on ε, and nothing becomes infinite."""
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    x_0, eps, t, d = point()
    _, v = ROUTES[name](lambda x, at: weight * x, SCHEDULE, x_0, eps, t, d, "x_0")
    regularizer(v, torch.tensor(0.3)).backward()
    assert (v == 0).all() and weight.grad.isfinite().all()
