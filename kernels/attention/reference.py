"""Attention and its derivatives up to the second, in closed form, in plain PyTorch.

Notation   q, u (…, N, d), k, v (…, M, d); α = scale, b the mask (0 and -∞ for a boolean one);
           S = α q kᵀ + b - c, c_i the largest b_ij that row i attends to (it leaves P as it is, and
           lets L tell n columns of -1e9 from one), L = log Σ_j exp S_ij, P = exp(S - L), o = P v; a
           dot (k_dot) marks a tangent, u the cotangent of o; row sums are ⟨a, b⟩ = Σ_c a_ic b_ic
Orders     `forward`, `jvp`, `vjp` and `hvp` are orders 0, 1, 1 and 2. They are values: the graph
           between them is made in `autograd.py`
Precision  16-bit inputs are computed in float32 and rounded at the end
Traffic    N·M numbers several times over, but for what `cpu.py` does; the Triton kernels
           keep those on chip
Source     the softmax differentiated by hand; the tests hold it against autograd in float64

A row i that attends to nothing has L_i = +∞, so P_ij = 0 whatever S_ij is: o_i and all derivatives
through it are zero, and never NaN.

Probes: tangents and cotangents may have a batch of R·B where the primal has B, probe by probe;
results then have R·B too.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from latentgeo.kernels.attention import cpu as attention_cpu
from latentgeo.kernels.wiring.op import wide

Tangent = tuple[Tensor | None, Tensor | None, Tensor | None]  # of q, k and v; None is zero
Wanted = tuple[bool, bool, bool]  # whether the results for q, k and v are asked for


class Primal(NamedTuple):
    """What the derivatives are taken at: the arguments of `forward` and its results."""

    q: Tensor  # (B, H, N, d)
    k: Tensor  # (B, H, M, d)
    v: Tensor  # (B, H, M, d)
    mask: Tensor | None  # boolean (True attends) or additive; each dimension 1 or of (B, H, N, M)
    causal: bool  # row i attends to the columns j ≤ i only
    scale: float
    o: Tensor  # (B, H, N, d)
    lse: Tensor  # L (B, H, N), float32 or wider


def forward(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Return o (B, H, N, d) and L (B, H, N).

    o = P v,   P = exp(S - L),   L = log Σ_j exp S_ij,   S = α q kᵀ + b - c
    """
    if attention_cpu.fits(q, mask, causal, k):
        return attention_cpu.forward(q, k, v, scale)
    s = _scores(wide(q), wide(k), mask, causal, scale)
    lse = s.logsumexp(-1)
    lse = lse.masked_fill(lse == -torch.inf, torch.inf)
    return ((s - lse.unsqueeze(-1)).exp() @ wide(v)).to(q.dtype), lse


def jvp(primal: Primal, tangent: Tangent) -> tuple[Tensor, Tensor]:
    """Return o_dot (R·B, H, N, d) and μ (R·B, H, N).

    o_dot = (P∘S_dot) v + P v_dot - μ o,   S_dot = α (q_dot kᵀ + q k_dotᵀ),   μ = Σ_j P∘S_dot
    """
    at = _At(primal)
    q_dot, k_dot, v_dot = at.tangent(tangent)
    weighted = at.p * at.scores_dot(q_dot, k_dot, v_dot)
    mu = weighted.sum(-1)
    o_dot = weighted @ at.v - mu.unsqueeze(-1) * at.o
    if v_dot is not None:
        o_dot = o_dot + at.p @ v_dot
    return _folded(o_dot).to(primal.q.dtype), _folded(mu)


