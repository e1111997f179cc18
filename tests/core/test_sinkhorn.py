"""Entropic plans against the exact cost, the optimality conditions, and the closed form of two."""

import math

import pytest
import torch

from latentgeo.core.sinkhorn import default_epsilon, sinkhorn, squared_distances
from latentgeo.core.transport import squared_w2


def clouds(b=3, n=13, d=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, b, n, d, generator=generator, dtype=torch.float64)


def padded(b=2, n=41, d=29, seed=1):
    """Clouds like a text encoder's: a few tokens apart, and padding close together."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2 * b, n, d, generator=generator)
    x[:, 7:] = x[:1, 7:8] + 0.1 * x[:, 7:]
    x[:, 0] = x[0, 0]
    return x[:b], x[b:]


def test_costs_are_squared_distances():
    x, y = clouds()
    direct = (x[:, :, None] - y[:, None]).square().sum(dim=3)
    torch.testing.assert_close(squared_distances(x, y), direct, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "pair", [clouds(), clouds(2, 31, 2), padded()], ids=["few", "flat", "padded"]
)
def test_default_is_within_one_percent_of_the_exact_cost(pair):
    """And the coupling's own error is reported and small."""
    found = sinkhorn(*pair)
    exact = squared_w2(*pair)
    assert (found.marginal_error < 1e-3).all()
    assert ((found.cost - exact).abs() < 0.01 * exact).all()


def test_bias_is_within_its_bound_and_falls_with_epsilon():
    """0 <= ⟨P, C⟩ - exact <= ε log N."""
    x, y = clouds(seed=2)
    exact, before = squared_w2(x, y), None
    for epsilon in (3.0, 1.0, 0.3):
        wanted = torch.full((3,), epsilon, dtype=torch.float64)
        bias = sinkhorn(x, y, wanted, tolerance=1e-9).cost - exact
        assert (bias > -1e-8).all() and (bias < epsilon * math.log(13)).all()
        assert before is None or (bias < before).all()
        before = bias


def test_plan_is_the_product_of_potentials():
    """ε log P + C = f ⊕ g: what makes a plan with these marginals the entropic optimum."""
    x, y = clouds(seed=3)
    epsilon = torch.tensor([0.5, 0.7, 1.1], dtype=torch.float64)
    found = sinkhorn(x, y, epsilon, tolerance=1e-12)
    potential = epsilon[:, None, None] * found.plan.log() + squared_distances(x, y)
    mixed = potential - potential[:, :1] - potential[:, :, :1] + potential[:, :1, :1]
    assert mixed.abs().max() < 1e-9
    for axis in (1, 2):
        sums = found.plan.sum(dim=axis)
        torch.testing.assert_close(sums, torch.full_like(sums, 1 / 13), rtol=1e-10, atol=0)


def test_two_points_have_a_closed_form():
    """P_11 = ½ σ(Δ/2ε) with Δ = C_12 + C_21 - C_11 - C_22, by the one free entry's stationarity."""
    x, y = clouds(5, 2, 3, seed=4)
    epsilon = torch.linspace(0.5, 3, 5, dtype=torch.float64)
    c = squared_distances(x, y)
    gain = c[:, 0, 1] + c[:, 1, 0] - c[:, 0, 0] - c[:, 1, 1]
    expected = 0.5 * torch.sigmoid(gain / (2 * epsilon))
    found = sinkhorn(x, y, epsilon, tolerance=1e-13).plan[:, 0, 0]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_clouds_of_different_sizes():
    """Uniform marginals 1/N and 1/M; a doubled cloud is the same measure."""
    x, y = clouds(n=7)
    doubled = torch.cat([y, y], dim=1)
    epsilon = torch.full((3,), 0.5, dtype=torch.float64)
    one, two = sinkhorn(x, y, epsilon, 1e-10), sinkhorn(x, doubled, epsilon, 1e-10)
    assert two.plan.shape == (3, 7, 14)
    torch.testing.assert_close(one.cost, two.cost, rtol=1e-8, atol=0)


def test_what_is_not_reached_is_reported():
    x, y = clouds()
    found = sinkhorn(x, y, torch.full((3,), 0.1), tolerance=1e-12, rounds=3)
    assert found.rounds == 3 and (found.marginal_error > 1e-12).all()
    column = (found.plan.sum(dim=1) - 1 / 13).abs().sum(dim=1)
    row = (found.plan.sum(dim=2) - 1 / 13).abs().sum(dim=1)
    torch.testing.assert_close(found.marginal_error, column + row)


def test_equal_clouds_and_single_points_have_plans():
    x, _ = clouds()
    assert (sinkhorn(x, x.flip(1)).cost < 0.01 * squared_distances(x, x).mean()).all()
    point = torch.ones(1, 1, 2)
    assert sinkhorn(point, point + 1).cost.item() == pytest.approx(2)
    assert default_epsilon(torch.zeros(1, 3, 3)).item() > 0


@pytest.mark.parametrize(
    ("x", "y", "epsilon", "message"),
    [
        (torch.zeros(1, 3, 2), torch.zeros(1, 3, 5), None, "clouds must be"),
        (torch.zeros(1, 3, 2), torch.full((1, 3, 2), torch.nan), None, "y: got a cloud"),
        (torch.zeros(1, 3, 2), torch.ones(1, 3, 2), torch.tensor([0.0]), "epsilon"),
        (torch.zeros(1, 3, 2), torch.ones(1, 3, 2), torch.ones(2), "epsilon"),
    ],
)
def test_bad_input_is_refused(x, y, epsilon, message):
    with pytest.raises(ValueError, match=message):
        sinkhorn(x, y, epsilon)
