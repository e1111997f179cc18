"""The stereographic chart as geometry; the derivatives are in test_wiring."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import jacrev, jvp, vjp, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from latentgeo.kernels.chart.op import (
    metric,
    over_metric,
    over_sqrt_metric,
    times_metric,
    to_plane,
    to_sphere,
)
from latentgeo.kernels.reductions.op import trace_ratio
from tests.tensors import normal

RADIUS = torch.tensor([0.7, 1.0, 3.0], dtype=torch.float64)


def sphere_points(seed=0):
    x = normal(3, 7, seed=seed)
    return RADIUS[:, None] * x / x.norm(dim=1, keepdim=True)


def test_chart_and_inverse():
    """Iso Eq. 2: Π⁻¹ lands on the sphere, and each undoes the other."""
    x, z = sphere_points(), 2 * normal(3, 6, seed=1)
    torch.testing.assert_close(to_sphere(z, RADIUS).norm(dim=1), RADIUS)
    torch.testing.assert_close(to_sphere(to_plane(x, RADIUS), RADIUS), x)
    torch.testing.assert_close(to_plane(to_sphere(z, RADIUS), RADIUS), z)


def test_a_radius_of_the_host_is_not_copied_to_a_gpu(monkeypatch):
    """A copy waits for the GPU, and a CUDA graph cannot capture it."""
    monkeypatch.setenv("LATENTGEO_KERNELS", "reference")
    copied = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            both = [x for x in (*args, result) if isinstance(x, torch.Tensor)]
            copied.extend([function] if len({x.device for x in both}) > 1 else [])
            return result

    with FakeTensorMode(), Watch():
        z = torch.empty(3, 6, device="cuda")
        for op in (to_sphere, metric, to_plane):
            assert op(z, 1.5).device.type == "cuda"
        over_metric(z, z, 1.5)
    assert not copied


def test_chart_is_the_projection_from_the_north_pole():
    """Iso Eq. 2: N, x and (z, 0) lie on one line, also for x off the sphere."""
    x = normal(3, 7)
    north = torch.zeros(3, 7, dtype=torch.float64)
    north[:, -1] = RADIUS
    on_plane = torch.cat([to_plane(x, RADIUS), torch.zeros(3, 1, dtype=torch.float64)], 1)
    towards_x, towards_z = x - north, on_plane - north
    cosine = torch.nn.functional.cosine_similarity(towards_x, towards_z)
    torch.testing.assert_close(cosine.abs(), torch.ones_like(cosine))


def test_equator_and_south_pole_stay():
    """Iso Eq. 2: times r, the chart is the identity on the equator and 0 at the south pole."""
    equator = torch.cat([normal(3, 6), torch.zeros(3, 1, dtype=torch.float64)], 1)
    equator *= RADIUS[:, None] / equator.norm(dim=1, keepdim=True)
    torch.testing.assert_close(to_plane(equator, RADIUS), equator[:, :-1])
    south = torch.zeros(3, 7, dtype=torch.float64)
    south[:, -1] = -RADIUS
    torch.testing.assert_close(to_sphere(torch.zeros(3, 6, dtype=torch.float64), RADIUS), south)


def test_metric_is_the_pullback():
    """Iso Eq. 3: JᵀJ of the inverse chart is G I; without the factor r in the chart it is not."""
    z = normal(3, 6, seed=1)
    for i, r in enumerate(RADIUS):
        jacobian = jacrev(lambda p, r=r: to_sphere(p[None], r)[0])(z[i])
        wanted = metric(z, RADIUS)[i] * torch.eye(6, dtype=torch.float64)
        torch.testing.assert_close(jacobian.T @ jacobian, wanted)
        printed = jacrev(lambda p, r=r: to_sphere(r * p[None], r)[0])(z[i])  # Eq. 2's own chart
        eq_2 = 4 * r**2 / (1 + z[i].square().sum()) ** 2 * torch.eye(6, dtype=torch.float64)
        torch.testing.assert_close(printed.T @ printed, eq_2)


def test_scalings_are_powers_of_the_metric():
    """Iso Eq. 3: G v, v / √G and v / G."""
    v, z = normal(3, 6), normal(3, 6, seed=1)
    g = metric(z, RADIUS)[:, None]
    torch.testing.assert_close(times_metric(v, z, RADIUS), g * v)
    torch.testing.assert_close(over_sqrt_metric(v, z, RADIUS), v / g.sqrt())
    torch.testing.assert_close(over_metric(v, z, RADIUS), v / g)


def test_a_scaled_vector_keeps_its_length_on_the_sphere():
    """Iso Eq. 3: Π⁻¹ maps v / √G to a tangent of the sphere, as long as v."""
    v, z = normal(3, 6), normal(3, 6, seed=1)
    x, pushed = jvp(lambda p: to_sphere(p, RADIUS), (z,), (over_sqrt_metric(v, z, RADIUS),))
    torch.testing.assert_close(pushed.norm(dim=1), v.norm(dim=1))
    torch.testing.assert_close((pushed * x).sum(1), torch.zeros(3, dtype=torch.float64))


def test_ratio_does_not_depend_on_the_chart():
    """Iso Eq. 6: Tr(R²)/Tr(R)² of a map of the sphere, by chart and by a frame of tangents at x."""
    matrix = normal(5, 7, seed=3)
    x = sphere_points()[:1]
    z, r = to_plane(x, RADIUS[:1]), RADIUS[:1]

    def features(p):
        return torch.tanh(p @ matrix.T)

    def probe(v):
        scaled = over_sqrt_metric(v[None], z, r)
        s = jvp(lambda p: features(to_sphere(p, r)), (z,), (scaled,))[1]
        (pulled,) = vjp(lambda p: features(to_sphere(p, r)), z)[1](s)
        return over_sqrt_metric(pulled, z, r)[0], s[0]

    by_chart = trace_ratio(*vmap(probe)(torch.eye(6, dtype=torch.float64))) / 6
    frame = torch.linalg.svd(x)[2][1:].T  # the complement of x
    jacobian = jacrev(features)(x[0]) @ frame
    r_matrix = jacobian.T @ jacobian
    wanted = torch.trace(r_matrix @ r_matrix) / torch.trace(r_matrix) ** 2
    torch.testing.assert_close(by_chart, wanted)


def test_radius_may_be_one_number():
    z, v = normal(3, 6), normal(3, 6, seed=1)
    same = torch.full((3,), 2.5, dtype=torch.float64)
    torch.testing.assert_close(to_sphere(z, 2.5), to_sphere(z, same))
    torch.testing.assert_close(over_metric(v, z, 2.5), over_metric(v, z, same))
    torch.testing.assert_close(to_plane(normal(3, 7), 2.5), to_plane(normal(3, 7), same))


def test_images_are_flattened():
    """x (B, C, H, W) of noise, with the radius √n of most of its mass, comes back as (B, n)."""
    x = normal(2, 3, 5, 7)
    z = to_plane(x, math.sqrt(105))
    assert z.shape == (2, 104)
    radius = to_sphere(z, math.sqrt(105)).norm(dim=1)
    torch.testing.assert_close(radius, torch.full_like(radius, math.sqrt(105)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtypes(dtype):
    z, v = normal(3, 6, dtype=dtype), normal(3, 6, dtype=dtype, seed=1)
    x = to_sphere(z, RADIUS)
    scaled = over_sqrt_metric(v, z, RADIUS)
    assert x.dtype == scaled.dtype == to_plane(x, RADIUS).dtype == dtype
    assert metric(z, RADIUS).dtype == torch.float32
    tolerance = {"rtol": torch.finfo(dtype).eps, "atol": 4 * torch.finfo(dtype).eps}
    torch.testing.assert_close(x.double(), to_sphere(z.double(), RADIUS), **tolerance)


def test_the_radius_is_a_constant():
    """A derivative in the radius is refused, not dropped."""
    z, r = normal(3, 6), RADIUS.clone().requires_grad_()
    for call in (lambda: to_sphere(z, r), lambda: over_metric(z, z, r), lambda: to_plane(z, r)):
        with pytest.raises(ValueError, match="the radius requires a gradient"):
            call()
    with pytest.raises(RuntimeError, match="no derivative in its last operand"):
        jvp(lambda r: to_sphere(z, r), (RADIUS,), (RADIUS,))


def test_what_does_not_fit_is_an_error():
    z = normal(3, 6)
    for call, message in (
        (lambda: to_sphere(z[0], 1.0), r"to_sphere: got \(6,\)"),
        (lambda: to_sphere(z.long(), 1.0), "wanted .*floating"),
        (lambda: to_sphere(z, RADIUS[:2]), r"got a radius \(2,\), wanted \(\) or \(3,\)"),
        (lambda: over_metric(z[:, :5], z, 1.0), r"over_metric: got v \(3, 5\)"),
        (lambda: to_plane(z[:, 0], 1.0), r"to_plane: got x \(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
