# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Triton: inner products and linear combinations of samples, for `reference.py`.

Traffic    every operand once; a sample in several tiles is summed in a second, tiny step
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from latentgeo.kernels.reductions.reference import Dot, Rows, SquareNorm, TraceRatio
from latentgeo.kernels.wiring.profiled import profiled
from latentgeo.kernels.wiring.tiles import (
    accumulated,
    accumulator,
    load,
    memory_order,
    on,
    stride,
    tiling,
)

ROW = 8192  # numbers of a sample that one program takes whole
TILE = 8192  # numbers of a tile where it does not


@triton.jit
def dot_kernel(
    x, y, partial, x_stride, y_stride, samples, n, tiles, BLOCK: tl.constexpr, CT: tl.constexpr
):  # fmt: skip
    """partial (P, B, tiles) = Σ x y over each tile of a sample."""
    row, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    probe, sample = row // samples, row % samples
    i = tile * BLOCK + tl.arange(0, BLOCK)
    first = load(x + probe * x_stride + sample * n, i, i < n, CT)
    second = load(y + probe * y_stride + sample * n, i, i < n, CT)
    tl.store(partial + row * tiles + tile, tl.sum(first * second))


@triton.jit
def combine_kernel(
    c, x, d, y, z, c_stride, x_stride, d_stride, y_stride, samples, n,
    BLOCK: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """z = c x + d y, or c x without y."""
    row = tl.program_id(0).to(tl.int64)
    probe, sample = row // samples, row % samples
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    scale = tl.load(c + probe * c_stride + sample).to(CT)
    result = scale * load(x + probe * x_stride + sample * n, i, i < n, CT)
    if y is not None:
        scale = tl.load(d + probe * d_stride + sample).to(CT)
        result += scale * load(y + probe * y_stride + sample * n, i, i < n, CT)
    tl.store(z + row * n + i, result, mask=i < n)


class TritonRows(Rows):
    """`dot` and `combine` on Triton kernels, in the memory format of x."""

    def dot(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ⟨x, y⟩ (P, B) in float32 or wider."""
        order = _order(x)
        x, y = (v.permute(order).contiguous() for v in (x, y))
        probes, samples, n = max(len(x), len(y)), x.shape[1], x[0, 0].numel()
        cut = tiling(n, ROW, TILE)
        partial = accumulated(x, probes, samples, cut.tiles)
        with on(x):
            dot_kernel[probes * samples, cut.tiles](
                x, y, partial, stride(x), stride(y), samples, n, cut.tiles,
                BLOCK=cut.block, CT=accumulator(x.dtype), num_warps=cut.warps,
            )  # fmt: skip
        return partial[..., 0] if cut.tiles == 1 else partial.sum(-1)

    def combine(
        self, c: Tensor, x: Tensor, d: Tensor | None = None, y: Tensor | None = None
    ) -> Tensor:
        """Return c x + d y (P, B, …) in x's dtype, with c and d (P, B)."""
        order = _order(x)
        x = x.permute(order).contiguous()
        operands = [c.contiguous(), x, None, None]
        if d is not None and y is not None:
            operands[2:] = d.contiguous(), y.permute(order).contiguous()
        probes = max(len(v) for v in operands if v is not None)
        z = x.new_empty(probes, *x.shape[1:])
        samples, n = x.shape[1], x[0, 0].numel()
        cut = tiling(n, ROW, TILE)
        with on(x):
            combine_kernel[probes * samples, cut.tiles](
                *operands, z, *map(stride, operands), samples, n,
                BLOCK=cut.block, CT=accumulator(x.dtype), num_warps=cut.warps,
            )  # fmt: skip
        return z.permute([order.index(dim) for dim in range(z.ndim)])


def _order(x: Tensor) -> list[int]:
    """Return the dimensions in the order in which a sample lies in memory."""
    return [0, 1, *(dim for dim in memory_order(x) if dim > 1)]


class TritonDot(TritonRows, Dot):
    """(x, y) -> ⟨x, y⟩."""


class TritonSquareNorm(TritonRows, SquareNorm):
    """x -> ‖x‖²."""


class TritonTraceRatio(TritonRows, TraceRatio):
    """(r, s) -> mean ‖r‖² / (mean ‖s‖²)²."""


profiled("reductions", *globals().values())
