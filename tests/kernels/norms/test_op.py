"""The norms' values, layouts, dtypes and errors. Derivatives are in test_wiring."""

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import jacfwd, jacrev

from latentgeo.kernels.norms.aten import _image, _layout
from latentgeo.kernels.norms.op import group_norm, group_norm_silu, layer_norm
from tests.tensors import normal


def torch_group_norm_silu(x, groups, weight=None, bias=None, eps=1e-5):
    return F.silu(F.group_norm(x, groups, weight, bias, eps))


PAIRS = [(group_norm, F.group_norm), (group_norm_silu, torch_group_norm_silu)]
each_norm = pytest.mark.parametrize(("ours", "theirs"), PAIRS)


@each_norm
@pytest.mark.parametrize("shape", [(2, 15), (2, 15, 7), (2, 15, 3, 7), (2, 15, 2, 3, 7)])
def test_group_norm_of_any_rank(ours, theirs, shape):
    """The value is PyTorch's for (B, C) to (B, C, T, H, W)."""
    x, weight, bias = normal(*shape) + 2, normal(15, seed=1), normal(15, seed=2)
    torch.testing.assert_close(ours(x, 3, weight, bias, 0.1), theirs(x, 3, weight, bias, 0.1))
    torch.testing.assert_close(ours(x, 5), theirs(x, 5))


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 3, 5, 7)])
def test_layer_norm_of_any_rank(shape):
    """The value is PyTorch's for (C,) to (…, C)."""
    x, weight, bias = normal(*shape) + 2, normal(7, seed=1), normal(7, seed=2)
    wanted = F.layer_norm(x, (7,), weight, bias, 0.1)
    torch.testing.assert_close(layer_norm(x, weight, bias, 0.1), wanted)
    torch.testing.assert_close(layer_norm(x), F.layer_norm(x, (7,)))


@each_norm
def test_channels_last_is_kept(ours, theirs):
    """A channels-last x gives the same numbers, in x's memory format, as do derivatives."""
    weight, bias, u = normal(15, seed=1), normal(15, seed=2), normal(2, 15, 3, 7, seed=3)
    plain = normal(2, 15, 3, 7).requires_grad_()
    last = plain.detach().to(memory_format=torch.channels_last).requires_grad_()
    got, wanted = ours(last, 3, weight, bias), theirs(plain, 3, weight, bias)
    torch.testing.assert_close(got, wanted)
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert ours(plain, 3, weight, bias).is_contiguous()
    (wanted_gradient,) = torch.autograd.grad(wanted, plain, u)
    for cotangent in (u, u.to(memory_format=torch.channels_last)):
        (gradient,) = torch.autograd.grad(got, last, cotangent, retain_graph=True)
        torch.testing.assert_close(gradient, wanted_gradient)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("samples", [1, 2])
def test_second_derivatives_of_channels_last(samples):
    """Both second derivatives of a channels-last x, their tangents and cotangents in any layout."""
    x = normal(samples, 4, 1, 3).to(memory_format=torch.channels_last)

    def wanted(x):
        rows = x.reshape(samples, 2, 6)
        centred = rows - rows.mean(-1, keepdim=True)
        return (centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()).reshape(x.shape)

    exact = jacrev(jacrev(wanted))(x)
    for twice in (
        jacrev(jacfwd(lambda x: group_norm(x, 2))),
        jacfwd(jacrev(lambda x: group_norm(x, 2))),
    ):
        torch.testing.assert_close(twice(x), exact)


def test_layout_of_pytorchs_operators():
    """One for all operands; a GPU's operators take positions innermost only."""
    x, last = normal(2, 3, 5, 7), normal(2, 7, 3, 5).permute(0, 2, 3, 1)
    assert _layout(x) == torch.contiguous_format and _layout(last) == torch.channels_last
    image = _image(last[:1].as_strided((1, 3, 5, 7), (1, 5, 1, 15)), torch.channels_last)
    assert image.stride() == (105, 1, 105, 15)
    with FakeTensorMode(allow_non_fake_inputs=True):
        on_gpu = torch.empty(2, 7, 3, 5, device="cuda").permute(0, 2, 3, 1)
        assert _layout(on_gpu) == torch.contiguous_format


