# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Triton: rows that fit one tile, and rows that are summed tile by tile first.

A kernel runs over rows × tiles. Where a row fits one tile (STAGE WHOLE), it sums and applies in one
launch. Else it is launched twice: SUMS files the sums of every tile in `partial`, (rows, tiles, K)
numbers for K sums, and APPLY adds a row's up. No atomics: results do not change from run to run.

Precision  CT is the accumulator's type: float32, and float64 for float64 in the interpreter. Every
           number is cast to it where it is loaded
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from latentgeo.kernels.wiring.interpreter import interpreted

WHOLE = tl.constexpr(0)
SUMS = tl.constexpr(1)
APPLY = tl.constexpr(2)


@triton.jit
def load(pointer, at, inside, CT: tl.constexpr):
    """Return the numbers at these offsets in CT, zero outside."""
    return tl.where(inside, tl.load(pointer + at, mask=inside).to(CT), 0)


@triton.jit
def total(
    value, partial, row, tile, k, tiles, K: tl.constexpr, STAGE: tl.constexpr, TILES: tl.constexpr
):
    """Return the k-th sum over a row: of this tile's `value`, or in APPLY of all tiles as filed."""
    if STAGE == APPLY:
        i = tl.arange(0, TILES)
        filed = tl.load(partial + (row * tiles + i) * K + k, mask=i < tiles)
        result = tl.sum(tl.where(i < tiles, filed, 0))
    else:
        result = tl.sum(value)
        if STAGE == SUMS:
            tl.store(partial + (row * tiles + tile) * K + k, result)
    return result


class Tiling(NamedTuple):
    """How a row of n numbers is cut: tiles of `block`, each run by `warps` warps."""

    block: int
    tiles: int
    warps: int

    @property
    def constants(self) -> dict[str, int]:
        """What a kernel takes at compile time, and its warps."""
        power = triton.next_power_of_2(self.tiles)
        return {"BLOCK": self.block, "TILES": power, "num_warps": self.warps}

    def stages(self, summed: bool = True) -> list[int]:
        """Return the STAGE of each launch; without sums there is one."""
        if self.tiles == 1:
            return [WHOLE.value]
        return [SUMS.value, APPLY.value] if summed else [APPLY.value]


def tiling(n: int, whole: int, block: int, per_thread: int = 16) -> Tiling:
    """Return one tile for a row of up to `whole` numbers, and tiles of `block` beyond."""
    if n <= whole:
        block = triton.next_power_of_2(n)
    return Tiling(block, triton.cdiv(n, block), min(max(block // (32 * per_thread), 1), 16))


def accumulator(dtype: torch.dtype) -> Any:
    """Return the type CT in which numbers of this dtype are computed."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def accumulated(x: Tensor, *shape: int) -> Tensor:
    """Return an uninitialized tensor (*shape) in the accumulator's type, on x's device."""
    wide = torch.promote_types(x.dtype, torch.float32)
    return torch.empty(shape, dtype=wide, device=x.device)


def memory_order(x: Tensor) -> list[int]:
    """Return the dimensions of x (P, ...) in the order in which it lies in memory, P first."""
    return [0, *sorted(range(1, x.ndim), key=x.stride, reverse=True)]


def stride(x: Tensor | None) -> int:
    """Return how far the probes of a contiguous x (P, ...) are apart: 0 if they share one."""
    return 0 if x is None or len(x) == 1 else x[0].numel()


def on(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which kernels are launched on x's GPU, or interpreted."""
    return torch.cuda.device(x.device) if x.is_cuda else interpreted()
