# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# ruff: noqa: D102  (what the methods of an autograd function do is in its docstring and the header)
"""An operator on a dual number, as one autograd function: (x, x_dot) to (y, y_dot).

Backward   with cotangents (u', u): Jᵀu' + ∇⟨u, J x_dot⟩ in x, Jᵀu in x_dot. Value and tangent share
           the launches, and where nobody records a graph, so do the gradients
Orders     once in reverse; what comes after is a third derivative and raises `RuntimeError`
Traffic    (x, x_dot) and (y, y_dot) are each one tensor, which linear layers take as it is
"""

from __future__ import annotations

import torch
from torch.autograd import Function

from latentgeo.kernels.wiring import duals
from latentgeo.kernels.wiring.autograd import hvp, run, save, saved, vjp
from latentgeo.kernels.wiring.op import total
from latentgeo.kernels.wiring.wanted import needed, note_tensors


class Paired(Function):
    """(op, x and x_dot stacked, *others) -> (y and y_dot stacked, *what the derivatives reuse)."""

    @staticmethod
    def forward(op, stacked, *others):
        return run("pair", op, (stacked, *others))

    @staticmethod
    def setup_context(ctx, inputs, output):
        note_tensors(ctx, inputs)
        ctx.mark_non_differentiable(*output[1:])
        op, *operands = inputs
        save(ctx, op, (*operands, *output[1:]))

    @staticmethod
    def backward(ctx, both, *_):
        op, (stacked, *rest) = saved(ctx)
        x, x_dot = stacked.chunk(2)
        point, wanted = (x, *rest), tuple(needed(ctx)[1:][: op.arity])
        rest_of = [None] * (len(ctx.needs_input_grad) - 1 - op.arity)
        if both is None or not any(wanted):
            return None, *[None] * op.arity, *rest_of
        if not duals.recording():
            return None, *run("pair_vjp", op, point, x_dot, both, wanted), *rest_of
        of_y, u = both.chunk(2)
        t = (x_dot, *[None] * (op.arity - 1))
        curved = hvp(op, point, u, t, wanted)
        straight = vjp(op, point, of_y, wanted)
        in_x_dot = vjp(op, point, u, (wanted[0], *[False] * (op.arity - 1)))[0]
        in_x, *others = map(total, straight, curved)
        pair = None if in_x is None or in_x_dot is None else torch.cat([in_x, in_x_dot])
        return None, pair, *others, *rest_of
