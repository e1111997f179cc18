"""The gates' kernels, in Triton's interpreter, against the closed forms in float64.

What the kernels do not write is NaN here, so numbers that one forgets fail.
"""

import pytest
import torch
from torch.func import grad, jvp, vmap

from latentgeo.kernels.gates.op import choice, geglu, silu
from latentgeo.kernels.gates.reference import Geglu, Silu
from tests.tensors import normal

pytestmark = pytest.mark.interpret
BARS = {  # of the largest entry; the interpreter rounds to bfloat16 by cutting off
    torch.float64: 1e-12,
    torch.float32: 1e-6,
    torch.float16: 1e-3,
    torch.bfloat16: 8e-3,
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several programs for a few numbers, in the interpreter's process."""
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    from latentgeo.kernels.gates import triton as gates_triton

    monkeypatch.setattr(gates_triton, "BLOCK", 16)
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    yield
    torch.use_deterministic_algorithms(False)


def run(op, x, u, t):
    return [
        *op.forward(x),
        op.jvp((x,), (t,)),
        *op.vjp((x,), u, (True,)),
        *op.hvp((x,), u, (t,), (True,)),
    ]


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("op", [Silu(), Geglu()])
def test_types(op, dtype):
    """Ragged rows, two probes of tangents at one point."""
    x, t = normal(1, 5, 14, dtype=dtype), normal(2, 5, 14, dtype=dtype, seed=1)
    u = normal(2, 5, 14 if isinstance(op, Silu) else 7, dtype=dtype, seed=2)
    for a, b in zip(
        run(choice(op).on_triton(), x, u, t),
        run(op, x.double(), u.double(), t.double()),
        strict=True,
    ):
        assert a.shape == b.shape and a.dtype == dtype
        torch.testing.assert_close(a.double(), b, rtol=0, atol=BARS[dtype] * b.abs().max().item())


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (3, 0, 2, 1)], ids=["channels-last", "any"])
def test_silu_keeps_the_layout(order):
    """x, tangent and cotangent lie in memory each in its own way."""
    back = [order.index(dim) for dim in range(4)]
    dense = normal(2, 3, 5, 7).permute(order).contiguous().permute(back)
    x, t, u = dense[None], normal(1, 2, 3, 5, 7, seed=1), normal(1, 2, 3, 5, 7, seed=2)
    for a, b in zip(run(choice(Silu()).on_triton(), x, u, t), run(Silu(), x, u, t), strict=True):
        torch.testing.assert_close(a, b)
        assert a.stride()[1:] == x.stride()[1:]


@pytest.mark.parametrize("op", [silu, geglu])
def test_orders_through_autograd(op, monkeypatch):
    """The kernels tied together, in all three second orders, one with batched tangents."""
    x, t = normal(3, 6), normal(2, 3, 6, seed=1)

    def everything():
        def length(x):
            return (vmap(lambda v: jvp(op, (x,), (v,))[1])(t) ** 2).sum()

        force = grad(lambda p: (op(p) ** 3).sum())
        twice = grad(lambda p: (force(p) ** 2).sum())(x)
        return grad(length)(x), jvp(force, (x,), (t[0],))[1], twice

    got = everything()
    monkeypatch.setenv("LATENTGEO_KERNELS", "reference")
    for a, b in zip(got, everything(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * b.abs().max().item())


@pytest.mark.parametrize("op", [Silu(), Geglu()])
def test_far_out(op):
    """Numbers of every size, where exponentials leave float32's range; 1 - σ(30) is rounded."""
    sizes = torch.cat([torch.linspace(-30, 30, 121), torch.tensor([3e4, 1e10, 1e18])])
    x = torch.cat([sizes, -sizes])
    if isinstance(op, Geglu):
        x = torch.stack([torch.ones_like(x), x], -1)
    x = x.reshape(1, 2, -1)[:, None] if isinstance(op, Silu) else x[None]
    one = torch.ones_like(x)
    u = one if isinstance(op, Silu) else one[..., :1].contiguous()
    got, wanted = run(choice(op).on_triton(), x, u, one), run(op, x.double(), u.double(), one)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a.double(), b.double(), rtol=2e-6, atol=3e-6)
