# mypy: allow-untyped-defs, allow-incomplete-defs
# ruff: noqa: D102  (what the methods of an autograd function do is in its docstring and the header)
"""How attention and its derivatives are derivatives of each other, for autograd.

Notation   o = softmax(α q kᵀ + b) v, J its Jacobian in (q, k, v), t = (q_dot, k_dot, v_dot) a
           tangent, u a cotangent; Jvp(t) = J t, Vjp(u) = Jᵀ u, Hvp(u; t) = ∇⟨u, J t⟩
Backward   of o, with cotangent u: Vjp(u)
           of Vjp(u), with cotangent t: Jvp(t) in u, Hvp(u; t) in q, k and v
           of Jvp(t), with cotangent u: Vjp(u) in t, Hvp(u; t) in q, k and v
Tangent    of o: Jvp(t);   of Vjp(u): Hvp(u; t) + Vjp(u_dot)
Orders     first and second, but for forward over forward; all of them also under vmap. What needs
           more raises `RuntimeError`
Traffic    saved are q, k, v, o and L (B, H, N); a None, in t or for a result, is not computed

Batches of vmap are folded into B. Where the primal has none, as with many tangents at one point,
only u and t grow, to R·B (`reference.py`, Probes): the primal is neither copied nor run
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn, cast

from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor
from torch.autograd import Function, forward_ad
from torch.autograd.function import FunctionCtx

from latentgeo.kernels.attention import reference as attention_reference
from latentgeo.kernels.attention.reference import Primal, Wanted
from latentgeo.kernels.attention.tiles import widest
from latentgeo.kernels.attention.vmap import apply_folded
from latentgeo.kernels.wiring import duals
from latentgeo.kernels.wiring.dispatch import interpreting, use_triton, without_autocast
from latentgeo.kernels.wiring.op import real, total
from latentgeo.kernels.wiring.wanted import needed, note_tensors

FIELDS = len(Primal._fields)
Results = tuple[Tensor | None, ...]


class Context(FunctionCtx):
    """What autograd gives to the methods of a `Function`, as far as they use it."""

    saved_tensors: tuple[Tensor, ...]  # some may be None
    needs_input_grad: tuple[bool, ...]
    causal: bool
    scale: float
    wanted: Wanted


class Attend(Function):
    """(q, k, v, mask, causal, scale) -> (o, L); L serves the derivatives and has none."""

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
    ) -> tuple[Tensor, Tensor]:
        return compute("forward", (q, k), q, k, v, mask, causal, scale)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
        note_tensors(ctx, inputs)
        ctx.mark_non_differentiable(output[1])
        _save(ctx, Primal._make((*inputs, *output)))

    @staticmethod
    def backward(ctx: Context, u: Tensor | None, _: None) -> Results:
        if ctx.needs_input_grad[3]:
            _refuse("the mask is taken as a constant")
        primal = _saved(ctx)[0]
        return *vjp(primal, u, needed(ctx)[:3]), None, None, None

    @staticmethod
    def jvp(ctx: Context, *dots: Tensor | None) -> Results:
        if dots[3] is not None:
            _refuse("the mask is taken as a constant")
        primal = _saved(ctx, unpack=True)[0]
        return jvp(primal, dots[:3])[0], None

    @staticmethod
    def vmap(info, in_dims: tuple, *args) -> tuple[Results, tuple]:
        return apply_folded(Attend, info.batch_size, in_dims, args, len(args))


class _Jvp(Function):
    """(*primal, q_dot, k_dot, v_dot) -> (o_dot, μ); μ serves Hvp and has no derivative."""

    @staticmethod
    def forward(*args) -> tuple[Tensor, Tensor]:
        primal, t = Primal(*args[:FIELDS]), args[FIELDS:]
        return compute("jvp", (primal.q, primal.k, *t), primal, t)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
        note_tensors(ctx, inputs)
        ctx.mark_non_differentiable(output[1])
        _save(ctx, Primal(*inputs[:FIELDS]), *inputs[FIELDS:], *output)

    @staticmethod
    def backward(ctx: Context, u: Tensor | None, _: None) -> Results:
        primal, (q_dot, k_dot, v_dot, o_dot, mu) = _saved(ctx)
        wanted = needed(ctx)
        curved = hvp(primal, u, (q_dot, k_dot, v_dot), o_dot, mu, wanted[:3])
        return *_over_probes(curved, primal), *[None] * 5, *vjp(primal, u, wanted[FIELDS:])

    @staticmethod
    def jvp(ctx: Context, *_: Tensor | None) -> NoReturn:
        _refuse("there is no derivative beyond the second, and no forward over forward")

    @staticmethod
    def vmap(info, in_dims: tuple, *args) -> tuple[Results, tuple]:
        return apply_folded(_Jvp, info.batch_size, in_dims, args, FIELDS)


class _Vjp(Function):
    """(*primal, u, wanted) -> (dq, dk, dv), None where not wanted."""

    @staticmethod
    def forward(*args) -> Results:
        primal, (u, wanted) = Primal(*args[:FIELDS]), args[FIELDS:]
        return compute("vjp", (primal.q, primal.k, u), primal, u, wanted)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple, output: Results) -> None:
        note_tensors(ctx, inputs)
        *primal, u, ctx.wanted = inputs
        _save(ctx, Primal(*primal), u)

    @staticmethod
    def backward(ctx: Context, *t: Tensor | None) -> Results:
        primal, (u,) = _saved(ctx)
        wanted = needed(ctx)[:3]
        present = [x for x in t if x is not None]
        if present and any(wanted) and not duals.recording():
            tensors = (primal.q, primal.k, u, *present)
            o_dot, *curved = compute("second", tensors, primal, u, t, tuple(wanted))
        else:
            o_dot, mu = jvp(primal, t)
            curved = hvp(primal, u, t, o_dot, mu, wanted)
        return *_over_probes(tuple(curved), primal), *[None] * 5, o_dot, None

    @staticmethod
    def jvp(ctx: Context, *dots: Tensor | None) -> Results:
        primal, (u,) = _saved(ctx, unpack=True)
        t = [_like_probes(x, u) for x in dots[:3]]
        o_dot, mu = jvp(primal, t)
        curved = hvp(primal, u, t, o_dot, mu, ctx.wanted)
        return tuple(map(total, curved, vjp(primal, dots[FIELDS], ctx.wanted)))

    @staticmethod
    def vmap(info, in_dims: tuple, *args) -> tuple[Results, tuple]:
        return apply_folded(_Vjp, info.batch_size, in_dims, args, FIELDS)


class _Hvp(Function):
    """(*primal, u, q_dot, k_dot, v_dot, o_dot, μ, wanted) -> (gq, gk, gv), None where unwanted."""

    @staticmethod
    def forward(*args) -> Results:
        primal, (u, *t, o_dot, mu, wanted) = Primal(*args[:FIELDS]), args[FIELDS:]
        return compute("hvp", (primal.q, primal.k, u, *t), primal, u, t, o_dot, mu, wanted)

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple, output: Results) -> None:
        """Save nothing: there is no next order."""

    @staticmethod
    def backward(ctx: Context, *_: Tensor | None) -> NoReturn:
        _refuse("there is no derivative beyond the second")

    @staticmethod
    def jvp(ctx: Context, *_: Tensor | None) -> NoReturn:
        _refuse("there is no derivative beyond the second")

    @staticmethod
    def vmap(info, in_dims: tuple, *args) -> tuple[Results, tuple]:
        return apply_folded(_Hvp, info.batch_size, in_dims, args, FIELDS)


def _refuse(reason: str) -> NoReturn:
    raise RuntimeError(f"attention: {reason}")


def compute(name: str, tensors: Sequence[Tensor | None], *args):
    """Call a function of the kernels, or of the reference, outside of autocast.

    tensors: q and k, then those among args that may rule the kernels out.
    """
    present = [x for x in tensors if x is not None]
    with without_autocast(present[0].device):
        return getattr(_implementation(present), name)(*real(args))


def _implementation(tensors: Sequence[Tensor]) -> ModuleType:
    if not use_triton(*tensors, obstacle=_obstacle(tensors)):
        return attention_reference
    from latentgeo.kernels.attention import triton as attention_triton

    return attention_triton


def _obstacle(tensors: Sequence[Tensor]) -> str | None:
    """Return what attention's kernels cannot do of this, in words, or None."""
    q, k, *_ = tensors
    width = widest(q.element_size())
    if q.shape[-1] > width and not interpreting():
        return f"attention in {q.dtype} has kernels for d ≤ {width}, got {q.shape[-1]}"
    if not q.numel() or not k.numel():
        return f"attention got q {tuple(q.shape)} and k {tuple(k.shape)}, with nothing to do"
    if any(is_legacy_batchedtensor(x) for x in tensors):
        return "is_grads_batched=True cannot batch kernels; torch.func.vmap can"
    return None