def pair(
    qkv: tuple[Tensor, Tensor, Tensor],
    tangent: Tangent,
    mask: Tensor | None,
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return o and o_dot stacked (2B, H, N, d), L and μ (B, H, N)."""
    o, lse = forward(*qkv, mask, causal, scale)
    o_dot, mu = jvp(Primal(*qkv, mask, causal, scale, o, lse), tangent)
    return torch.cat([o, o_dot]), lse, mu


def vjp(primal: Primal, u: Tensor, wanted: Wanted) -> Tangent:
    """Return the cotangents of q, k, v, each (R·B, …), or None where not wanted.

    dq = α dS k,   dk = α dSᵀ q,   dv = Pᵀ u,   dS = P∘(u vᵀ - δ),   δ = ⟨u, o⟩
    """
    q, k, v, mask, causal, scale, o, lse = primal
    if attention_cpu.fits(q, mask, causal, k, u):
        results = attention_cpu.vjp(q, k, v, o, lse, u, scale)
        dq, dk, dv = (x if want else None for x, want in zip(results, wanted, strict=True))
        return dq, dk, dv
    at = _At(primal)
    cotangent = at.probes(u)
    d_s = at.scores_cotangent(cotangent)
    dq = primal.scale * (d_s @ at.k) if wanted[0] else None
    dk = primal.scale * (d_s.mT @ at.q) if wanted[1] else None
    dv = at.p.mT @ cotangent if wanted[2] else None
    return _narrow(dq, dk, dv, u.dtype)


def hvp(
    primal: Primal, u: Tensor, tangent: Tangent, o_dot: Tensor, mu: Tensor, wanted: Wanted
) -> Tangent:
    """Return the gradients of ⟨u, J(q, k, v)[q_dot, k_dot, v_dot]⟩ in q, k, v, each (R·B, …).

    gq = α (gS k + dS k_dot),   gk = α (gSᵀ q + dSᵀ q_dot),   gv = P_dotᵀ u
    P_dot = P∘(S_dot - μ),   gS = (S_dot - μ)∘dS + P∘(u v_dotᵀ - ρ),   ρ = ⟨u, o_dot⟩

    o_dot and μ are what `jvp` returns for the same tangent; u, o_dot (R·B, H, N, d).
    """
    at = _At(primal)
    cotangent, o_dot, mu = at.probes(u), at.probes(o_dot), at.probes(mu)
    q_dot, k_dot, v_dot = at.tangent(tangent)
    d_s = at.scores_cotangent(cotangent)
    centred = at.scores_dot(q_dot, k_dot, v_dot) - mu.unsqueeze(-1)
    e = 0 if v_dot is None else cotangent @ v_dot.mT
    g_s = centred * d_s + at.p * (e - (cotangent * o_dot).sum(-1, keepdim=True))
    gq = gk = gv = None
    if wanted[0]:
        gq = primal.scale * (g_s @ at.k + (0 if k_dot is None else d_s @ k_dot))
    if wanted[1]:
        gk = primal.scale * (g_s.mT @ at.q + (0 if q_dot is None else d_s.mT @ q_dot))
    if wanted[2]:
        gv = (at.p * centred).mT @ cotangent
    return _narrow(gq, gk, gv, u.dtype)


def second(
    primal: Primal, u: Tensor, tangent: Tangent, wanted: Wanted
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Return o_dot (R·B, H, N, d), as `jvp`, and what `hvp` returns for it, computed together."""
    q, k, v, mask, causal, scale, o, lse = primal
    if attention_cpu.fits(q, mask, causal, k, u, *tangent):
        o_dot, *curved = attention_cpu.second(q, k, v, o, lse, u, tangent, scale)
        gq, gk, gv = (x if want else None for x, want in zip(curved, wanted, strict=True))
        return o_dot, gq, gk, gv
    o_dot, mu = jvp(primal, tangent)
    return o_dot, *hvp(primal, u, tangent, o_dot, mu, wanted)


def composed(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> Tensor:
    """Return o (B, H, N, d), made of PyTorch's own operators, which differentiate themselves.

    For where custom functions cannot be traced; not for raw `forward_ad` followed by reverse mode,
    which PyTorch's softmax does not allow.
    """
    s = _scores(wide(q), wide(k), mask, causal, scale)
    alive = (s > -torch.inf).any(-1, keepdim=True)
    p = s.masked_fill(~alive, 0).softmax(-1) * alive
    return (p @ wide(v)).to(q.dtype)


class _At:
    """The primal in float32 or wider, P (B, H, N, M), and what both derivatives are made of."""

    def __init__(self, primal: Primal) -> None:
        self.q, self.k, self.v, self.o = map(wide, (primal.q, primal.k, primal.v, primal.o))
        self.scale = primal.scale
        s = _scores(self.q, self.k, primal.mask, primal.causal, primal.scale)
        self.p = (s - primal.lse.unsqueeze(-1)).exp()

    def probes(self, x: Tensor) -> Tensor:
        """Turn (R·B, …) into (R, B, …)."""
        return wide(x).reshape(-1, len(self.q), *x.shape[1:])

    def tangent(self, t: Tangent) -> Tangent:
        """Turn each (R·B, …) of a tangent into (R, B, …)."""
        q_dot, k_dot, v_dot = (x if x is None else self.probes(x) for x in t)
        return q_dot, k_dot, v_dot

    def scores_dot(
        self, q_dot: Tensor | None, k_dot: Tensor | None, v_dot: Tensor | None
    ) -> Tensor:
        """Return S_dot (R, B, H, N, M), or zeros (R, 1, 1, 1, 1) where only v has a tangent."""
        if q_dot is not None:
            s_dot = q_dot @ self.k.mT
            return self.scale * (s_dot if k_dot is None else s_dot + self.q @ k_dot.mT)
        if k_dot is not None:
            return self.scale * (self.q @ k_dot.mT)
        assert v_dot is not None, "a tangent of nothing"
        return self.p.new_zeros((len(v_dot), 1, 1, 1, 1))

    def scores_cotangent(self, u: Tensor) -> Tensor:
        """Return dS = P∘(u vᵀ - δ), (R, B, H, N, M)."""
        return self.p * (u @ self.v.mT - (u * self.o).sum(-1, keepdim=True))


def _scores(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    """Return S (B, H, N, M), -∞ where nothing is attended to."""
    s = scale * (q @ k.mT)
    if mask is not None:
        if mask.dtype == torch.bool:
            s = s.masked_fill(~mask, -torch.inf)
        else:
            s = s + mask.to(s.dtype) - largest(mask.to(s.dtype), causal, s.shape[-2])
    if causal:
        later = torch.ones(s.shape[-2:], dtype=torch.bool, device=s.device).triu(1)
        s = s.masked_fill(later, -torch.inf)
    return s


def largest(bias: Tensor, causal: bool, rows: int) -> Tensor:
    """Return c (…, N or 1, 1) of additive masks (…, N or 1, M or 1): 0 where all is -∞."""
    if causal and bias.shape[-1] > 1:
        last = torch.arange(rows, device=bias.device).clamp(max=bias.shape[-1] - 1)
        running = bias.cummax(-1).values.expand(*bias.shape[:-2], rows, -1)
        c = running.gather(-1, last.unsqueeze(1).expand(*running.shape[:-1], 1))
    else:
        c = bias.amax(-1, keepdim=True)
    return c.masked_fill(c == -torch.inf, 0)


def _narrow(dq: Tensor | None, dk: Tensor | None, dv: Tensor | None, dtype: torch.dtype) -> Tangent:
    q, k, v = (x if x is None else _folded(x).to(dtype) for x in (dq, dk, dv))
    return q, k, v


def _folded(x: Tensor) -> Tensor:
    """Turn (R, B, …) into (R·B, …)."""
    return x.reshape(-1, *x.shape[2:])
