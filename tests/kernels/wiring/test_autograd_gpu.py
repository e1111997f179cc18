"""Every op that shares this wiring on compiled kernels, at Stable Diffusion's sizes."""

import math

import pytest
import torch
from torch.func import grad, jvp

from latentgeo.kernels.chart.op import over_metric, over_sqrt_metric, to_sphere
from latentgeo.kernels.gates.op import geglu, silu
from latentgeo.kernels.norms.op import group_norm, group_norm_silu, layer_norm
from latentgeo.kernels.reductions.op import sample_dot, sample_square_norm, trace_ratio

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
]
RADIUS = math.sqrt(16_384)
BARS = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}  # of the largest entry
OPS = {  # name: op, the shapes of its operands
    "group_norm": (lambda x, w, b: group_norm(x, 32, w, b), [(2, 320, 64, 64), (320,), (320,)]),
    "group_norm_silu": (
        lambda x, w, b: group_norm_silu(x, 32, w, b),
        [(1, 960, 64, 64), (960,), (960,)],
    ),
    "group_norm_silu small": (
        lambda x, w, b: group_norm_silu(x, 32, w, b),
        [(3, 1280, 8, 8), (1280,), (1280,)],
    ),
    "layer_norm": (layer_norm, [(2, 1024, 640), (640,), (640,)]),
    "silu": (silu, [(4, 320, 30, 31)]),
    "geglu": (geglu, [(2, 77, 2560)]),
    "sample_dot": (sample_dot, [(3, 4, 64, 64)] * 2),
    "sample_square_norm": (sample_square_norm, [(3, 4, 64, 64)]),
    "trace_ratio": (trace_ratio, [(3, 16_383), (3, 1280, 8, 8)]),
    "to_sphere": (lambda z: to_sphere(z, RADIUS), [(3, 16_383)]),
    "over_sqrt_metric": (lambda v, z: over_sqrt_metric(v, z, RADIUS), [(3, 16_383)] * 2),
    "over_metric": (lambda v, z: over_metric(v, z, RADIUS), [(2, 196_607)] * 2),
}


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("last", [False, True], ids=["plain", "channels-last"])
@pytest.mark.parametrize("name", OPS)
def test_orders_at_size(name, last, dtype, monkeypatch):
    """Value, tangent, gradient and two second derivatives, against the reference in float64."""
    op, shapes = OPS[name]
    if last and len(shapes[0]) != 4:
        pytest.skip("channels-last is for images")
    if name == "trace_ratio" and dtype == torch.float16:
        pytest.skip("its gradients, of numbers like these, are below the least of float16")
    generator = torch.Generator().manual_seed(0)

    def normal(shape):
        x = torch.randn(shape, generator=generator, dtype=torch.float64).to(DEVICE, dtype)
        return x.to(memory_format=torch.channels_last) if last and x.ndim == 4 else x

    point, t = [normal(shape) for shape in shapes], normal(shapes[0])
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    c = normal(op(*point).shape)
    got = orders(op, point, t, c)
    monkeypatch.setenv("LATENTGEO_KERNELS", "reference")
    wanted = orders(op, [x.double() for x in point], t.double(), c.double())
    for a, b in zip(got, wanted, strict=True):
        assert a.shape == b.shape and a.isfinite().all()
        bound = BARS[dtype] * b.abs().max().item()
        torch.testing.assert_close(a.double(), b, rtol=0, atol=bound)
    if last and got[0].ndim == 4:
        assert got[0].is_contiguous(memory_format=torch.channels_last)


def orders(op, point, t, c):
    """Return y, J t, and the gradients of ⟨c, y⟩, ⟨c, J t⟩ and ⟨t, Jᵀc⟩ in every operand."""
    every = tuple(range(len(point)))

    def tangent(*p):
        return jvp(lambda x: op(x, *p[1:]), (p[0],), (t,))[1]

    def pulled(*p):
        return grad(lambda x: (c * op(x, *p[1:])).sum())(p[0])

    losses = (
        lambda *p: (c * op(*p)).sum(),
        lambda *p: (c * tangent(*p)).sum(),
        lambda *p: (t * pulled(*p)).sum(),
    )
    gradients = (grad(loss, every)(*point) for loss in losses)
    return [op(*point), tangent(*point), *(g for each in gradients for g in each)]