def jvp(primal: Primal, t: Sequence[Tensor | None]) -> Results:
    """Return J t and μ (B, H, N), or None for no tangent."""
    if all(x is None for x in t):
        return None, None
    return _Jvp.apply(*primal, *t)


def vjp(primal: Primal, u: Tensor | None, wanted: Sequence[bool]) -> Results:
    """Return Jᵀ u in q, k and v, None where not wanted."""
    if u is None or not any(wanted):
        return None, None, None
    return _Vjp.apply(*primal, u, tuple(wanted))


def hvp(
    primal: Primal,
    u: Tensor | None,
    t: Sequence[Tensor | None],
    o_dot: Tensor | None,
    mu: Tensor | None,
    wanted: Sequence[bool],
) -> Results:
    """Return ∇⟨u, J t⟩ in q, k and v, None where not wanted."""
    if u is None or o_dot is None or not any(wanted):
        return None, None, None
    return _Hvp.apply(*primal, u, *t, o_dot, mu, tuple(wanted))


def _like_probes(x: Tensor | None, u: Tensor) -> Tensor | None:
    """Repeat a tangent (B, …) of the primal for every probe of u (R·B, …)."""
    return x if x is None or len(x) == len(u) else x.repeat(len(u) // len(x), 1, 1, 1)


def _over_probes(results: Results, primal: Primal) -> Results:
    """Sum results (R·B, …) over their probes."""
    batch = len(primal.q)
    return tuple(
        x if x is None or len(x) == batch else x.reshape(-1, batch, *x.shape[1:]).sum(0)
        for x in results
    )


def _save(ctx: Context, primal: Primal, *rest: Tensor | None) -> None:
    tensors = (primal.q, primal.k, primal.v, primal.mask, primal.o, primal.lse, *rest)
    ctx.save_for_backward(*cast(tuple[Tensor, ...], tensors))
    ctx.save_for_forward(*cast(tuple[Tensor, ...], tensors))
    ctx.causal, ctx.scale = primal.causal, primal.scale
    ctx.set_materialize_grads(False)


def _saved(ctx: Context, unpack: bool = False) -> tuple[Primal, list[Tensor]]:
    """Return the primal and the rest of what was saved.

    unpack: without the tangents that they still have in a jvp rule under raw `forward_ad`.
    """
    tensors = list(ctx.saved_tensors)
    if unpack:
        tensors = [x if x is None else forward_ad.unpack_dual(x).primal for x in tensors]
    q, k, v, mask, o, lse, *rest = tensors
    return Primal(q, k, v, mask, ctx.causal, ctx.scale, o, lse), rest
