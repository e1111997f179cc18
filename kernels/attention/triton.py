"""Attention and its derivatives by the Triton kernels, with the signatures of the reference.

Notation   as in `reference.py`
Layout     q, o, u and all else of q's shape share one layout, tokens first, (B, N, H, d) in memory,
           or heads first; so do k, v and all of their shape. Results have the layout of q or k.
           What comes in another layout is copied
Traffic    per program one block of one side and all of the other side, which L2 holds; nothing of
           N·M numbers is written. Queries and keys have a kernel each, so nothing is added
           atomically and results are the same in every run
"""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor
from triton import cdiv

from latentgeo.kernels.attention import kernels
from latentgeo.kernels.attention.reference import Primal, Tangent, Wanted, largest
from latentgeo.kernels.attention.tiles import SHORT, Tile, tile, widths
from latentgeo.kernels.wiring.dispatch import interpreting
from latentgeo.kernels.wiring.profiled import profiled
from latentgeo.kernels.wiring.tiles import on

PROGRAMS = 256  # wanted on a GPU, about two for each multiprocessor: with fewer, loops are shared
SHARE = 8  # blocks of rows that a program's share of a loop has at least


def forward(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Return o (B, H, N, d) and L (B, H, N), as `attention_reference.forward`."""
    at = _Arguments(q, k, v, mask, causal, scale)
    o, lse = at.like_q(len(q)), at.row_numbers(len(q))
    at.run("forward", len(q), *at.primal, o, lse)
    return o, lse


def jvp(primal: Primal, tangent: Tangent) -> tuple[Tensor, Tensor]:
    """Return o_dot (R·B, H, N, d) and μ (R·B, H, N), as `attention_reference.jvp`."""
    at = _Arguments(*primal[:6])
    batch, lse = next(len(x) for x in tangent if x is not None), primal.lse.contiguous()
    o_dot, mu = at.like_q(batch), at.row_numbers(batch)
    at.run("jvp", batch, *at.primal, at.as_q(primal.o), lse, *at.tangent(tangent), o_dot, mu)
    return o_dot, mu


def pair(
    qkv: tuple[Tensor, Tensor, Tensor],
    tangent: Tangent,
    mask: Tensor | None,
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return o and o_dot (2B, H, N, d), L and μ (B, H, N), as `attention_reference.pair`."""
    at, batch = _Arguments(*qkv, mask, causal, scale), len(qkv[0])
    both, lse, mu = at.like_q(2 * batch), at.row_numbers(batch), at.row_numbers(batch)
    o, o_dot = both.chunk(2)
    at.run("forward", batch, *at.primal, o, lse)
    at.run("jvp", batch, *at.primal, o, lse, *at.tangent(tangent), o_dot, mu)
    return both, lse, mu


def vjp(primal: Primal, u: Tensor, wanted: Wanted) -> Tangent:
    """Return the cotangents of q, k, v (R·B, …), or None, as `attention_reference.vjp`."""
    at = _Arguments(*primal[:6])
    u, o, lse, batch = at.as_q(u), at.as_q(primal.o), primal.lse.contiguous(), len(u)
    delta = at.row_numbers(batch)
    dq = at.like_q(batch) if wanted[0] else None
    at.run("vjp_queries", batch, *at.primal, o, lse, u, dq, delta)
    dk, dv = at.run_keys("vjp_keys", batch, wanted, *at.primal, lse, u, delta)
    return dq, dk, dv


def hvp(
    primal: Primal, u: Tensor, tangent: Tangent, o_dot: Tensor, mu: Tensor, wanted: Wanted
) -> Tangent:
    """Return the gradients of ⟨u, J t⟩ in q, k, v (R·B, …), or None, as the reference's `hvp`."""
    at = _Arguments(*primal[:6])
    u, o, lse, batch = at.as_q(u), at.as_q(primal.o), primal.lse.contiguous(), len(u)
    t, o_dot, mu = at.tangent(tangent), at.as_q(o_dot), mu.contiguous()
    delta, rho = at.row_numbers(batch), at.row_numbers(batch)
    gq = at.like_q(batch) if wanted[0] else None
    at.run("hvp_queries", batch, *at.primal, o, lse, u, *t, o_dot, mu, gq, delta, rho)
    gk, gv = at.run_keys("hvp_keys", batch, wanted, *at.primal, lse, u, *t, mu, delta, rho)
    return gq, gk, gv


def second(
    primal: Primal, u: Tensor, tangent: Tangent, wanted: Wanted
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Return o_dot (R·B, H, N, d) and what `hvp` returns for it, as the reference's `second`."""
    o_dot, mu = jvp(primal, tangent)
    return o_dot, *hvp(primal, u, tangent, o_dot, mu, wanted)


class _Arguments:
    """What all kernels of one call are given, and how they are launched."""

    def __init__(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
    ) -> None:
        self.q, self.k = q, k
        self.q_tokens, self.k_tokens = _tokens_first(q), _tokens_first(k)
        self.sum_dtype = torch.promote_types(q.dtype, torch.float32)
        self.mask, kind, strides = _mask_for_kernels(mask, (*q.shape[:3], k.shape[2]))
        c = self._largest(causal) if kind == 2 else None
        self.primal = (self.as_q(q), self.as_k(k), self.as_k(v), self.mask, c)
        self.integers = (*strides, q.shape[0], q.shape[2], k.shape[2])
        d1, d2 = widths(q.shape[3], q.element_size())
        self.constants = {
            "H": q.shape[1],
            "D": q.shape[3],
            "D1": d1,
            "D2": d2,
            "QT": self.q_tokens,
            "KT": self.k_tokens,
            "SCALE": scale,
            "MASK": kind,
            "CAUSAL": causal,
            "CT": tl.float64 if q.dtype == torch.float64 else tl.float32,
            "UP": tl.float32 if interpreting() and q.dtype == torch.bfloat16 else None,
            "IP": _precision(q.dtype),
        }

    def _largest(self, causal: bool) -> Tensor:
        """Return c (B, H, N) of an additive mask."""
        assert self.mask is not None
        c = largest(self.mask.to(self.sum_dtype), causal, self.q.shape[2])
        return c.squeeze(-1).expand(self.q.shape[:3]).contiguous()

    def as_q(self, x: Tensor) -> Tensor:
        """Return x (R·B, H, N, d) in the layout of q."""
        return _in_layout(x, self.q_tokens)

    def as_k(self, x: Tensor) -> Tensor:
        """Return x (R·B, H, M, d) in the layout of k."""
        return _in_layout(x, self.k_tokens)

    def tangent(self, t: Tangent) -> Tangent:
        """Return the tangents in the layouts of q, k and v."""
        q_dot, k_dot, v_dot = t
        return (
            q_dot if q_dot is None else self.as_q(q_dot),
            k_dot if k_dot is None else self.as_k(k_dot),
            v_dot if v_dot is None else self.as_k(v_dot),
        )

    def like_q(self, batch: int) -> Tensor:
        """Return an empty (batch, H, N, d)."""
        return self._empty((batch, *self.q.shape[1:]), self.q_tokens, self.q.dtype)

    def row_numbers(self, batch: int) -> Tensor:
        """Return an empty (batch, H, N) in the type of sums."""
        shape = (batch, *self.q.shape[1:3])
        return torch.empty(shape, dtype=self.sum_dtype, device=self.q.device)

    def run(self, name: str, batch: int, *tensors: Tensor | None) -> None:
        """Run a kernel of which each program has a block of rows."""
        (_, heads, rows, _), columns = self.q.shape, self.k.shape[2]
        size = self._tile(name)
        short = cdiv(columns, size.columns) if columns <= SHORT else 0
        constants = {"EVEN": columns % size.columns == 0, "BLOCKS": short}
        self._launch(name, (cdiv(rows, size.rows) * heads * batch,), size, tensors, (), constants)

    def run_keys(
        self, name: str, batch: int, wanted: Wanted, *tensors: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Run a kernel of which each program has a block of columns; return its two results."""
        if not any(wanted[1:]):
            return None, None
        (_, heads, columns, _), rows = self.k.shape, self.q.shape[2]
        size = self._tile(name)
        programs = cdiv(columns, size.columns) * heads * batch
        parts = min(cdiv(PROGRAMS, programs), cdiv(rows, SHARE * size.rows))
        part = cdiv(cdiv(rows, parts), size.rows) * size.rows
        parts = cdiv(rows, part)
        dtype = self.k.dtype if parts == 1 else self.sum_dtype
        shape = (parts * batch, *self.k.shape[1:])
        results = [
            self._empty(shape, self.k_tokens, dtype) if want else None for want in wanted[1:]
        ]
        self._launch(name, (programs, parts), size, (*tensors, *results), (part,), {})
        k, v = (self._added(x, parts) for x in results)
        return k, v

    def _tile(self, name: str) -> Tile:
        capability = compute_capability(self.q)
        return tile(name, self.q.shape[3], self.q.element_size(), capability)

    def _empty(self, shape: tuple[int, ...], tokens_first: bool, dtype: torch.dtype) -> Tensor:
        """Return an empty (batch, H, rows, d) with tokens, or heads, first in memory."""
        batch, heads, length, d = shape
        if tokens_first:
            shape = (batch, length, heads, d)
        x = torch.empty(shape, dtype=dtype, device=self.q.device)
        return x.transpose(1, 2) if tokens_first else x

    def _added(self, x: Tensor | None, parts: int) -> Tensor | None:
        if x is None or parts == 1:
            return x
        return x.unflatten(0, (parts, -1)).sum(0).to(self.k.dtype)

    def _launch(
        self,
        name: str,
        grid: tuple[int, ...],
        size: Tile,
        tensors: tuple[Tensor | None, ...],
        integers: tuple[int, ...],
        constants: dict[str, int],
    ) -> None:
        kernel = getattr(kernels, name)
        with on(self.q):
            kernel[grid](
                *tensors,
                *self.integers,
                *integers,
                **self.constants,
                **constants,
                BI=size.rows,
                BJ=size.columns,
                num_warps=size.warps,
                num_stages=size.stages,
                enable_fp_fusion=True,  # no longer Triton's default from 3.10
            )


def compute_capability(x: Tensor) -> tuple[int, int] | None:
    """Return that of the GPU which a tensor (...) is on, or None."""
    if not x.is_cuda or torch.version.hip is not None:
        return None
    return torch.cuda.get_device_capability(x.device)


def _mask_for_kernels(
    mask: Tensor | None, shape: tuple[int, ...]
) -> tuple[Tensor | None, int, tuple[int, ...]]:
    """Return the mask, which kind it is (MASK) and its strides, 0 where it is broadcast."""
    if mask is None:
        return None, 0, (0, 0, 0, 0)
    strides = mask.expand(shape).stride()
    if mask.dtype == torch.bool:
        return mask.view(torch.uint8), 1, strides
    return mask, 2, strides


def _tokens_first(x: Tensor) -> bool:
    """Whether x (B, H, N, d) lies in memory as (B, N, H, d), or nearly so."""
    return x.stride(1) < x.stride(2)


def _in_layout(x: Tensor, tokens_first: bool) -> Tensor:
    """Return x (B, H, N, d) as one whole with tokens, or heads, first; a copy if need be."""
    return x.transpose(1, 2).contiguous().transpose(1, 2) if tokens_first else x.contiguous()


def _precision(dtype: torch.dtype) -> str:
    """Return how dots take float32: as PyTorch's matrix products may, or to full precision."""
    if dtype != torch.float32 or torch.version.hip is not None:
        return "ieee"
    return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "tf32x3"


profiled("attention", *vars(kernels).values())
