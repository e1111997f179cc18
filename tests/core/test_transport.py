"""W2, geodesics and barycentres by their defining properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from latentgeo.core.couplings import index, optimal, random, worst
from latentgeo.core.transport import (
    barycentre,
    cost,
    displacement,
    gaussian_squared_w2,
    matched,
    path_length,
    prompt_walk,
    squared_w2,
    step_lengths,
    w2,
    w2_printed,
)


def clouds(k=2, b=3, n=11, d=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(k, b, n, d, generator=generator, dtype=torch.float64)


def test_w2_on_a_line_is_the_distance_of_the_quantiles():
    """OT Eq. 2: in one dimension the optimal coupling sorts, so W2² = ∫ (F⁻¹ - G⁻¹)²."""
    x, y = clouds(d=1)
    quantiles = (x.sort(dim=1).values - y.sort(dim=1).values).square().mean(dim=(1, 2))
    torch.testing.assert_close(squared_w2(x, y), quantiles, rtol=1e-12, atol=0)


def test_mass_and_print_differ_by_the_root_of_n():
    """OT Eq. 2, OT Err. 2: cutting each point into 3 of a third of its mass leaves W2, not the
    print.
    """
    x, y = clouds()
    torch.testing.assert_close(w2_printed(x, y), 11**0.5 * w2(x, y), rtol=1e-12, atol=0)
    thrice = [cloud.repeat_interleave(3, dim=1) for cloud in (x, y)]
    torch.testing.assert_close(w2(*thrice), w2(x, y), rtol=1e-12, atol=0)
    torch.testing.assert_close(w2_printed(*thrice), 3**0.5 * w2_printed(x, y), rtol=1e-12, atol=0)


@st.composite
def triples(draw):
    """Three clouds (1, N, D) of any finite points, equal and aligned ones among them."""
    shape = (3, 1, draw(st.integers(1, 7)), draw(st.integers(1, 5)))
    numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, width=32))
    return torch.from_numpy(draw(arrays(np.float64, shape, elements=numbers)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(points=triples(), seed=st.integers(0, 2**31))
def test_w2_is_a_metric(points, seed):
    """OT Eq. 2: symmetric, zero for one measure only, and a way round is no shorter."""
    x, y, z = points
    scale = 1e-9 * (1 + points.abs().max())
    torch.testing.assert_close(w2(x, y), w2(y, x), rtol=1e-12, atol=float(scale))
    assert (w2(x, z) <= w2(x, y) + w2(y, z) + scale).all()
    order = random(x, torch.Generator().manual_seed(seed))
    assert (w2(x, matched(x, order)) == 0).all()
    same = sorted(x[0].tolist()) == sorted(y[0].tolist())
    assert bool((w2(x, y) == 0).all()) == same or (w2(x, y) < scale).all()


@pytest.mark.parametrize("seed", range(5))
def test_displacement_along_the_optimal_coupling_is_a_geodesic(seed):
    """OT Sec. 4: W2(μ_s, μ_t) = |t - s| W2(μ_0, μ_1) for any two places on the way."""
    x, y = clouds(b=5, n=17, seed=seed)
    sigma = optimal(x, y)
    places = [0.0, 0.13, 0.5, 0.77, 1.0]
    way = [displacement(x, y, sigma, s) for s in places]
    assert torch.equal(way[0], x) and torch.equal(way[-1], matched(y, sigma))
    for s, here in zip(places, way, strict=True):
        for t, there in zip(places, way, strict=True):
            expected = abs(t - s) * w2(x, y)
            torch.testing.assert_close(w2(here, there), expected, rtol=1e-10, atol=1e-10)


def test_no_other_coupling_is_shorter():
    """OT Sec. 4: the optimal walk has the length W2(μ_0, μ_1); any walk has at least that."""
    x, y = clouds(b=1, n=13, seed=1)
    both = torch.cat([x, y])
    generator = torch.Generator().manual_seed(1)
    couplings = {
        "optimal": optimal(x, y),
        "index": index(x),
        "random": random(x, generator),
        "worst": worst(x, y),
    }
    lengths = {
        name: path_length(prompt_walk(both, sigma, 7)).item() for name, sigma in couplings.items()
    }
    assert lengths["optimal"] == pytest.approx(w2(x, y).item(), rel=1e-12)
    assert lengths["optimal"] < lengths["index"] < lengths["worst"]
    assert min(lengths.values()) == lengths["optimal"]
    assert lengths["worst"] <= (cost(x, y, couplings["worst"]) / 13).sqrt().item() + 1e-12


def test_step_lengths_of_a_geodesic_are_equal():
    """OT Sec. 4: equal steps of s are equal steps of W2."""
    both = clouds(b=1, n=7, seed=2)[:, 0]
    steps = step_lengths(prompt_walk(both, optimal(both[:1], both[1:]), 5))
    torch.testing.assert_close(steps, w2(both[:1], both[1:]).expand(4) / 4, rtol=1e-12, atol=0)


def test_a_walk_visits_every_cloud():
    points = clouds(4, 1, 7, 3)[:, 0]
    sigma = optimal(points[:-1], points[1:])
    walk = prompt_walk(points, sigma, 3)
    assert walk.shape == (7, 7, 3)
    assert (w2(walk[::2], points) == 0).all()
    assert torch.equal(walk[0], points[0])
    middle = (points[1] + points[2][sigma[1]]) / 2
    torch.testing.assert_close(walk[3], middle, rtol=1e-14, atol=0)


@pytest.mark.parametrize(("k", "frames", "legs"), [(1, 3, 0), (2, 1, 1), (3, 3, 1)])
def test_a_walk_needs_clouds_frames_and_couplings(k, frames, legs):
    points = torch.zeros(k, 5, 2)
    with pytest.raises(ValueError, match="a walk needs"):
        prompt_walk(points, torch.zeros(legs, 5, dtype=torch.int64), frames)


def test_cost_has_the_gradient_of_moving_points():
    """OT Eq. 2: ∂W2²/∂x_i = 2/N (x_i - T(x_i)), since the best coupling is stationary."""
    x, y = clouds(b=2, n=7, seed=3)
    x.requires_grad_()
    squared_w2(x, y).sum().backward()
    toward = 2 / 7 * (x - matched(y, optimal(x, y)))
    torch.testing.assert_close(x.grad, toward.detach(), rtol=1e-12, atol=1e-14)


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ (values.clamp(min=0).sqrt()[..., None] * vectors.mT)


@pytest.mark.parametrize(("n", "d"), [(13, 5), (5, 13)])
def test_gaussian_w2_by_matrix_roots(n, d):
    """Against the roots of the D × D covariances, also where they are singular (N < D)."""
    x, y = clouds(n=n, d=d, seed=4)
    y = 2 * y + 3
    a, b = (torch.stack([one.T.cov(correction=0) for one in cloud]) for cloud in (x, y))
    cross = root(root(a) @ b @ root(a)).diagonal(dim1=1, dim2=2).sum(1)
    trace = (a + b).diagonal(dim1=1, dim2=2).sum(1)
    expected = (x.mean(1) - y.mean(1)).square().sum(1) + trace - 2 * cross
    torch.testing.assert_close(gaussian_squared_w2(x, y), expected, rtol=1e-6, atol=1e-6)


def test_gaussian_w2_is_exact_for_an_affine_map_and_never_more_than_w2():
    """A symmetric positive definite map is optimal, so both distances are its cost."""
    x, y = clouds(b=2, n=17, d=3, seed=5)
    half = y[:, :3]
    mapped = x @ (half @ half.mT + torch.eye(3)) + 1
    torch.testing.assert_close(gaussian_squared_w2(x, mapped), squared_w2(x, mapped))
    assert (gaussian_squared_w2(x, y) < squared_w2(x, y)).all()


def test_barycentre_of_two_is_the_displacement():
    """At weights 1:1 the midpoint, at 1:3 three quarters of the way, as measures."""
    points = clouds(b=1, n=11, seed=6)[:, 0]
    x, y = points[:1], points[1:]
    for weights, s in (([1, 1], 0.5), ([1, 3], 0.75), ([0.6, 0.2], 0.25)):
        expected = displacement(x, y, optimal(x, y), s)
        assert w2(barycentre(points, weights)[None], expected).item() < 1e-14


def test_barycentre_on_a_line_averages_quantiles():
    """In one dimension W2 is the distance of sorted points, whose mean is the minimum."""
    points = clouds(5, 1, 7, 1, seed=7)[:, 0]
    weights = torch.tensor([1.0, 2, 3, 1, 1], dtype=torch.float64)
    expected = (weights[:, None, None] * points.sort(dim=1).values).sum(0) / weights.sum()
    found = barycentre(points, weights.tolist()).sort(dim=0).values
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_barycentre_is_better_than_what_is_near_it():
    points = clouds(3, 1, 7, 3, seed=8)[:, 0]

    def total(x):
        return squared_w2(x.expand_as(points), points).sum().item()

    found = barycentre(points, [1, 1, 1])
    generator = torch.Generator().manual_seed(8)
    assert total(found) < min(total(cloud) for cloud in points)
    for _ in range(5):
        away = 0.01 * torch.randn(7, 3, generator=generator, dtype=torch.float64)
        assert total(found) < total(found + away)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")]])
def test_barycentre_wants_positive_weights(weights):
    with pytest.raises(ValueError, match="weights"):
        barycentre(torch.zeros(2, 3, 2), weights)
