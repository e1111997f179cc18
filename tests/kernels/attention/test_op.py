"""The operator: what it computes beside PyTorch's own, and what it refuses."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from latentgeo.kernels.attention.op import attention

B, H, N, M, D = 2, 3, 5, 7, 11


def qkv(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = (B, H, N, D), (B, H, M, D), (B, H, M, D)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes
    ]


MASKS = {
    "bool": torch.rand(N, M, generator=torch.Generator().manual_seed(1)) > 0.3,
    "bool per sample": torch.rand(B, 1, 1, M, generator=torch.Generator().manual_seed(1)) > 0.3,
    "additive": torch.linspace(-3, 3, H * N * M, dtype=torch.float64).reshape(H, N, M),
}


@pytest.mark.parametrize("scale", [None, 0.7])
@pytest.mark.parametrize("mask", [None, *MASKS])
def test_it_is_pytorchs_attention(mask, scale):
    mask = MASKS.get(mask)
    expected = F.scaled_dot_product_attention(*qkv(), attn_mask=mask, scale=scale)
    torch.testing.assert_close(attention(*qkv(), mask, scale=scale), expected, rtol=0, atol=1e-13)


def test_causal_is_pytorchs_causal():
    """Row i sees the columns j ≤ i, counted from the first of both, also where N ≠ M."""
    expected = F.scaled_dot_product_attention(*qkv(), is_causal=True)
    torch.testing.assert_close(attention(*qkv(), causal=True), expected, rtol=0, atol=1e-13)


LEAST = [-1e9, torch.finfo(torch.float32).min]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("least", LEAST)
def test_a_row_of_the_least_numbers_is_pytorchs_mean(least, causal):
    """With its derivatives, those of values that attend to every column alike."""
    q, k, v = (x.float().requires_grad_() for x in qkv())
    mask = torch.zeros(N, M)
    mask[2], mask[3, : 4 if causal else 5] = least, least
    hidden = torch.ones(N, M, dtype=torch.bool).triu(1) if causal else False
    math = torch.where(torch.as_tensor(hidden), -torch.inf, mask)

    def orders(attend):
        o = attend(q, k, v)
        gradients = torch.autograd.grad(o.square().sum(), (q, k, v), create_graph=True)
        twice = torch.autograd.grad(sum(g.square().sum() for g in gradients), (q, k, v))
        return [o, *gradients, *twice]

    got = orders(lambda *qkv: attention(*qkv, mask, causal))
    with sdpa_kernel(SDPBackend.MATH):
        wanted = orders(lambda *qkv: F.scaled_dot_product_attention(*qkv, attn_mask=math))
    torch.testing.assert_close(got[0][:, :, 2], v[:, :, : 3 if causal else M].mean(2))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)  # of up to 40


def test_a_row_that_attends_to_nothing_is_zero():
    mask = MASKS["bool"].clone()
    mask[2] = False
    o = attention(*qkv(), mask)
    assert o[:, :, 2].eq(0).all() and o.isfinite().all()
    assert attention(*qkv(), torch.where(mask, 0.0, -torch.inf)).equal(o)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_result_has_the_dtype_of_q(dtype):
    o = attention(*qkv(dtype))
    exact = attention(*(x.double() for x in qkv(dtype)))
    assert o.dtype == dtype
    tolerance = 4 * torch.finfo(dtype).eps  # float32 rounds more than once, 16 bits only at the end
    torch.testing.assert_close(o.double(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_autocast_is_pytorchs(dtype):
    q, k, v = (x.requires_grad_() for x in qkv(dtype))
    with torch.autocast("cpu", torch.bfloat16):
        o = attention(q, k, v)
        assert o.dtype == F.scaled_dot_product_attention(q, k, v).dtype == torch.bfloat16
        (dq,) = torch.autograd.grad(o.sum(), q, create_graph=True)
        (gq,) = torch.autograd.grad(dq.square().sum(), q)
        assert attention(*qkv()).dtype == torch.float64
    assert dq.dtype == gq.dtype == dtype
    rounded = [x.detach().bfloat16().float() for x in (q, k, v)]
    torch.testing.assert_close(o, attention(*rounded).bfloat16(), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_inside_compile_derivatives_are_right():
    """PyTorch drops the tangents of custom functions there, in silence."""
    q, k, v = qkv()

    def tangent(q, k, v):
        return torch.func.jvp(lambda q: attention(q, k, v), (q,), (q.cos(),))[1]

    compiled = torch.compile(tangent, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(q, k, v), tangent(q, k, v), rtol=1e-12, atol=1e-12)


BAD = {
    "three dimensions": (lambda q, k, v: (q[0], k[0], v[0]), r"wanted \(B, H, N, d\)"),
    "k longer than v": (lambda q, k, v: (q, k, v[:, :, 1:]), r"wanted \(B, H, N, d\)"),
    "other heads": (lambda q, k, v: (q[:, :1], k, v), "differ in B, H or d"),
    "other widths": (lambda q, k, v: (q[..., 1:], k, v), "differ in B, H or d"),
    "other dtypes": (lambda q, k, v: (q.float(), k, v), "one floating dtype"),
    "integers": (lambda q, k, v: (q.int(), k.int(), v.int()), "one floating dtype"),
    "devices": (lambda q, k, v: (q, k.to("meta"), v), "on cpu, meta, cpu, wanted one device"),
    "mask elsewhere": (
        lambda q, k, v: (q, k, v, torch.ones(N, M, device="meta")),
        "on cpu, cpu, cpu, meta, wanted one device",
    ),
    "mask of another size": (lambda q, k, v: (q, k, v, torch.ones(N, M - 1)), "got a mask"),
    "mask of integers": (lambda q, k, v: (q, k, v, torch.ones(N, M).int()), "got a mask of"),
    "mask that is larger": (lambda q, k, v: (q, k, v, torch.ones(4, 1, 1, N, M)), "got a mask"),
}


@pytest.mark.parametrize("change, message", BAD.values(), ids=BAD)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=f"attention: .*{message}"):
        attention(*change(*qkv()))


def test_a_mask_has_no_derivative_and_says_so():
    mask = torch.zeros(N, M, dtype=torch.float64)
    with pytest.raises(ValueError, match="taken as a constant"):
        attention(*qkv(), mask.clone().requires_grad_())
    with pytest.raises(ValueError, match="taken as a constant"):
        torch.func.grad(lambda mask: attention(*qkv(), mask).sum())(mask)
    with pytest.raises(RuntimeError, match="taken as a constant"):
        torch.func.jvp(lambda mask: attention(*qkv(), mask), (mask,), (mask,))
