"""The chart's kernels, in Triton's interpreter, against the closed forms in float64.

What the kernels do not write is NaN here, so a tile or a last coordinate that one forgets fails.
"""

import pytest
import torch
from torch.func import grad, jvp, vmap

from latentgeo.kernels.chart.op import choice, over_sqrt_metric, to_sphere
from latentgeo.kernels.chart.reference import Scale, ToSphere
from tests.tensors import normal

pytestmark = pytest.mark.interpret
BARS = {  # of the largest entry; the interpreter rounds to bfloat16 by cutting off
    torch.float64: 1e-12,
    torch.float32: 1e-6,
    torch.float16: 1e-3,
    torch.bfloat16: 8e-3,
}
OPS = [ToSphere(), Scale(2), Scale(-1), Scale(-2)]


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    """Return the module, which cannot be imported outside of the interpreter's process."""
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    from latentgeo.kernels.chart import triton as chart_triton

    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    yield chart_triton
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=["whole", "tiles"])
def cut(kernels, monkeypatch, request):
    """A sample of 37 numbers in one tile, or in three of which the last is ragged."""
    if request.param == "tiles":
        monkeypatch.setattr(kernels, "ROW", 16)
        monkeypatch.setattr(kernels, "TILE", 16)


def cases(op, dtype=torch.float64):
    """Return point, cotangent and tangents, the latter two with 2 probes, and the results asked."""
    point = [normal(1, 3, 37, dtype=dtype, seed=i) for i in range(op.arity)]
    t = [normal(2, 3, 37, dtype=dtype, seed=5 + i) for i in range(op.arity)]
    u = normal(2, 3, 38 if isinstance(op, ToSphere) else 37, dtype=dtype, seed=9)
    radius = torch.tensor([[3.0, 5.0, 7.0]], dtype=torch.promote_types(dtype, torch.float32))
    return [*point, radius], u, t, (True,) * op.arity


def run(op, point, u, t, wanted):
    """Return all results of all four closed forms."""
    forward = op.forward(*point)
    return [*forward, op.jvp(point, t), *op.vjp(point, u, wanted), *op.hvp(point, u, t, wanted)]


def check(op, point, u, t, wanted):
    wide = [x.double() for x in point], u.double(), [None if x is None else x.double() for x in t]
    for a, b in zip(
        run(choice(op).on_triton(), point, u, t, wanted), run(op, *wide, wanted), strict=True
    ):
        if b is None:
            assert a is None or not a.any()
        else:
            assert a.shape == b.shape
            bound = BARS[u.dtype] * b.abs().max().item()
            torch.testing.assert_close(a.double(), b, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("op", OPS, ids=repr)
def test_types_and_tilings(cut, op, dtype):
    check(op, *cases(op, dtype))


@pytest.mark.parametrize("missing", [0, 1])
def test_one_tangent_of_a_scaling(missing):
    point, u, t, wanted = cases(Scale(-1))
    t[missing] = None
    check(Scale(-1), point, u, t, wanted)


@pytest.mark.parametrize("wanted", [(True, False), (False, True)])
def test_one_result_of_a_scaling(wanted):
    point, u, t, _ = cases(Scale(-2))
    check(Scale(-2), point, u, t, wanted)


def test_orders_through_autograd(monkeypatch):
    """The kernels tied together, in all three second orders, one with batched tangents."""
    radius = torch.tensor([3.0, 5.0], dtype=torch.float64)
    z, t = normal(2, 7), normal(2, 2, 7, seed=1)

    def curve(z, v):
        return to_sphere(z + over_sqrt_metric(v, z, radius), radius)

    def everything():
        def length(z, v):
            pushed = vmap(lambda s: jvp(lambda p: curve(p, v), (z,), (s,))[1])(t)
            return (pushed**3).sum()

        force = grad(lambda z, v: (curve(z, v) ** 3).sum(), (0, 1))
        twice = grad(lambda z, v: sum((f**2).sum() for f in force(z, v)), (0, 1))
        v = t[1]
        return [*grad(length, (0, 1))(z, v), *jvp(force, (z, v), (t[0], v))[1], *twice(z, v)]

    got = everything()
    monkeypatch.setenv("LATENTGEO_KERNELS", "reference")
    for a, b in zip(got, everything(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * b.abs().max().item())
