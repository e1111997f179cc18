"""Attention that has first and second derivatives, in forward and in reverse mode.

`attention` is the operator. Its derivatives in closed form are in `reference.py`, the
same as Triton kernels in `triton.py`, and what ties them together for autograd, with the
orders that exist, in `autograd.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentgeo.kernels.attention import compiled
from latentgeo.kernels.attention.autograd import Attend, jvp
from latentgeo.kernels.attention.paired import Paired
from latentgeo.kernels.attention.reference import Primal, composed
from latentgeo.kernels.wiring import duals
from latentgeo.kernels.wiring.compiled import fits
from latentgeo.kernels.wiring.dispatch import cast


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Return softmax(α q kᵀ + b) v (B, H, N, d), for q (B, H, N, d) and k, v (B, H, M, d).

    mask: boolean (True attends) or additive, broadcastable to (B, H, N, M), a constant. causal: row
    i attends to the columns j ≤ i only. scale: α, by default 1/√d. A row that attends to nothing is
    zero. Under autocast q, k and v are cast to its dtype, as for PyTorch's own attention.

    Inside torch.compile, which drops the derivatives of custom functions in silence, this is an
    operator of `compiled.py` where kernels run, and elsewhere `composed` of the reference.

    Raises `ValueError` for shapes and dtypes that do not fit and for a mask that requires a
    gradient, and `RuntimeError` for a third derivative and for forward over forward.
    """
    q, k, v = cast(q), cast(k), cast(v)
    _check(q, k, v, mask)
    mask = None if mask is None else _four_dimensional(mask, (*q.shape[:3], k.shape[2]))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return attend(q, k, v, mask, causal, scale)


def _on_duals(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> Tensor:
    """Return (o, o_dot) stacked, of q, k and v some of which are dual numbers."""
    (q_, k_, v_), t = duals.parts((q, k, v))
    if t[0] is not None and (t[1] is None) == (t[2] is None) and not duals.transforming():
        return Paired.apply(*map(duals.stacked, (q, k, v)), mask, causal, scale)[0]
    o, lse = Attend.apply(q_, k_, v_, mask, causal, scale)
    o_dot, _ = jvp(Primal(q_, k_, v_, mask, causal, scale, o, lse), t)
    return torch.cat([o, torch.zeros_like(o) if o_dot is None else o_dot])


@duals.by_hand(_on_duals)
def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> Tensor:
    """Return o (B, H, N, d), as the reference, with its derivatives."""
    if torch.compiler.is_compiling():
        if not fits("attention", q):
            return composed(q, k, v, mask, causal, scale)
        return compiled.attention(q, k, v, mask, causal, scale)[0]
    return Attend.apply(q, k, v, mask, causal, scale)[0]


def _check(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> None:
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)} and v {tuple(v.shape)}"
    if not q.ndim == k.ndim == 4 or k.shape != v.shape:
        raise ValueError(f"attention: got {shapes}, wanted (B, H, N, d) and twice (B, H, M, d)")
    if q.shape[:2] != k.shape[:2] or q.shape[3] != k.shape[3]:
        raise ValueError(f"attention: got {shapes}, which differ in B, H or d")
    if not q.dtype == k.dtype == v.dtype or not q.dtype.is_floating_point:
        dtypes = f"{q.dtype}, {k.dtype} and {v.dtype}"
        raise ValueError(f"attention: got {dtypes}, wanted one floating dtype for q, k and v")
    devices = [str(x.device) for x in (q, k, v, mask) if x is not None]
    if len(set(devices)) > 1:
        got = ", ".join(devices)
        raise ValueError(f"attention: got q, k, v and mask on {got}, wanted one device for all")


def _four_dimensional(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the mask with leading dimensions of 1, checked to be a constant that fits."""
    if mask.requires_grad:
        raise ValueError("attention: the mask requires a gradient, but it is taken as a constant")
    if mask.dtype != torch.bool and not mask.dtype.is_floating_point:
        raise ValueError(f"attention: got a mask of {mask.dtype}, wanted bool or a floating dtype")
    mask = mask[(None,) * (4 - mask.ndim)]
    if mask.ndim != 4 or any(m not in (1, n) for m, n in zip(mask.shape, shape, strict=True)):
        raise ValueError(f"attention: got a mask {tuple(mask.shape)}, wanted one for {shape}")
    return mask
