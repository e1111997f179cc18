"""Operators on dual numbers, held against torch.func's forward mode of the same operators."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.func import vmap

from latentgeo.core.dual import jvp
from latentgeo.kernels.attention.op import attention
from latentgeo.kernels.gates.op import geglu, silu
from latentgeo.kernels.norms.op import choice, group_norm, group_norm_silu, layer_norm
from latentgeo.kernels.norms.reference import Norm
from latentgeo.kernels.reductions.op import sample_dot
from latentgeo.kernels.wiring import paired

CHANNELS = 6


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


WEIGHTS = tuple(normal(CHANNELS, seed=i).requires_grad_() for i in (1, 2))
IMAGE, ROWS = (2, CHANNELS, 5, 3), (2, 5, CHANNELS)
CASES = {  # name: the function, the shape of x
    "group_norm": (lambda x: group_norm(x, 3, *WEIGHTS), IMAGE),
    "group_norm_silu": (lambda x: group_norm_silu(x, 3, *WEIGHTS), IMAGE),
    "channels_last": (
        lambda x: group_norm_silu(x.contiguous(memory_format=torch.channels_last), 3, *WEIGHTS),
        IMAGE,
    ),
    "layer_norm": (lambda x: layer_norm(x, *WEIGHTS), ROWS),
    "silu": (silu, ROWS),
    "geglu": (geglu, ROWS),
    "sample_dot": (lambda x: sample_dot(x, x.sin()), ROWS),
}
each = pytest.mark.parametrize(("f", "shape"), CASES.values(), ids=CASES)


def same_in_every_order(f, shape, leaves=WEIGHTS):
    """y, y_dot and gradients of both, twice, are those of torch.func.jvp."""
    x, t = (normal(*shape, seed=seed).requires_grad_() for seed in (3, 4))
    inputs = x, t, *leaves

    def orders(y, y_dot):
        loss = (y.sin() * y_dot.cos()).sum()
        kwargs = {"allow_unused": True, "materialize_grads": True}
        plain = torch.autograd.grad(loss, inputs, retain_graph=True, **kwargs)
        first = torch.autograd.grad(loss, inputs, create_graph=True, **kwargs)
        return y, y_dot, plain, first

    got, wanted = orders(*jvp(f, x, t)), orders(*torch.func.jvp(f, (x,), (t,)))
    torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-12)


@each
def test_dual_numbers(f, shape):
    same_in_every_order(f, shape)


@pytest.mark.interpret
@each
def test_dual_numbers_by_kernels(f, shape, monkeypatch):
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    same_in_every_order(f, shape)


def self_attention(x):
    q, k, v = (x @ normal(8, 8, seed=seed) for seed in range(3))
    return attention(q, k, v)


CONTEXT = [normal(2, 3, 7, 8, seed=seed).requires_grad_() for seed in (5, 6)]
ATTENTIONS = {
    "self": (self_attention, ()),
    "cross": (lambda q: attention(q, *CONTEXT), CONTEXT),
    "values": (lambda q: attention(q, CONTEXT[0], CONTEXT[1] * q.sum(2, True)), CONTEXT),
    "tokens first": (
        lambda q: attention(*[q.transpose(1, 2).contiguous().transpose(1, 2)] * 3, causal=True),
        (),
    ),
}
each_attention = pytest.mark.parametrize(("f", "leaves"), ATTENTIONS.values(), ids=ATTENTIONS)


@each_attention
def test_attention(f, leaves):
    same_in_every_order(f, (2, 3, 5, 8), leaves)


@pytest.mark.interpret
@each_attention
def test_attention_by_kernels(f, leaves, monkeypatch):
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    same_in_every_order(f, (2, 3, 5, 8), leaves)


def test_gradcheck():
    """The pair's own function, against finite differences; a third derivative raises."""
    stacked = normal(2, 2, CHANNELS, 5, seed=7).requires_grad_()
    weights = [w.detach().unsqueeze(0).requires_grad_() for w in WEIGHTS]

    def f(*operands):
        return paired.Paired.apply(choice(Norm(3, 1e-5, True)), *operands)[0]

    assert gradcheck(f, (stacked, *weights))
    (first,) = torch.autograd.grad(f(stacked, *weights).sum(), stacked, create_graph=True)
    with pytest.raises(RuntimeError, match="none beyond"):
        torch.autograd.grad(first.sum(), stacked)


def test_under_a_transform():
    """Inside vmap, where the pair has no rule of its own, the parts have."""
    x, t = normal(4, 2, 5, CHANNELS, seed=1), normal(4, 2, 5, CHANNELS, seed=2)
    got = vmap(lambda x, t: jvp(geglu, x, t)[1])(x, t)
    torch.testing.assert_close(got, torch.func.jvp(geglu, (x,), (t,))[1])


@pytest.mark.interpret
@pytest.mark.parametrize(
    ("f", "shape"),
    [CASES["group_norm_silu"], CASES["geglu"], (self_attention, (2, 3, 5, 8))],
    ids=["norm", "gate", "attention"],
)
def test_vmap_over_the_gradients_of_what_is_there(f, shape, monkeypatch):
    """Cotangents batched by vmap, of dual numbers that were computed outside: no kernel is given
    a batched tensor.
    """
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    x, t = (normal(*shape, seed=seed).requires_grad_() for seed in (3, 4))
    outputs = jvp(f, x, t)

    def pulled(scale):
        return torch.autograd.grad(
            outputs, (x, t), [scale * y.detach() for y in outputs], retain_graph=True
        )

    scales = torch.tensor([0.5, 3.0], dtype=torch.float64)
    got = vmap(pulled)(scales)
    torch.testing.assert_close(got, tuple(map(torch.stack, zip(*map(pulled, scales), strict=True))))


@pytest.mark.interpret
def test_vmap_over_a_double_backward(monkeypatch):
    """Tangents batched by vmap, of a graph that was made outside."""
    monkeypatch.setenv("LATENTGEO_KERNELS", "triton")
    q, k, v, u, *t = (normal(2, 3, 5, 8, seed=seed) for seed in range(7))
    leaves = [x.requires_grad_() for x in (q, k, v, u)]
    first = torch.autograd.grad(attention(q, k, v), (q, k, v), u, create_graph=True)

    def pulled(scale):
        return torch.autograd.grad(first, leaves, [scale * x for x in t], retain_graph=True)

    scales = torch.tensor([0.5, 3.0], dtype=torch.float64)
    got = vmap(pulled)(scales)
    torch.testing.assert_close(got, tuple(map(torch.stack, zip(*map(pulled, scales), strict=True))))


def test_value_and_tangent_share_their_launches(monkeypatch):
    """One forward, one jvp, one vjp of both cotangents, one hvp."""
    calls = []
    for order in ("forward", "jvp", "vjp", "hvp"):
        original = getattr(Norm, order)

        def counted(self, *args, order=order, original=original):
            calls.append(order)
            return original(self, *args)

        monkeypatch.setattr(Norm, order, counted)
    x = normal(*IMAGE).requires_grad_()
    weights = [w.detach() for w in WEIGHTS]
    y, y_dot = jvp(lambda x: group_norm(x, 3, *weights), x, x.detach())
    (y.sum() + y_dot.sum()).backward()
    assert calls == ["forward", "jvp", "hvp", "vjp"]
