"""The gates' values, layouts, dtypes and errors. Derivatives are in test_wiring."""

import pytest
import torch
import torch.nn.functional as F

from latentgeo.kernels.gates.op import geglu, silu


def normal(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def torch_geglu(x):
    value, gate = x.chunk(2, dim=-1)
    return value * F.gelu(gate)


@pytest.mark.parametrize("shape", [(), (7,), (5, 7), (2, 3, 5, 7)])
def test_silu_of_any_shape(shape):
    x = normal(*shape)
    torch.testing.assert_close(silu(x), F.silu(x))


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 5, 6)])
def test_geglu_of_any_shape(shape):
    """GLU Eq. 5: GELU(gate) ⊗ value, the value's half first."""
    x = normal(*shape)
    torch.testing.assert_close(geglu(x), torch_geglu(x))


def test_far_out_the_gates_are_zero_or_the_identity():
    """No overflow in value or derivatives where exp would have one."""
    x = torch.tensor([-1e4, -100.0, 100.0, 1e4], requires_grad=True)
    (slope,) = torch.autograd.grad(silu(x).sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    torch.testing.assert_close(silu(x), torch.tensor([-0.0, -0.0, 100.0, 1e4]))
    torch.testing.assert_close(slope, torch.tensor([0.0, 0.0, 1.0, 1.0]))
    torch.testing.assert_close(curvature, torch.zeros(4))
    gates = torch.stack([torch.ones(4), x.detach()], -1).requires_grad_()
    (slope,) = torch.autograd.grad(geglu(gates).sum(), gates, create_graph=True)
    torch.testing.assert_close(slope[:, 1], torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert torch.autograd.grad(slope.sum(), gates)[0].isfinite().all()


def test_silu_keeps_the_memory_format():
    x = normal(2, 5, 3, 7).to(memory_format=torch.channels_last).requires_grad_()
    y = silu(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    for result in (y, gradient):
        assert result.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtypes(dtype):
    """Results have x's dtype, also under autocast, and are rounded once."""
    x = normal(101, 6, dtype=dtype).requires_grad_()
    for ours, theirs in ((silu, F.silu), (geglu, torch_geglu)):
        with torch.autocast("cpu", torch.bfloat16):
            y = ours(x)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert y.dtype == gradient.dtype == dtype
        wanted = theirs(x.double())
        torch.testing.assert_close(
            y.double(), wanted, rtol=torch.finfo(dtype).eps, atol=16 * torch.finfo(dtype).eps
        )


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match=r"geglu: got x \(5, 7\), wanted an even last dimension"):
        geglu(normal(5, 7))
    with pytest.raises(ValueError, match=r"silu: got torch.int64, wanted a floating dtype"):
        silu(torch.arange(3))