@each_norm
def test_rows_that_lie_apart(ours, theirs):
    """Neither a slice nor a permutation of a tensor is mistaken for a dense one."""
    x = normal(7, 2, 30, 3).permute(1, 2, 0, 3)[:, ::2]
    torch.testing.assert_close(ours(x, 3), theirs(x, 3))
    strided = normal(5, 3, 14)[..., ::2]
    torch.testing.assert_close(layer_norm(strided), F.layer_norm(strided, (7,)))


def test_layer_norm_under_reverse_over_forward():
    """The gradient of ‖J t‖² is that of finite differences, which PyTorch's own misses by far."""
    x, t = normal(3, 5), normal(3, 5, seed=1)

    def loss(f, x):
        return (torch.func.jvp(f, (x,), (t,))[1] ** 2).sum()

    direction, h = normal(3, 5, seed=2), 1e-5
    ahead, behind = (loss(layer_norm, x + step * direction) for step in (h, -h))
    gradient = torch.func.grad(lambda x: loss(layer_norm, x))(x)
    torch.testing.assert_close((gradient * direction).sum(), (ahead - behind) / (2 * h))


def test_compiled():
    """Derivatives inside torch.compile, which drops those of custom functions, and outside."""

    def loss(x, t):
        return (torch.func.jvp(layer_norm, (x,), (t,))[1] ** 2).sum()

    x, t = normal(3, 5).requires_grad_(), normal(3, 5, seed=1)
    got = torch.compile(loss, backend="aot_eager", fullgraph=True)(x, t)
    torch.testing.assert_close(got, loss(x, t))
    wanted = torch.autograd.grad(loss(x, t), x)
    torch.testing.assert_close(torch.autograd.grad(got, x), wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtypes(dtype):
    """Results have x's dtype and gradients that of what they belong to; sums are in float32."""
    x = (normal(2, 6, 101) + 30).to(dtype).requires_grad_()
    weight, bias = (normal(6, dtype=torch.float32, seed=i).requires_grad_() for i in (1, 2))
    y = group_norm_silu(x, 3, weight, bias)
    gradients = torch.autograd.grad(y.sum(), (x, weight, bias))
    assert y.dtype == dtype
    assert [g.dtype for g in gradients] == [dtype, torch.float32, torch.float32]
    wanted = torch_group_norm_silu(x.double(), 3, weight.double(), bias.double())
    bound = 4 * torch.finfo(dtype).eps * wanted.abs().max().item()
    torch.testing.assert_close(y.double(), wanted, rtol=0, atol=max(bound, 1e-5))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_autocast_gives_the_dtype_that_torch_gives(dtype):
    x, weight = normal(2, 6, 5, dtype=dtype), normal(6, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = F.group_norm(x, 3, weight, weight)
        got = group_norm(x, 3, weight, weight)
        rows = layer_norm(x, weight[:5], weight[:5])
        assert rows.dtype == F.layer_norm(x, (5,), weight[:5], weight[:5]).dtype
    assert got.dtype == wanted.dtype


def test_no_samples():
    """An empty batch is an empty result, with a gradient."""
    x, weight = torch.zeros(0, 6, 5, requires_grad=True), torch.ones(6, requires_grad=True)
    for y in (group_norm_silu(x, 3, weight), layer_norm(x.movedim(1, -1), weight)):
        gradients = torch.autograd.grad(y.sum(), (x, weight))
        assert y.numel() == 0 and [g.shape for g in gradients] == [x.shape, weight.shape]


def test_what_does_not_fit_is_an_error():
    x, weight = normal(2, 6, 5), normal(6)
    for call, message in (
        (lambda: group_norm(x, 4, weight, weight), r"group_norm: got x \(2, 6, 5\).* C in 4s"),
        (lambda: group_norm_silu(x, 0), "group_norm_silu: got x"),
        (lambda: group_norm(x[0, 0], 1), "group_norm: got x"),
        (lambda: group_norm(x, 3, weight[:5]), r"got a tensor \(5,\) .*, wanted \(6,\)"),
        (lambda: layer_norm(x, weight), r"layer_norm: got a tensor \(6,\) .*, wanted \(5,\)"),
        (lambda: layer_norm(x.long()), "torch.int64, wanted .*floating"),
        (lambda: layer_norm(x.sum()), r"layer_norm: got x \(\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
