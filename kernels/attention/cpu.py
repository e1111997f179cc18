"""Attention on a CPU without a mask, by PyTorch's flash attention and by blocks that fit its cache.

Notation   as in `reference.py`, which these functions serve where `fits` says so
Orders     `forward` and `vjp` are PyTorch's own kernels, which have no further derivative; `second`
           is what a double backward needs at once, jvp and hvp, whose parts it shares
Traffic    N·M numbers stay in the cache: `BLOCK` of them at a time in `second`, fewer in the others
"""

from __future__ import annotations

import torch
from torch import Tensor

aten = torch.ops.aten
BLOCK = 2**20  # numbers of P at a time
DTYPES = (torch.float32, torch.float64)  # in 16 bits, PyTorch's kernels round P


def fits(q: Tensor, mask: Tensor | None, causal: bool, *others: Tensor | None) -> bool:
    """Whether q (B, H, N, d) is of a kind for these functions, and the others like it."""
    tensors = [q, *(x for x in others if x is not None)]
    plain = mask is None and not causal and q.device.type == "cpu" and q.dtype in DTYPES
    return plain and all(
        len(x) == len(q) and x.numel() and not torch._C._functorch.is_legacy_batchedtensor(x)
        for x in tensors
    )


def forward(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return o (B, H, N, d) and L (B, H, N)."""
    q, k, v = map(_with_rows, (q, k, v))
    o, lse = aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, scale=scale)
    return o, lse


def vjp(
    q: Tensor, k: Tensor, v: Tensor, o: Tensor, lse: Tensor, u: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cotangents of q (B, H, N, d), k and v (B, H, M, d), for u like o (B, H, N, d)."""
    u, q, k, v, o = map(_with_rows, (u, q, k, v, o))
    back = aten._scaled_dot_product_flash_attention_for_cpu_backward
    dq, dk, dv = back(u, q, k, v, o, lse, 0.0, False, scale=scale)
    return dq, dk, dv


def _with_rows(x: Tensor) -> Tensor:
    """Return x with the d numbers of a row side by side, as PyTorch's kernels take for granted."""
    return x if x.stride(-1) == 1 else x.contiguous()


def second(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    o: Tensor,
    lse: Tensor,
    u: Tensor,
    tangent: tuple[Tensor | None, Tensor | None, Tensor | None],
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return o_dot and the gradients gq, gk and gv of ⟨u, o_dot⟩, for a tangent of q, k or v.

    Shapes are those of q (B, H, N, d), k and v (B, H, M, d); o and u are like q, L is (B, H, N).
    """
    heads, block = q.shape[0] * q.shape[1], max(BLOCK // (q.shape[2] * k.shape[2]), 1)
    point = [x.flatten(0, 1) for x in (q, k, v, o, lse, u)]
    t = [None if x is None else x.flatten(0, 1) for x in tangent]
    blocks = [
        _second(
            [x[i : i + block] for x in point],
            [x if x is None else x[i : i + block] for x in t],
            scale,
        )
        for i in range(0, heads, block)
    ]
    o_dot, gq, gk, gv = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return o_dot.view_as(q), gq.view_as(q), gk.view_as(k), gv.view_as(v)


def _second(
    point: list[Tensor], tangent: list[Tensor | None], scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the same at the point (q, k, v, o, L, u), each (heads, …), in place where P is large.

    P_dot = P∘(S_dot - μ),   o_dot = P_dot v + P v_dot,   X = u vᵀ - δ
    gS = P_dot∘X + P∘(u v_dotᵀ - ρ)
    gq = α (gS k + P∘X k_dot),   gk = α (gSᵀ q + (P∘X)ᵀ q_dot),   gv = P_dotᵀ u
    """
    (q, k, v, o, lse, u), (q_dot, k_dot, v_dot) = point, tangent
    p = (q @ k.mT).mul_(scale).sub_(lse.unsqueeze(-1)).exp_()
    p_dot = _products(q_dot, k, q, k_dot, like=p).mul_(scale).mul_(p)
    p_dot.addcmul_(p, p_dot.sum(-1, keepdim=True), value=-1)
    o_dot = p_dot @ v if v_dot is None else torch.baddbmm(p_dot @ v, p, v_dot)
    x = (u @ v.mT).sub_((u * o).sum(-1, keepdim=True))
    rho = (u * o_dot).sum(-1, keepdim=True)
    e = -rho if v_dot is None else (u @ v_dot.mT).sub_(rho)
    g_s = (p_dot * x).addcmul_(p, e)
    d_s = x.mul_(p)
    gq, gk = g_s @ k, g_s.mT @ q
    if k_dot is not None:
        gq.baddbmm_(d_s, k_dot)
    if q_dot is not None:
        gk.baddbmm_(d_s.mT, q_dot)
    return o_dot, gq.mul_(scale), gk.mul_(scale), p_dot.mT @ u


def _products(
    q_dot: Tensor | None, k: Tensor, q: Tensor, k_dot: Tensor | None, like: Tensor
) -> Tensor:
    """Return q_dot kᵀ + q k_dotᵀ, zero if both tangents are."""
    if q_dot is None:
        return torch.zeros_like(like) if k_dot is None else q @ k_dot.mT
    first = q_dot @ k.mT
    return first if k_dot is None else first.baddbmm_(q, k_dot.mT)
