# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
# ruff: noqa: D102  (what the methods of an autograd function do is in its docstring and the header)
"""How the norms, gates, reductions and charts get their derivatives, from four closed forms each.

An op is y = f(p) with J its Jacobian in the primals p. It brings f, J t, Jᵀu and ∇_p ⟨u, J t⟩ for
tangents t and a cotangent u (`Op`); the autograd functions here are what all ops share.

Backward   of y, with cotangent u: Vjp(u)
           of Vjp(u), with cotangent t: Jvp(t) in u, Hvp(u; t) in p
           of Jvp(t), with cotangent u: Vjp(u) in t, Hvp(u; t) in p
Tangent    of y: Jvp(t);   of Vjp(u): Hvp(u; t) + Vjp(u_dot)
Orders     first and second, but for forward over forward; all of them also under vmap. What needs
           more raises `RuntimeError`
Traffic    saved are p and what `forward` returns beside y; what is not asked for is not computed

Probes     Every tensor has a leading axis, R long or 1, which broadcasts; vmap's batches are folded
           into it (`probes.py`). Many tangents at one point have R, and the point keeps its 1:
           it is neither copied nor run again.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from latentgeo.kernels.wiring.dispatch import use_triton, without_autocast
from latentgeo.kernels.wiring.op import real, total
from latentgeo.kernels.wiring.probes import batched
from latentgeo.kernels.wiring.wanted import needed, note_tensors


class Primal(Function):
    """(op, *operands) -> (y, *what the derivatives reuse)."""

    @staticmethod
    def forward(op, *operands):
        return run("forward", op, operands)

    @staticmethod
    def setup_context(ctx, inputs, output):
        note_tensors(ctx, inputs)
        op, *operands = inputs
        ctx.mark_non_differentiable(*output[1:])
        save(ctx, op, (*operands, *output[1:]))

    @staticmethod
    def backward(ctx, u, *_):
        op, point = saved(ctx)
        _check_constants(op, ctx.needs_input_grad[1:])
        wanted = needed(ctx)[1:]
        grads = _over_probes(vjp(op, point, u, wanted[: op.arity]), point)
        return None, *grads, *[None] * (len(wanted) - op.arity)

    @staticmethod
    def jvp(ctx, _, *t):
        op, point = saved(ctx, unpack=True)
        _check_constants(op, [x is not None for x in t])
        return jvp(op, point, t[: op.arity]), *[None] * (len(point) - len(t))

    @staticmethod
    def vmap(info, in_dims, *args):
        return batched(Primal, info.batch_size, in_dims, args)


class Jvp(Function):
    """(op, *t, *point) -> J t."""

    @staticmethod
    def forward(op, *args):
        return run("jvp", op, args[op.arity :], args[: op.arity])

    @staticmethod
    def setup_context(ctx, inputs, output):
        note_tensors(ctx, inputs)
        op, *args = inputs
        save(ctx, op, args)

    @staticmethod
    def backward(ctx, u):
        op, args = saved(ctx)
        t, point = args[: op.arity], args[op.arity :]
        _, *wanted = needed(ctx)
        to_t, to_primals = wanted[: op.arity], wanted[op.arity : 2 * op.arity]
        from_t = _over_probes(vjp(op, point, u, to_t), t)
        from_primals = _over_probes(hvp(op, point, u, t, to_primals), point)
        return None, *from_t, *from_primals, *[None] * (len(point) - op.arity)

    @staticmethod
    def jvp(ctx, *_):
        _refuse(ctx.op)

    @staticmethod
    def vmap(info, in_dims, *args):
        return batched(Jvp, info.batch_size, in_dims, args)


class Vjp(Function):
    """(op, wanted, u, *point) -> Jᵀu, None where not wanted."""

    @staticmethod
    def forward(op, wanted, u, *point):
        return tuple(run("vjp", op, point, u, wanted))

    @staticmethod
    def setup_context(ctx, inputs, output):
        note_tensors(ctx, inputs)
        op, ctx.wanted, *args = inputs
        save(ctx, op, args)

    @staticmethod
    def backward(ctx, *t):
        op, (u, *point) = saved(ctx)
        _, _, to_u, *wanted = needed(ctx)
        to_primals = wanted[: op.arity]
        (from_u,) = _over_probes([jvp(op, point, t) if to_u else None], [u])
        from_primals = _over_probes(hvp(op, point, u, t, to_primals), point)
        return None, None, from_u, *from_primals, *[None] * (len(point) - op.arity)

    @staticmethod
    def jvp(ctx, _op, _wanted, u_dot, *t):
        op, (u, *point) = saved(ctx, unpack=True)
        curved = hvp(op, point, u, t[: op.arity], ctx.wanted)
        return tuple(map(total, curved, vjp(op, point, u_dot, ctx.wanted)))

    @staticmethod
    def vmap(info, in_dims, *args):
        return batched(Vjp, info.batch_size, in_dims, args)


class Hvp(Function):
    """(op, wanted, u, *t, *point) -> ∇_p ⟨u, J t⟩, None where not wanted."""

    @staticmethod
    def forward(op, wanted, u, *args):
        return tuple(run("hvp", op, args[op.arity :], u, args[: op.arity], wanted))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.op = inputs[0]

    @staticmethod
    def backward(ctx, *_):
        _refuse(ctx.op)

    @staticmethod
    def jvp(ctx, *_):
        _refuse(ctx.op)

    @staticmethod
    def vmap(info, in_dims, *args):
        return batched(Hvp, info.batch_size, in_dims, args)


def jvp(op, point, t):
    """Return J t, or None for no tangent."""
    return None if all(x is None for x in t) else Jvp.apply(op, *t, *point)


def vjp(op, point, u, wanted):
    """Return Jᵀu, None where not wanted."""
    if u is None or not any(wanted):
        return [None] * op.arity
    return Vjp.apply(op, tuple(wanted), u, *point)


def hvp(op, point, u, t, wanted):
    """Return ∇_p ⟨u, J t⟩, None where not wanted."""
    if u is None or not any(wanted) or all(x is None for x in t):
        return [None] * op.arity
    return Hvp.apply(op, tuple(wanted), u, *t, *point)


def run(order, op, point, *rest):
    """Compute one closed form, by the reference or by Triton, its results with all the probes."""
    point, rest = real(tuple(point)), real(rest)
    tensors = [x for x in _flat((*point, *rest)) if isinstance(x, Tensor)]
    chosen = op.on_triton() if use_triton(*tensors, obstacle=_obstacle(tensors)) else op.reference
    with without_autocast(tensors[0].device):
        if order in ("forward", "pair"):
            return getattr(chosen, order)(*point)
        results = getattr(chosen, order)(point, *rest)
    if order == "pair_vjp":
        return results
    probes = max(len(x) for x in tensors)
    if isinstance(results, Tensor):
        return _to_probes(results, probes)
    return [x if x is None else _to_probes(x, probes) for x in results]


def _obstacle(tensors):
    if not all(x.numel() for x in tensors):
        return "a tensor is empty"
    if any(torch._C._functorch.is_legacy_batchedtensor(x) for x in tensors):
        return "is_grads_batched of torch.autograd.grad leaves no tensor that a kernel could read"
    return None


def _flat(args):
    for arg in args:
        if isinstance(arg, tuple | list):
            yield from _flat(arg)
        else:
            yield arg


def _to_probes(x, probes):
    return x if len(x) == probes else x.expand(probes, *x.shape[1:]).contiguous()


def _over_probes(grads, operands):
    """Return gradients with the leading axes of what they belong to: summed where that is 1."""
    return [
        g if g is None or len(g) == len(x) else g.sum(0, keepdim=True)
        for g, x in zip(grads, operands, strict=False)
    ]


def _check_constants(op, asked):
    if any(asked[op.arity :]):
        raise RuntimeError(f"{op.name} has no derivative in its last operand, a constant")


def _refuse(op):
    raise RuntimeError(
        f"{op.name} has first and second derivatives, without forward over forward: none beyond"
    )


def save(ctx, op, tensors):
    """Keep the operator and tensors, for reverse and for forward mode."""
    ctx.op = op
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)
    ctx.set_materialize_grads(False)


def saved(ctx, unpack=False):
    """Return the op and what was saved; for a tangent's rule without the tangents of it."""
    tensors = ctx.saved_tensors
    if unpack:
        tensors = [x if x is None else forward_ad.unpack_dual(x).primal for x in tensors]
    return ctx.op, tensors
