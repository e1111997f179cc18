"""Attention on compiled kernels: every mask, layout, type and width, against the reference."""

import pytest
import torch

from latentgeo.kernels.attention.op import attention
from tests.kernels.wiring.test_autograd_gpu import BARS, orders

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
]
WIDTHS = (1, 8, 16, 24, 40, 64, 72, 80, 96, 128, 136, 144, 160, 192, 256)
WIDEST = {torch.float32: 96}  # that float32 has tiles for
LENGTHS = [(1, 1), (1, 300), (300, 1), (64, 64), (257, 77), (129, 130), (1024, 1024)]
B, H, N, M = 2, 3, 67, 131


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def operands(n=N, m=M, d=40):
    """Return q, k, v, a tangent of q and a cotangent."""
    q, k, v, t, u = (normal(B, H, length, d, seed=i) for i, length in enumerate((n, m, m, n, n)))
    return [q, k, v], t, u


def check(monkeypatch, point, t, u, dtype, mask=None, causal=False, layout=lambda x: x):
    """Hold value, tangent, gradients and second derivatives against those in float64."""
    mask = None if mask is None else mask.to(DEVICE)
    q, k, v, t, u = (layout(x.to(DEVICE, dtype)) for x in (*point, t, u))
    found = []
    for kernels, kind in (("triton", dtype), ("reference", torch.float64)):
        monkeypatch.setenv("LATENTGEO_KERNELS", kernels)

        def op(q, k, v):
            return attention(q, k, v, mask, causal)

        found.append(orders(op, [x.to(kind) for x in (q, k, v)], t.to(kind), u.to(kind)))
    for got, wanted in zip(*found, strict=True):
        assert got.isfinite().all()
        bound = BARS[dtype] * max(wanted.abs().max().item(), 0.1)
        torch.testing.assert_close(got.double(), wanted, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("d", WIDTHS)
def test_widths(d, dtype, monkeypatch):
    if d > WIDEST.get(dtype, d):
        pytest.skip("wider than float32 has tiles for")
    check(monkeypatch, *operands(d=d), dtype)


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("n, m", LENGTHS)
def test_lengths(n, m, dtype, monkeypatch):
    check(monkeypatch, *operands(n, m), dtype)


def masks():
    """Return a mask of each kind, by name; some rows have the least numbers, or nothing."""
    boolean = normal(B, 1, N, M, seed=7) > 0
    boolean[..., ::7, :] = False
    bias = normal(1, H, N, M, seed=8).float()
    far = bias.clone()
    far[..., 3, :], far[..., 5, 9:], far[..., 8, :] = -1e30, -torch.inf, -torch.inf  # in any type
    return {
        "boolean": boolean,
        "of columns": boolean[:, :, 1:2],
        "additive": bias,
        "far": far,
        "least": far.masked_fill(far < -1e8, torch.finfo(torch.float32).min),
        "transposed": bias.mT.contiguous().mT,
        "expanded": bias[:, :1, :1].expand(B, H, N, M),
    }


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", [None, *masks()])
def test_masks(name, causal, dtype, monkeypatch):
    check(monkeypatch, *operands(), dtype, mask=masks().get(name), causal=causal)


LAYOUTS = {
    "tokens first": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "sliced": lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]],
    "transposed": lambda x: x.mT.contiguous().mT,
    "every second row": lambda x: x.repeat_interleave(2, 2)[:, :, ::2],
    "of one projection": lambda x: torch.stack([x.transpose(1, 2)] * 3, 2)[:, :, 1].transpose(1, 2),
}


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(layout, dtype, monkeypatch):
    check(monkeypatch, *operands(), dtype, layout=layout)


def test_float32_by_pytorchs_newer_setting(monkeypatch):
    """TF32 products are rounded to 10 bits, and no error is raised."""
    monkeypatch.setitem(BARS, torch.float32, 4e-3)
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        check(monkeypatch, *operands(), torch.float32)
    finally:
        matmul.fp32_precision = before
