# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Triton: the chart's closed forms, one program per sample, or per tile of one where it is large.

`reference.py` has the notation and the formulas. z and v have m = n - 1 numbers per sample, x
and u on the sphere one more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from latentgeo.kernels.chart.reference import Scale, ToSphere
from latentgeo.kernels.wiring.op import Tensors, Wanted
from latentgeo.kernels.wiring.profiled import profiled
from latentgeo.kernels.wiring.tiles import (
    SUMS,
    accumulated,
    accumulator,
    load,
    on,
    stride,
    tiling,
    total,
)

ROW = 16_384  # numbers of a sample that one program takes whole, of up to two operands
TILE = 4096  # numbers of a tile where it does not


@triton.jit
def sphere_kernel(
    z, radius, z_dot, x, partial, z_stride, radius_stride, z_dot_stride, samples, m, tiles,
    STAGE: tl.constexpr, BLOCK: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """x = (k z, r (1 - k)), or with z_dot its tangent k (z_dot - 2 p / ρ z, 2 r p / ρ)."""
    row, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    probe, sample = row // samples, row % samples
    i = tile * BLOCK + tl.arange(0, BLOCK)
    r = tl.load(radius + probe * radius_stride + sample).to(CT)
    point = load(z + probe * z_stride + sample * m, i, i < m, CT)
    rho = total(point * point, partial, row, tile, 0, tiles, 2, STAGE, TILES) + r * r
    k = 2 * r * r / rho
    if z_dot is None:
        head = k * point
        last = r * (1 - k)
    else:
        t = load(z_dot + probe * z_dot_stride + sample * m, i, i < m, CT)
        p = total(point * t, partial, row, tile, 1, tiles, 2, STAGE, TILES) / rho
        head = k * (t - 2 * p * point)
        last = 2 * r * k * p
    if STAGE != SUMS:
        tl.store(x + row * (m + 1) + i, head, mask=i < m)
        if tile == 0:
            tl.store(x + row * (m + 1) + m, last)


@triton.jit
def sphere_back_kernel(
    z, radius, u, z_dot, z_bar, partial,
    z_stride, radius_stride, u_stride, z_dot_stride, samples, m, tiles,
    STAGE: tl.constexpr, BLOCK: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """z̄ = k (U + 2 e / ρ z), or 2 k / ρ (e z_dot - p U - (⟨U, z_dot⟩ + 4 p e / ρ) z)."""
    row, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    probe, sample = row // samples, row % samples
    i = tile * BLOCK + tl.arange(0, BLOCK)
    r = tl.load(radius + probe * radius_stride + sample).to(CT)
    point = load(z + probe * z_stride + sample * m, i, i < m, CT)
    head = load(u + probe * u_stride + sample * (m + 1), i, i < m, CT)
    last = tl.load(u + probe * u_stride + sample * (m + 1) + m).to(CT)
    rho = total(point * point, partial, row, tile, 0, tiles, 4, STAGE, TILES) + r * r
    e = r * last - total(point * head, partial, row, tile, 1, tiles, 4, STAGE, TILES)
    k = 2 * r * r / rho
    if z_dot is None:
        result = k * (head + 2 * e / rho * point)
    else:
        t = load(z_dot + probe * z_dot_stride + sample * m, i, i < m, CT)
        p = total(point * t, partial, row, tile, 2, tiles, 4, STAGE, TILES)
        along = total(head * t, partial, row, tile, 3, tiles, 4, STAGE, TILES) + 4 * p * e / rho
        result = 2 * k / rho * (e * t - p * head - along * point)
    if STAGE != SUMS:
        tl.store(z_bar + row * m + i, result, mask=i < m)


@triton.jit
def power(k, E: tl.constexpr):
    """Return kᴱ for E = 2, -1 or -2."""
    result = k if E == -1 else k * k
    return result if E > 0 else 1 / result


@triton.jit
def scale_kernel(
    z, v, radius, z_dot, v_dot, y, partial,
    z_stride, v_stride, radius_stride, z_dot_stride, v_dot_stride, samples, m, tiles,
    E: tl.constexpr, STAGE: tl.constexpr,
    BLOCK: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """y = f v, or with a tangent f (v_dot - 2 E p / ρ v)."""
    row, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    probe, sample = row // samples, row % samples
    i = tile * BLOCK + tl.arange(0, BLOCK)
    r = tl.load(radius + probe * radius_stride + sample).to(CT)
    point = load(z + probe * z_stride + sample * m, i, i < m, CT)
    rho = total(point * point, partial, row, tile, 0, tiles, 2, STAGE, TILES) + r * r
    vector = load(v + probe * v_stride + sample * m, i, i < m, CT)
    result = tl.zeros((BLOCK,), CT)
    if z_dot is None and v_dot is None:
        result += vector
    if v_dot is not None:
        result += load(v_dot + probe * v_dot_stride + sample * m, i, i < m, CT)
    if z_dot is not None:
        t = load(z_dot + probe * z_dot_stride + sample * m, i, i < m, CT)
        p = total(point * t, partial, row, tile, 1, tiles, 2, STAGE, TILES)
        result -= 2 * E * p / rho * vector
    if STAGE != SUMS:
        tl.store(y + row * m + i, power(2 * r * r / rho, E) * result, mask=i < m)


@triton.jit
def scale_back_kernel(
    z, v, radius, u, z_dot, v_dot, z_bar, v_bar, partial,
    z_stride, v_stride, radius_stride, u_stride, z_dot_stride, v_dot_stride, samples, m, tiles,
    E: tl.constexpr, STAGE: tl.constexpr,
    BLOCK: tl.constexpr, TILES: tl.constexpr, CT: tl.constexpr,
):  # fmt: skip
    """z̄ = -F ⟨v, u⟩ z and v̄ = f u, with F = 2 E f / ρ.

    With a tangent z̄ = F (2 (E + 1) p ⟨u, v⟩ / ρ z - ⟨u, v_dot⟩ z - ⟨u, v⟩ z_dot), v̄ = -F p u.
    """
    row, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    probe, sample = row // samples, row % samples
    i = tile * BLOCK + tl.arange(0, BLOCK)
    r = tl.load(radius + probe * radius_stride + sample).to(CT)
    point = load(z + probe * z_stride + sample * m, i, i < m, CT)
    vector = load(v + probe * v_stride + sample * m, i, i < m, CT)
    cotangent = load(u + probe * u_stride + sample * m, i, i < m, CT)
    rho = total(point * point, partial, row, tile, 0, tiles, 4, STAGE, TILES) + r * r
    along = total(vector * cotangent, partial, row, tile, 1, tiles, 4, STAGE, TILES)
    f = power(2 * r * r / rho, E)
    slope = 2 * E * f / rho
    if z_dot is None and v_dot is None:
        in_z = -slope * along * point
        in_v = f * cotangent
    else:
        in_z = tl.zeros((BLOCK,), CT)
        in_v = tl.zeros((BLOCK,), CT)
        if z_dot is not None:
            t = load(z_dot + probe * z_dot_stride + sample * m, i, i < m, CT)
            p = total(point * t, partial, row, tile, 2, tiles, 4, STAGE, TILES)
            in_z += slope * along * (2 * (E + 1) * p / rho * point - t)
            in_v -= slope * p * cotangent
        if v_dot is not None:
            t = load(v_dot + probe * v_dot_stride + sample * m, i, i < m, CT)
            across = total(cotangent * t, partial, row, tile, 3, tiles, 4, STAGE, TILES)
            in_z -= slope * across * point
    if STAGE != SUMS:
        if z_bar is not None:
            tl.store(z_bar + row * m + i, in_z, mask=i < m)
        if v_bar is not None:
            tl.store(v_bar + row * m + i, in_v, mask=i < m)


class TritonToSphere(ToSphere):
    """The same closed forms on Triton kernels."""

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return x (P, B, n)."""
        return (self._ahead(operands, (None,)),)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return x_dot (P, B, n)."""
        return self._ahead(point, t)

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return z̄ (P, B, n-1)."""
        return self.hvp(point, u, (None,), wanted)

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return the gradient of ⟨u, x_dot⟩ in z (P, B, n-1)."""
        operands = (*point, u, *t)
        z_bar = point[0].new_empty(_probes(operands), *point[0].shape[1:])
        _launch(sphere_back_kernel, operands, (z_bar,), 4)
        return (z_bar,)

    def _ahead(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        operands = (*point, *t)
        _, samples, m = point[0].shape
        x = point[0].new_empty(_probes(operands), samples, m + 1)
        _launch(sphere_kernel, operands, (x,), 2)
        return x


class TritonScale(Scale):
    """The same closed forms on Triton kernels."""

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return y (P, B, n-1)."""
        return (self.jvp(operands, (None, None)),)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return y_dot (P, B, n-1)."""
        operands = (*point, *t)
        y = point[1].new_empty(_probes(operands), *point[1].shape[1:])
        _launch(scale_kernel, operands, (y,), 2, E=self.exponent)
        return y

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return z̄ and v̄ (P, B, n-1)."""
        return self.hvp(point, u, (None, None), wanted)

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return the gradients of ⟨u, y_dot⟩ in z and v, both (P, B, n-1)."""
        operands = (*point, u, *t)
        shape = _probes(operands), *point[0].shape[1:]
        bars = [point[0].new_empty(shape) if ask else None for ask in wanted]
        _launch(scale_back_kernel, operands, bars, 4, E=self.exponent)
        return tuple(bars)


def _probes(operands: Tensors) -> int:
    return max(len(x) for x in operands if x is not None)


def _launch(kernel: Any, operands: Tensors, results: Tensors, sums: int, **constants: Any) -> None:
    """Launch a kernel on operands (P, B, …), with so many sums per sample."""
    dense = [x if x is None else x.contiguous() for x in operands]
    z = dense[0]
    assert z is not None
    _, samples, m = z.shape
    probes, vectors = _probes(operands), sum(x is not None and x.ndim == 3 for x in dense)
    cut = tiling(m, ROW if vectors <= 2 else ROW // 2, TILE)
    partial = accumulated(z, probes * samples, cut.tiles, sums)
    strides = [stride(x) for x in dense]
    constants |= cut.constants | {"CT": accumulator(z.dtype)}
    with on(z):
        for stage in cut.stages():
            kernel[probes * samples, cut.tiles](
                *dense, *results, partial, *strides, samples, m, cut.tiles, STAGE=stage, **constants
            )


profiled("chart", *globals().values())
