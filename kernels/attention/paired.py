# mypy: allow-untyped-defs, allow-incomplete-defs
# ruff: noqa: D102  (what the methods of an autograd function do is in its docstring and the header)
"""Attention on dual numbers, as one autograd function: (q, q_dot) and so on to (o, o_dot).

Notation   as in `autograd.py`; a dual number is stacked, (2B, H, N, d)
Backward   with cotangents (u', u) of (o, o_dot): Vjp(u') + Hvp(u; t) in q, k and v, Vjp(u) in their
           tangents. Where k and v have no tangents, as those of a text, they get the first
Orders     once in reverse; what comes after is a third derivative and raises `RuntimeError`
Traffic    value and tangent share a tensor, their cotangents of q a launch
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function

from latentgeo.kernels.attention.autograd import Context, compute, hvp, vjp
from latentgeo.kernels.attention.reference import Primal
from latentgeo.kernels.wiring import duals
from latentgeo.kernels.wiring.wanted import needed, note_tensors


class Paired(Function):
    """(q, k, v, mask, causal, scale) -> (o, L, μ); q stacked, k and v both or neither."""

    @staticmethod
    def forward(q, k, v, mask, causal, scale):
        (q, q_dot), (k, k_dot), (v, v_dot) = halves(q, k, v)
        t = q_dot, k_dot, v_dot
        tensors = [q, k, *(x for x in t if x is not None)]
        return compute("pair", tensors, (q, k, v), t, mask, causal, scale)

    @staticmethod
    def setup_context(ctx: Context, inputs, output):
        note_tensors(ctx, inputs)
        ctx.mark_non_differentiable(*output[1:])
        *tensors, ctx.causal, ctx.scale = inputs
        ctx.save_for_backward(*tensors, *output)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Context, both, *_):
        if both is None:
            return (None,) * 6
        *stacked, mask, o, lse, mu = ctx.saved_tensors
        (q, q_dot), (k, k_dot), (v, v_dot) = halves(*stacked)
        (o, o_dot), (of_o, u) = o.chunk(2), both.chunk(2)
        primal = Primal(q, k, v, mask, ctx.causal, ctx.scale, o, lse)
        in_q, *in_keys = needed(ctx)[:3]
        curved = hvp(primal, u, (q_dot, k_dot, v_dot), o_dot, mu, (in_q, *in_keys))
        if k_dot is None:
            queries, keys = (in_q, False, False), (False, *in_keys)
            straight = (*vjp(primal, both, queries)[:1], *vjp(primal, of_o, keys)[1:])
        else:
            straight = vjp(primal, both, (in_q, *in_keys))
        return *map(_with_first_half, straight, curved), None, None, None


def halves(q: Tensor, k: Tensor, v: Tensor) -> list[tuple[Tensor, Tensor | None]]:
    """Return primals and tangents; those of k and v are None if they are half as many as q."""
    alone = [(x, None) for x in (k, v)]
    return [q.chunk(2), *(alone if len(k) < len(q) else (k.chunk(2), v.chunk(2)))]


def _with_first_half(x: Tensor | None, y: Tensor | None) -> Tensor | None:
    """Return x with y added to the first len(y) of it, in place if neither is looked at."""
    if x is None or y is None:
        return x
    if duals.recording():
        return torch.cat([x[: len(y)] + y, x[len(y) :]])
    x[: len(y)].add_(y)
    return x
