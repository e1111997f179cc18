"""The sphere of noise and its charts, against autograd of the charts and the projector they make.

Sizes are small primes; everything is float64.
"""

import math

import pytest
import torch

from latentgeo.core import sphere
from latentgeo.core.schedule import linear
from latentgeo.kernels.chart import op as chart

B, N = 3, 7
CHARTS = {
    "unit": (sphere.unit_chart, sphere.unit_chart_inverse, sphere.unit_metric),
    "scaled": (sphere.scaled_chart, sphere.scaled_chart_inverse, sphere.scaled_metric),
}


@pytest.fixture
def x():
    return torch.randn(B, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def r(x):
    return x.norm(dim=1)


def tangents(inverse, z, r):
    """Return ∂x/∂z (B, n, n-1) by autograd."""
    rows = [
        torch.autograd.functional.jacobian(lambda w, i=i: inverse(w[None], r[i : i + 1])[0], z[i])
        for i in range(len(z))
    ]
    return torch.stack(rows)


@pytest.mark.parametrize("name", CHARTS)
def test_chart_is_the_projection_from_the_north_pole(name, x, r):
    """Iso Eq. 2: N, x and the plane's point are on one line, and the inverse leads back."""
    project, inverse, _ = CHARTS[name]
    z = project(x, r)
    torch.testing.assert_close(inverse(z, r), x, rtol=0, atol=1e-12)
    pole = torch.zeros_like(x)
    pole[:, -1] = r
    height = 1.0 if name == "unit" else r[:, None]
    plane = torch.cat([z, torch.zeros(B, 1, dtype=z.dtype)], 1) / height * r[:, None]
    a, b = x - pole, plane - pole
    cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    torch.testing.assert_close(cosine, torch.ones_like(cosine), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CHARTS)
def test_metric_is_the_pullback_of_the_chart(name, x, r):
    """Iso Eq. 3, against JᵀJ of Iso Eq. 2's inverse by autograd."""
    project, inverse, metric = CHARTS[name]
    z = project(x, r)
    J = tangents(inverse, z, r)
    wanted = metric(z, r)[:, None, None] * torch.eye(N - 1, dtype=z.dtype)
    torch.testing.assert_close(J.mT @ J, wanted, rtol=0, atol=1e-12)


def test_printed_metric_is_not_that_of_the_printed_chart(x, r):
    """Iso Eq. 3, Iso Err. 1: as printed, in Iso Eq. 2's coordinates: not even a multiple of the
    pullback.
    """
    z = sphere.unit_chart(x, r)
    ratio = sphere.scaled_metric(z, r) / sphere.unit_metric(z, r)
    assert ratio.max() / ratio.min() > 1.5


@pytest.mark.parametrize("name", CHARTS)
def test_tangent_projector_is_that_of_any_chart(name, x, r):
    """Iso Eq. 4 without a chart: U = ∂x/∂z G^{-½} has UᵀU = I and UUᵀ = P."""
    project, inverse, metric = CHARTS[name]
    z = project(x, r)
    U = tangents(inverse, z, r) / metric(z, r).sqrt()[:, None, None]
    eye = torch.eye(N - 1, dtype=z.dtype).expand(B, -1, -1)
    torch.testing.assert_close(U.mT @ U, eye, rtol=0, atol=1e-12)
    columns = torch.eye(N, dtype=z.dtype)[:, None].expand(-1, B, -1)
    P = sphere.tangent(x, columns).permute(1, 2, 0)
    torch.testing.assert_close(U @ U.mT, P, rtol=0, atol=1e-12)


def test_metric_from_the_point(x, r):
    """Iso Eq. 3, from x instead of z."""
    z = sphere.scaled_chart(x, r)
    torch.testing.assert_close(sphere.scaled_metric_at(x, r), sphere.scaled_metric(z, r))


def test_fused_chart_is_the_scaled_one(x, r):
    """Iso Eq. 2, Iso Eq. 3: kernels/chart/op.py computes the same."""
    z = sphere.scaled_chart(x, r)
    torch.testing.assert_close(chart.to_plane(x, r), z)
    torch.testing.assert_close(chart.to_sphere(z, r), sphere.scaled_chart_inverse(z, r))
    torch.testing.assert_close(chart.metric(z, r), sphere.scaled_metric(z, r))


def test_radius_is_the_length_of_noise():
    """Iso Sec. 3.1: √(1-ᾱ_t) times the mean of χ(n), by the gamma function, up to 1/n."""
    schedule, t, shape = linear(1000), torch.tensor([300, 700]), (2, 3, 11, 13)
    n = math.prod(shape[1:])
    marginal = sphere.radius(schedule, torch.zeros(shape, dtype=torch.float64), t, "marginal")
    chi = math.sqrt(2) * math.exp(math.lgamma((n + 1) / 2) - math.lgamma(n / 2))
    wanted = (1 - schedule.alpha_bar[t]).sqrt() * chi
    torch.testing.assert_close(marginal, wanted, rtol=1 / n, atol=0)
    assert sphere.radius(schedule, torch.zeros(shape), t, "sqrt_n").tolist() == pytest.approx(
        [n**0.5] * 2
    )
    one = sphere.radius(schedule, torch.zeros(1, *shape[1:]), t[:1], "sqrt_n")
    assert one.tolist() == pytest.approx([n**0.5])  # n is of an image, not of the batch
    with pytest.raises(ValueError, match="policy: got 'r'"):
        sphere.radius(schedule, torch.zeros(shape), t, "r")


def test_radius_of_an_image_is_the_root_of_its_sum_of_squares():
    """Iso Sec. 3.1: over channels, rows and columns, one number per image; half precision is not
    enough for it, and not used.
    """
    x = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    r = sphere.radius(linear(10), x, torch.tensor([1, 2]))
    assert r.tolist() == pytest.approx([math.sqrt(sum(row.flatten() ** 2)) for row in x])
    half = sphere.radius(linear(10), 300 * x.half(), torch.tensor([1, 2]))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), 300 * r, rtol=1e-3, atol=0)


def test_onto_keeps_the_direction(x):
    """Iso Sec. 3.1: moved to the sphere, and not at all where it lies on it."""
    r = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)
    moved = sphere.onto(x, r)
    torch.testing.assert_close(moved.norm(dim=1), r)
    torch.testing.assert_close(moved / r[:, None], x / x.norm(dim=1, keepdim=True))
    same = sphere.radius(linear(10), x, torch.tensor([1, 2, 3]))
    torch.testing.assert_close(sphere.onto(x, same), x)
