"""Attention on a CPU against its formulas written out, and where it is used."""

import itertools

import pytest
import torch

from latentgeo.kernels.attention import cpu as attention_cpu
from latentgeo.kernels.attention import reference as attention_reference
from latentgeo.kernels.attention.op import attention
from latentgeo.kernels.attention.reference import Primal

SCALE = 0.3
PRESENT = [p for p in itertools.product([True, False], repeat=3) if any(p)]


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def operands():
    q, k, v = (normal(2, 3, n, 8, seed=i) for i, n in enumerate((5, 7, 7)))
    t = tuple(normal(*x.shape, seed=9) for x in (q, k, v))
    return q, k, v, normal(2, 3, 5, 8, seed=8), t


def weights(q, k):
    return torch.softmax(SCALE * torch.einsum("bhid,bhjd->bhij", q, k), -1)


def test_forward_and_vjp(operands):
    """o, L and the cotangents are those of the formula by autograd."""
    q, k, v, u, _ = operands
    leaves = [x.requires_grad_() for x in (q, k, v)]
    written = weights(q, k) @ v
    with torch.no_grad():
        o, lse = attention_cpu.forward(q, k, v, SCALE)
        found = attention_cpu.vjp(q, k, v, o, lse, u, SCALE)
    torch.testing.assert_close(o, written)
    torch.testing.assert_close(lse, torch.logsumexp(SCALE * q @ k.mT, -1))
    torch.testing.assert_close(found, torch.autograd.grad(written, leaves, u))


@pytest.mark.parametrize("order", [(0, 1, 3, 2), (3, 0, 2, 1), (2, 3, 1, 0)])
def test_any_strides(operands, order):
    """Rows that lie apart, as those of images do, are not taken for others."""
    q, k, v, u, _ = operands
    apart = [x.permute(order).contiguous().permute(torch.tensor(order).argsort().tolist())
             for x in (q, k, v, u)]  # fmt: skip
    o, lse = attention_cpu.forward(*apart[:3], SCALE)
    wanted, wanted_lse = attention_cpu.forward(q, k, v, SCALE)
    torch.testing.assert_close((o, lse), (wanted, wanted_lse))
    got = attention_cpu.vjp(*apart[:3], o, lse, apart[3], SCALE)
    torch.testing.assert_close(got, attention_cpu.vjp(q, k, v, wanted, wanted_lse, u, SCALE))


@pytest.mark.parametrize("present", PRESENT)
@pytest.mark.parametrize("block", [1, 3 * 35, 2**20])
def test_second(operands, present, block, monkeypatch):
    """o_dot and the gradients of ⟨u, o_dot⟩ by autograd, for any tangents and blocks."""
    monkeypatch.setattr(attention_cpu, "BLOCK", block)
    q, k, v, u, t = operands
    leaves = [x.requires_grad_() for x in (q, k, v)]
    t = tuple(x if there else None for x, there in zip(t, present, strict=True))
    dots = tuple(torch.zeros_like(x) if d is None else d for x, d in zip(leaves, t, strict=True))
    written = torch.func.jvp(lambda q, k, v: weights(q, k) @ v, (q, k, v), dots)[1]
    wanted = torch.autograd.grad(
        written, leaves, u, allow_unused=True, materialize_grads=True, retain_graph=True
    )
    with torch.no_grad():
        o, lse = attention_cpu.forward(q, k, v, SCALE)
        o_dot, *found = attention_cpu.second(q, k, v, o, lse, u, t, SCALE)
        primal = Primal(q, k, v, None, False, SCALE, o, lse)
        other = attention_reference.second(primal, u, t, (True, False, True))
    torch.testing.assert_close(o_dot, written)
    torch.testing.assert_close(tuple(found), wanted)
    assert other[2] is None
    torch.testing.assert_close(other[::3], (o_dot, found[2]))


def test_the_rest_goes_another_way():
    """Masks, 16 bits, probes and nothing at all."""
    q = normal(2, 3, 5, 8)
    assert attention_cpu.fits(q, None, False, q, None)
    assert not attention_cpu.fits(q, q > 0, False)
    assert not attention_cpu.fits(q, None, True)
    assert not attention_cpu.fits(q.half(), None, False)
    assert not attention_cpu.fits(q, None, False, torch.cat([q, q]))
    assert not attention_cpu.fits(q, None, False, q[:, :, :0])


def test_a_double_backward_shares_its_parts(operands, monkeypatch):
    """One call for what is needed at once, unless its own graph is wanted."""
    calls, original = [], attention_reference.second

    def counted(*args):
        calls.append(args)
        return original(*args)

    monkeypatch.setattr(attention_reference, "second", counted)
    q, k, v, u, _ = operands
    leaves = [x.requires_grad_() for x in (q, k, v, u)]
    first = torch.autograd.grad(attention(q, k, v), (q, k, v), u, create_graph=True)
    loss = sum(g.square().sum() for g in first)
    shared = torch.autograd.grad(loss, leaves, retain_graph=True)
    assert len(calls) == 1
    torch.testing.assert_close(shared, torch.autograd.grad(loss, leaves, create_graph=True))
    assert len(calls) == 1
