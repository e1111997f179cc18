# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Triton: SiLU and the gate of GEGLU, number by number; `reference.py` has the formulas.

Traffic    every operand and every result once
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from latentgeo.kernels.gates.curves import gelu, gelu_slopes, sigmoid
from latentgeo.kernels.gates.reference import Geglu, Silu
from latentgeo.kernels.wiring.op import Tensors, Wanted, only
from latentgeo.kernels.wiring.profiled import profiled
from latentgeo.kernels.wiring.tiles import accumulator, memory_order, on, stride

BLOCK = 2048  # numbers of a program, 16 of a thread


@triton.jit
def read(pointer, at, inside, CT: tl.constexpr):
    """Return the numbers at these offsets in CT, anything outside."""
    return tl.load(pointer + at, mask=inside).to(CT)


@triton.jit
def silu_kernel(
    x, a, b, y, x_stride, a_stride, b_stride, n, BLOCK: tl.constexpr, CT: tl.constexpr
):  # fmt: skip
    """y = SiLU(x), SiLU'(x) a or SiLU''(x) a b, for none, one or both of a and b."""
    probe = tl.program_id(1).to(tl.int64)
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    value = read(x + probe * x_stride, i, inside, CT)
    s = sigmoid(value)
    if a is None:
        result = value * s
    elif b is None:
        result = s * (1 + value * (1 - s)) * read(a + probe * a_stride, i, inside, CT)
    else:
        curvature = s * (1 - s) * (2 + value * (1 - 2 * s))
        result = curvature * read(a + probe * a_stride, i, inside, CT)
        result *= read(b + probe * b_stride, i, inside, CT)
    tl.store(y + probe * n + i, result, mask=inside)


@triton.jit
def halves(rows, C, KB: tl.constexpr, CB: tl.constexpr):
    """Return a tile's offsets in (rows, C), those of first halves in (rows, 2C), what is inside."""
    row = tl.program_id(0).to(tl.int64) * KB + tl.arange(0, KB)[:, None]
    column = tl.program_id(1) * CB + tl.arange(0, CB)[None, :]
    return row * C + column, row * (2 * C) + column, (row < rows) & (column < C)


@triton.jit
def geglu_kernel(
    x, x_dot, y, x_stride, x_dot_stride, rows, C,
    KB: tl.constexpr, CB: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """y = a g(b), or with x_dot its tangent a_dot g + a g' b_dot."""
    probe = tl.program_id(2).to(tl.int64)
    i, at, inside = halves(rows, C, KB, CB)
    a = read(x + probe * x_stride, at, inside, CT)
    b = read(x + probe * x_stride, at + C, inside, CT)
    if x_dot is None:
        result = a * gelu(b)
    else:
        g, g1, _ = gelu_slopes(b)
        result = read(x_dot + probe * x_dot_stride, at, inside, CT) * g
        result += a * g1 * read(x_dot + probe * x_dot_stride, at + C, inside, CT)
    tl.store(y + probe * rows * C + i, result, mask=inside)


@triton.jit
def geglu_back_kernel(
    x, u, x_dot, x_bar, x_stride, u_stride, x_dot_stride, rows, C,
    KB: tl.constexpr, CB: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """x̄ = (u g, u a g'), or with x_dot (u g' b_dot, u (g' a_dot + a g'' b_dot))."""
    probe = tl.program_id(2).to(tl.int64)
    i, at, inside = halves(rows, C, KB, CB)
    a = read(x + probe * x_stride, at, inside, CT)
    g, g1, g2 = gelu_slopes(read(x + probe * x_stride, at + C, inside, CT))
    cotangent = read(u + probe * u_stride, i, inside, CT)
    if x_dot is None:
        in_a = g
        in_b = a * g1
    else:
        a_dot = read(x_dot + probe * x_dot_stride, at, inside, CT)
        b_dot = read(x_dot + probe * x_dot_stride, at + C, inside, CT)
        in_a = g1 * b_dot
        in_b = g1 * a_dot + a * g2 * b_dot
    tl.store(x_bar + probe * 2 * rows * C + at, cotangent * in_a, mask=inside)
    tl.store(x_bar + probe * 2 * rows * C + at + C, cotangent * in_b, mask=inside)


class TritonSilu(Silu):
    """The same closed forms on a Triton kernel, in the memory format of x."""

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return y = SiLU(x), (P, …)."""
        return (_silu(*operands),)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return SiLU'(x) x_dot, (P, …)."""
        return _silu(*point, only(t))

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return SiLU''(x) u x_dot, (P, …)."""
        return (_silu(*point, u, only(t)),)


def _silu(x: Tensor, *factors: Tensor) -> Tensor:
    order = memory_order(x)
    dense = [p.permute(order).contiguous() for p in (x, *factors)]
    probes = max(map(len, dense))
    operands = [*dense, None, None][:3]
    y = x.new_empty(probes, *(x.shape[dim] for dim in order[1:]))
    n = x[0].numel()
    strides = [stride(p) for p in operands]
    with on(x):
        grid = triton.cdiv(n, BLOCK), probes
        silu_kernel[grid](*operands, y, *strides, n, BLOCK=BLOCK, CT=accumulator(x.dtype))
    return y.permute([order.index(dim) for dim in range(x.ndim)])


class TritonGeglu(Geglu):
    """The same closed forms on Triton kernels."""

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return y = a g(b), (P, …, C)."""
        (x,) = operands
        return (_geglu(geglu_kernel, (x, None), x.shape[-1] // 2),)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return a_dot g + a g' b_dot, (P, …, C)."""
        (x,) = point
        return _geglu(geglu_kernel, (x, *t), x.shape[-1] // 2)

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return (u g, u a g'), (P, …, 2C)."""
        (x,) = point
        return (_geglu(geglu_back_kernel, (x, u, None), x.shape[-1]),)

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return (u g' b_dot, u (g' a_dot + a g'' b_dot)), (P, …, 2C)."""
        (x,) = point
        return (_geglu(geglu_back_kernel, (x, u, *t), x.shape[-1]),)


def _geglu(kernel: Any, operands: Tensors, width: int) -> Tensor:
    """Return what a kernel of GEGLU gives, (P, …, width)."""
    dense = [p if p is None else p.contiguous() for p in operands]
    x = dense[0]
    assert x is not None
    probes = max(len(p) for p in dense if p is not None)
    result = x.new_empty(probes, *x.shape[1:-1], width)
    columns, strides = x.shape[-1] // 2, [stride(p) for p in dense]
    rows = x[0].numel() // (2 * columns)
    block = columns & -columns if columns % 256 == 0 else triton.next_power_of_2(columns)
    tile = {"CB": min(block, BLOCK), "KB": max(BLOCK // block, 1)}
    grid = triton.cdiv(rows, tile["KB"]), triton.cdiv(columns, tile["CB"]), probes
    with on(x):
        kernel[grid](*dense, result, *strides, rows, columns, **tile, CT=accumulator(x.dtype))
    return result


profiled("gates", *globals().values())
