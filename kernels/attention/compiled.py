"""Attention inside torch.compile, as operators of torch.library: `kernels/wiring/compiled.py`.

Notation   as in `reference.py`
Orders     first, in reverse; a second raises
Layout     results have tokens, or heads, first in memory as q or k has them
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from latentgeo.kernels.attention.autograd import compute
from latentgeo.kernels.attention.reference import Primal

PLAIN = torch.contiguous_format
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


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, v, mask, ctx.causal, ctx.scale = inputs
    ctx.save_for_backward(q, k, v, mask, *output)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, u: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    if u is None:
        return (None,) * 6
    q, k, v, mask, o, lse = ctx.saved_tensors
    found = attention_vjp(q, k, v, mask, ctx.causal, ctx.scale, o, lse, u)
    return *found, None, None, None


attention.register_autograd(_backward, setup_context=_keep)
