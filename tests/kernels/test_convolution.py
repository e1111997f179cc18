"""The convolution's derivatives against PyTorch's own, and what it does not compute."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from latentgeo.core.dual import jvp
from latentgeo.kernels.convolution import Geometry, conv2d

GEOMETRIES = {
    "same": (Geometry((1, 1), (1, 1), (1, 1), 1), (6, 4, 3, 3)),
    "halving": (Geometry((2, 2), (1, 1), (1, 1), 1), (6, 4, 3, 3)),
    "grouped": (Geometry((2, 1), (0, 2), (1, 2), 2), (6, 2, 2, 3)),
    "pointwise": (Geometry((1, 1), (0, 0), (1, 1), 1), (6, 4, 1, 1)),
}
each = pytest.mark.parametrize(("geometry", "shape"), GEOMETRIES.values(), ids=GEOMETRIES)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def operands(shape, frozen=False):
    weight, bias = normal(*shape), normal(shape[0])
    x = normal(2, 4, 7, 5).requires_grad_()
    return x, weight.requires_grad_(not frozen), bias.requires_grad_(not frozen)


class Convolutions(TorchDispatchMode):
    """Counts the convolutions that run: one per output of a backward pass."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.count += 1
        if func is torch.ops.aten.convolution_backward.default:
            self.count += sum(args[-1][:2])
        return func(*args, **(kwargs or {}))


@each
def test_gradcheck(geometry, shape):
    """First and second derivatives in x, W and b, against finite differences."""

    def f(x, weight, bias):
        return conv2d(x, weight, bias, geometry)

    orders = {"check_fwd_over_rev": True, "check_rev_over_rev": True}
    assert gradcheck(f, operands(shape), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(f, operands(shape), **orders)


@each
def test_every_order_is_that_of_torch(geometry, shape):
    """A penalty on a gradient, and a third derivative."""
    x, weight, bias = operands(shape)

    def orders(f):
        y = f()
        (first,) = torch.autograd.grad(y.sin().sum(), x, create_graph=True)
        second = torch.autograd.grad(first.cos().sum(), (x, weight, bias), create_graph=True)
        third = torch.autograd.grad(sum(g.square().sum() for g in second), (x, weight))
        return y, first, second, third

    got = orders(lambda: conv2d(x, weight, bias, geometry))
    torch.testing.assert_close(got, orders(lambda: F.conv2d(x, weight, bias, *geometry)))


def test_the_gradient_of_a_frozen_weight_is_not_computed():
    """A double backward takes four convolutions; PyTorch's makes a fifth that it drops."""
    geometry, shape = GEOMETRIES["same"]
    x, weight, bias = operands(shape, frozen=True)

    def double_backward(y):
        (first,) = torch.autograd.grad(y.sin().sum(), x, create_graph=True)
        return torch.autograd.grad(first.cos().sum(), x)

    with Convolutions() as ours:
        got = double_backward(conv2d(x, weight, bias, geometry))
    with Convolutions() as theirs:
        wanted = double_backward(F.conv2d(x, weight, bias, *geometry))
    torch.testing.assert_close(got, wanted)
    assert ours.count == 4
    assert theirs.count > 4


def test_vmap_over_the_gradients_of_what_is_there():
    """Cotangents batched by vmap, of a y that was computed outside."""
    geometry, shape = GEOMETRIES["halving"]
    x, weight, bias = operands(shape)
    y, u = conv2d(x, weight, bias, geometry), normal(3, 2, 6, 4, 3)

    def pulled(u):
        return torch.autograd.grad(y, (x, weight, bias), u, retain_graph=True)

    got = torch.func.vmap(pulled)(u)
    torch.testing.assert_close(got, tuple(map(torch.stack, zip(*map(pulled, u), strict=True))))


def test_what_the_pass_does_not_ask_for_is_not_computed():
    """autograd.grad(y, x) of a trained weight is one convolution."""
    x, weight, bias = operands(GEOMETRIES["same"][1])
    y = conv2d(2 * x, weight, bias, GEOMETRIES["same"][0])
    with Convolutions() as found:
        torch.autograd.grad(y.sum(), x)
    assert found.count == 1


def test_forward_mode_transforms_and_compilation_are_those_of_torch():
    geometry, shape = GEOMETRIES["halving"]
    x, weight, bias = operands(shape)
    t = normal(*x.shape, seed=9)

    def f(x):
        return conv2d(x, weight, bias, geometry)

    wanted = torch.func.jvp(lambda x: F.conv2d(x, weight, bias, *geometry), (x,), (t,))
    torch.testing.assert_close(torch.func.jvp(f, (x,), (t,)), wanted)
    torch.testing.assert_close(jvp(f, x, t), wanted)
    batched = torch.func.vmap(f)(torch.stack([x, t]))
    torch.testing.assert_close(batched, torch.stack([f(x), f(t)]))
    compiled = torch.compile(f, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), wanted[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_gives_the_dtype_that_torch_gives(dtype):
    x, weight, bias = (t.detach().float().requires_grad_() for t in operands((6, 4, 3, 3)))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = conv2d(x, weight, bias, GEOMETRIES["same"][0])
        wanted = F.conv2d(x, weight, bias, padding=1)
    assert y.dtype == wanted.dtype == dtype
    gradients = torch.autograd.grad(y.sum(), (x, weight, bias))
    assert {g.dtype for g in gradients} == {torch.float32}
    torch.testing.assert_close(gradients, torch.autograd.grad(wanted.sum(), (x, weight, bias)))


def test_the_layout_is_kept():
    x = operands((6, 4, 3, 3))[0].detach().to(memory_format=torch.channels_last).requires_grad_()
    y = conv2d(x, *operands((6, 4, 3, 3))[1:], GEOMETRIES["same"][0])
    assert y.is_contiguous(memory_format=torch.channels_last)
