"""The reductions' kernels, in Triton's interpreter, against the closed forms in float64.

What the kernels do not write is NaN here, so a tile that one forgets fails.
"""

import pytest
import torch
from torch.func import grad, jvp, vmap

from latentgeo.kernels.reductions.op import choice, sample_dot, trace_ratio
from latentgeo.kernels.reductions.reference import Dot, SquareNorm, TraceRatio
from tests.tensors import normal

pytestmark = pytest.mark.interpret
BARS = {  # of the largest entry; the interpreter rounds to bfloat16 by cutting off
    torch.float64: 1e-12,
    torch.float32: 1e-6,
    torch.float16: 1e-3,
    torch.bfloat16: 8e-3,
}
OPS = {Dot(): 2, SquareNorm(): 1, TraceRatio(): 2}  # and how many operands they have


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    """Return the module, which cannot be imported outside of the interpreter's process."""
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    from latentgeo.kernels.reductions import triton as reductions_triton

    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    yield reductions_triton
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=["whole", "tiles"])
def cut(kernels, monkeypatch, request):
    """A sample of 35 numbers in one tile, or in three of which the last is ragged."""
    if request.param == "tiles":
        monkeypatch.setattr(kernels, "ROW", 16)
        monkeypatch.setattr(kernels, "TILE", 16)


def run(op, point, u, t):
    """Return all results of all four closed forms."""
    wanted = (True,) * len(t)
    value, *kept = op.forward(*point)
    point = (*point, *kept)
    return [value, *kept, op.jvp(point, t), *op.vjp(point, u, wanted), *op.hvp(point, u, t, wanted)]


def cases(op, dtype, last=False):
    """Return point, cotangent and tangents, of which the cotangent and the first have 2 probes."""
    arity = OPS[op]
    point = [normal(1, 3, 5, 7, dtype=dtype, seed=i) for i in range(arity)]
    if last:
        point[0] = normal(1, 3, 7, 5, dtype=dtype).transpose(2, 3)
    t = [normal(2 - i, 3, 5, 7, dtype=dtype, seed=5 + i) for i in range(arity)]
    shape = (2,) if isinstance(op, TraceRatio) else (2, 3)
    return point, normal(*shape, dtype=torch.promote_types(dtype, torch.float32), seed=9), t


def check(op, point, u, t, dtype):
    wide = [x.double() for x in point], u.double(), [None if x is None else x.double() for x in t]
    for a, b in zip(run(choice(op).on_triton(), point, u, t), run(op, *wide), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.shape == b.shape
            bound = BARS[dtype] * b.abs().max().item()
            torch.testing.assert_close(a.double(), b, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("op", OPS, ids=repr)
def test_types_and_tilings(cut, op, dtype):
    check(op, *cases(op, dtype), dtype)


@pytest.mark.parametrize("op", OPS, ids=repr)
def test_layouts(op):
    """An operand that lies in memory in another order than the rest."""
    check(op, *cases(op, torch.float64, last=True), torch.float64)


@pytest.mark.parametrize("op", [Dot(), TraceRatio()], ids=repr)
@pytest.mark.parametrize("missing", [0, 1])
def test_one_tangent(op, missing):
    point, u, t = cases(op, torch.float64)
    t[missing] = None
    check(op, point, u[:1] if missing == 0 else u, t, torch.float64)


@pytest.mark.parametrize("op", [sample_dot, trace_ratio])
def test_orders_through_autograd(op, monkeypatch):
    """The kernels tied together, in all three second orders, one with batched tangents."""
    x, y, t = normal(3, 7), normal(3, 7, seed=1), normal(2, 3, 7, seed=2)

    def everything():
        def length(x, y):
            return (vmap(lambda v: jvp(lambda p: op(p, y), (x,), (v,))[1])(t) ** 2).sum()

        force = grad(lambda x, y: (op(x, y) ** 3).sum(), (0, 1))
        twice = grad(lambda x, y: sum((f**2).sum() for f in force(x, y)), (0, 1))
        return [*grad(length, (0, 1))(x, y), *jvp(force, (x, y), (t[0], t[1]))[1], *twice(x, y)]

    got = everything()
    monkeypatch.setenv("LATENTGEO_KERNELS", "reference")
    for a, b in zip(got, everything(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * b.abs().max().item())
