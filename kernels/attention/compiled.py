"""Attention inside torch.compile, as operators of torch.library: `kernels/wiring/compiled.py`.

Notation   as in `reference.py`; a dual number is stacked, (2B, H, N, d)
Orders     first, in reverse; of `pair`, reverse over forward. What is beyond raises
Layout     results have tokens, or heads, first in memory as q or k has them
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from latentgeo.kernels.attention.autograd import compute
from latentgeo.kernels.attention.paired import Paired, halves
from latentgeo.kernels.attention.reference import Primal

Gradients = tuple[Tensor, Tensor, Tensor]


def _empty(like: Tensor) -> Tensor:
    """Return an uninitialized tensor like q or k (B, H, N, d)."""
    if like.stride(1) < like.stride(2):
        return torch.empty_like(like.transpose(1, 2), memory_format=PLAIN).transpose(1, 2)
    return torch.empty_like(like, memory_format=PLAIN)


def _settled(x: Tensor, like: Tensor) -> Tensor:
    """Return x in the layout that `_empty` has."""
    if like.stride(1) < like.stride(2):
        return x.transpose(1, 2).contiguous().transpose(1, 2)
    return x.contiguous()


PLAIN = torch.contiguous_format


@custom_op("latentgeo::attention", mutates_args=())
def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Return o (B, H, N, d) and L (B, H, N)."""
    o, lse = compute("forward", (q, k), q, k, v, mask, causal, scale)
    return _settled(o, q), lse.contiguous()


@attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Any:
    return _empty(q), _numbers(q, len(q))


def _numbers(q: Tensor, batch: int) -> Tensor:
    """Return an uninitialized (batch, H, N) in the type of sums."""
    shape = batch, *q.shape[1:3]
    return q.new_empty(shape, dtype=torch.promote_types(q.dtype, torch.float32))


@custom_op("latentgeo::attention_vjp", mutates_args=())
def attention_vjp(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    causal: bool,
    scale: float,
    o: Tensor,
    lse: Tensor,
    u: Tensor,
) -> Gradients:
    """Return the cotangents of q (B, H, N, d), k and v (B, H, M, d)."""
    primal = Primal(q, k, v, mask, causal, scale, o, lse)
    dq, dk, dv = compute("vjp", (q, k, u), primal, u, (True, True, True))
    return _settled(dq, q), _settled(dk, k), _settled(dv, v)


@attention_vjp.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *_: Any) -> Gradients:
    return _empty(q), _empty(k), _empty(v)


@custom_op("latentgeo::attention_pair", mutates_args=())
def attention_pair(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (o, o_dot) (2B, H, N, d), L and μ (B, H, N); q stacked, k and v both or neither."""
    both, lse, mu = Paired.forward(q, k, v, mask, causal, scale)
    return _settled(both, q), lse.contiguous(), mu.contiguous()


@attention_pair.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Any:
    return _empty(q), _numbers(q, len(q) // 2), _numbers(q, len(q) // 2)


@custom_op("latentgeo::attention_pair_vjp", mutates_args=())
def attention_pair_vjp(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    causal: bool,
    scale: float,
    o: Tensor,
    lse: Tensor,
    mu: Tensor,
    both: Tensor,
) -> Gradients:
    """Return the gradients of ⟨u', o⟩ + ⟨u, o_dot⟩, both = (u', u), in q, k and v as they are."""
    (q_, q_dot), (k_, k_dot), (v_, v_dot) = halves(q, k, v)
    (o_, o_dot), (of_o, u) = o.chunk(2), both.chunk(2)
    primal, every = Primal(q_, k_, v_, mask, causal, scale, o_, lse), (True, True, True)
    t = q_dot, k_dot, v_dot
    tensors = [q_, k_, u, *(x for x in t if x is not None)]
    curved = compute("hvp", tensors, primal, u, t, o_dot, mu, every)
    straight = list(compute("vjp", (q_, k_, both), primal, both, (True, *[k_dot is not None] * 2)))
    if k_dot is None:
        straight[1:] = compute("vjp", (q_, k_, of_o), primal, of_o, (False, True, True))[1:]
    for x, y in zip(straight, curved, strict=True):
        x[: len(y)].add_(y)
    dq, dk, dv = straight
    return _settled(dq, q), _settled(dk, k), _settled(dv, v)


@attention_pair_vjp.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *_: Any) -> Gradients:
    return _empty(q), _empty(k), _empty(v)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, v, mask, ctx.causal, ctx.scale = inputs
    ctx.save_for_backward(q, k, v, mask, *output)
    ctx.set_materialize_grads(False)


def _backward(gradients: Any) -> Any:
    def backward(ctx: Any, u: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        if u is None:
            return (None,) * 6
        q, k, v, mask, *rest = ctx.saved_tensors
        found = gradients(q, k, v, mask, ctx.causal, ctx.scale, *rest, u)
        return *found, None, None, None

    return backward


attention.register_autograd(_backward(attention_vjp), setup_context=_keep)
attention_pair.register_autograd(_backward(attention_pair_vjp), setup_context=_keep)
