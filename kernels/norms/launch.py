"""The norms on Triton kernels: layouts, tilings and launches.

Operands are (P, B, C, S), with the channels last in memory where x has them so; results have x's
layout. The tilings follow the registers of a thread; none was measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import triton
from torch import Tensor

from latentgeo.kernels.norms import kernels
from latentgeo.kernels.norms.columns import added_kernel, columns_kernel
from latentgeo.kernels.norms.cuts import CHANNELS, cut
from latentgeo.kernels.norms.merging import merged_kernel, moments_kernel
from latentgeo.kernels.norms.reference import Norm
from latentgeo.kernels.wiring.op import Tensors, Wanted
from latentgeo.kernels.wiring.profiled import profiled
from latentgeo.kernels.wiring.tiles import (
    APPLY,
    SUMS,
    WHOLE,
    accumulated,
    accumulator,
    on,
    stride,
)

TILE = 4096  # numbers of a tile at most; a group that fits one is taken whole
PER_THREAD = 16  # numbers of a tile
COLUMNS = 2048  # numbers of a tile of the sums for γ and β
PROGRAMS = 512  # aimed at, for the sums for γ and β
MERGED = 2048  # numbers of a tile in which sums of tiles are added up
ADDED = (32, 16)  # channels and rows of a tile of their addition
X, U, X_DOT = 0, 4, 5  # places of what is like x, in (x, γ, β, stats, u, x_dot, γ_dot, β_dot)


class TritonNorm(Norm):
    """The same closed forms on Triton kernels."""

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return y (P, B, C, S) and (m, r) (P, B, G, 2)."""
        run = _Launch(self, operands)
        y = run.result()
        return run.logical(y), self._forward(run, operands, y)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return y_dot (P, B, C, S)."""
        run = _Launch(self, (*point, *t))
        y_dot = run.result()
        self._jvp(run, (*point, *t), y_dot)
        return run.logical(y_dot)

    def pair(self, stacked: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """Return (y, y_dot) (2P, B, C, S) and (m, r) (P, B, G, 2)."""
        x, x_dot = stacked.chunk(2)
        run, results = _Launch(self, (x, *others)), _Launch(self, (stacked,)).result()
        y, y_dot = results.chunk(2)
        stats = self._forward(run, (x, *others), y)
        self._jvp(run, (x, *others, stats, x_dot, None, None), y_dot)
        return run.logical(results), stats

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return x̄ (P, B, C, S), γ̄ and β̄ (P, C)."""
        run = _Launch(self, (*point, u))
        x_bar, operands = run.result(), run.dense((*point, u), (X, U))
        if wanted[0]:
            self._vjp(run, operands, x_bar)
        in_weights = run.columns((*operands, *[None] * 5), wanted, second=False)
        return run.logical(x_bar) if wanted[0] else None, *in_weights

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return the gradients of ⟨u, y_dot⟩ in x (P, B, C, S), γ and β (P, C)."""
        run = _Launch(self, (*point, u, *t))
        x_bar, operands = run.result(), run.dense((*point, u, *t), (X, U, X_DOT))
        t_means = self._hvp(run, operands, x_bar, wanted[0], add=False)
        in_weights = run.columns((*operands, t_means, None), wanted, second=True)
        return run.logical(x_bar) if wanted[0] else None, *in_weights

    def pair_vjp(
        self, point: Sequence[Tensor], x_dot: Tensor, both: Tensor, wanted: Wanted
    ) -> Tensors:
        """Return the gradients of ⟨u', y⟩ + ⟨u, y_dot⟩ in (x, x_dot) (2P, B, C, S), γ, β (P, C)."""
        run = _Launch(self, (*point, x_dot))
        twice = _Launch(self, (*point, both))
        operands = run.dense((*point, both, x_dot, None, None), (X, U, X_DOT))
        x_bar, both_dense = twice.result(), operands[U]
        assert both_dense is not None
        of_y, operands[U] = both_dense.chunk(2)
        if wanted[0]:
            self._vjp(twice, [*operands[:U], both_dense], x_bar)
        t_means = self._hvp(run, operands, x_bar.chunk(2)[0], wanted[0], add=True)
        in_weights = run.columns((*operands, t_means, of_y), wanted, second=True)
        return run.logical(x_bar) if wanted[0] else None, *in_weights

    def _forward(self, run: _Launch, operands: Tensors, y: Tensor) -> Tensor:
        """Write y and return (m, r)."""
        stats = run.accumulated(run.samples, self.groups, 2)
        warps = max(run.cut.warps // 2, 1)  # it keeps few numbers of each of a thread
        shared = {"EPS": self.eps, "num_warps": warps}
        stages = [{"STAGE": stage} | shared for stage in run.stages()]
        run.rows(kernels.forward_kernel, run.dense(operands, (X,)), (y, stats), (2,), stages)
        return stats

    def _jvp(self, run: _Launch, operands: Tensors, y_dot: Tensor) -> None:
        """Write y_dot."""
        stages = [{"STAGE": stage} for stage in run.stages(operands[4] is not None)]
        run.rows(kernels.jvp_kernel, run.dense(operands, (X, 4)), (y_dot,), (2,), stages)

    def _vjp(self, run: _Launch, operands: Tensors, x_bar: Tensor) -> None:
        """Write x̄."""
        stages = [{"STAGE": stage} for stage in run.stages()]
        run.rows(kernels.vjp_kernel, operands, (x_bar,), (2,), stages)

    def _hvp(
        self, run: _Launch, operands: Tensors, x_bar: Tensor, wanted: bool, add: bool
    ) -> Tensor:
        """Write x̄, or add to what is there, and return the means of x_dot and x̂ x_dot."""
        t_means = run.accumulated(run.samples * self.groups, 2)
        summed, bends = operands[5] is not None, self.silu or operands[6] is not None
        if wanted or summed:
            stages = _hvp_stages(run.cut.tiles, summed, bends)
            added = [stage | {"ADD": add and wanted} for stage in stages]
            means = run.rows(kernels.hvp_kernel, operands, (x_bar, t_means), (5, 2), added)
            return means[0] if run.cut.mixed else t_means
        return t_means


def _hvp_stages(tiles: int, summed: bool, bends: bool) -> list[dict[str, Any]]:
    """Return the stages of each launch: the sums of x_dot, those of z, which need them, the end."""
    whole, sums, apply = WHOLE.value, SUMS.value, APPLY.value
    if tiles == 1:
        return [{"STAGE": whole, "BEND": whole}]
    stages = [(sums, sums)] * summed + [(apply, sums)] * bends + [(apply, apply)]
    return [{"STAGE": first, "BEND": second} for first, second in stages]


class _Launch:
    """How the kernels of one call are launched: the layout of x, its tiling and its probes."""

    def __init__(self, norm: Norm, operands: Tensors) -> None:
        x = operands[0]
        assert x is not None
        _, self.samples, self.channels, self.places = x.shape
        self.x, self.norm = x, norm
        self.last = x.stride(2) < x.stride(3)
        self.probes = max(len(operand) for operand in operands if operand is not None)
        self.n = self.channels // norm.groups * self.places
        self.cut = cut(norm.groups, self.channels, self.places, self.last, TILE, PER_THREAD)
        self.constants = {"SILU": norm.silu, "LAST": self.last, "CT": accumulator(x.dtype)}

    def stages(self, summed: bool = True) -> list[int]:
        """Return the STAGE of each launch; without sums there is one."""
        if self.cut.tiles == 1:
            return [WHOLE.value]
        return [SUMS.value, APPLY.value] if summed else [APPLY.value]

    def result(self) -> Tensor:
        """Return an uninitialized tensor for a result like x, as it lies in memory."""
        shape = [self.places, self.channels] if self.last else [self.channels, self.places]
        return self.x.new_empty(self.probes, self.samples, *shape)

    def accumulated(self, *shape: int) -> Tensor:
        """Return an uninitialized tensor (P, *shape) in the accumulator's type."""
        return accumulated(self.x, self.probes, *shape)

    def sums(self, kinds: int) -> Tensor:
        """Return room for so many sums per tile, of mixed ones per channel."""
        if self.cut.mixed:
            splits = self.cut.tiles // self.cut.abreast
            return self.accumulated(self.samples, splits, kinds, self.channels)
        return self.accumulated(self.samples * self.norm.groups, self.cut.tiles, kinds)

    def logical(self, result: Tensor) -> Tensor:
        """Return a result as (P, B, C, S)."""
        return result.transpose(2, 3) if self.last else result

    def rows(
        self,
        kernel: Any,
        operands: Tensors,
        outputs: tuple[Tensor, ...],
        kinds: Iterable[int],
        stages: Iterable[dict[str, Any]],
    ) -> list[Tensor]:
        """Launch a kernel of `kernels.py` once per stage; return the sums, mixed ones as means."""
        of, rows = self.cut, self.samples * self.norm.groups
        size = self.samples * self.channels * self.places
        sizes = (
            self.norm.groups, of.spans, of.span, rows, self.channels, self.places, self.n, size,
        )  # fmt: skip
        strides, sums = [stride(operand) for operand in operands], [*map(self.sums, kinds)]
        grid = self.samples * of.spans, of.tiles, self.probes
        with on(self.x):
            for stage in stages:
                launch = *operands, *outputs, *sums, *strides, *sizes, of.abreast, of.tiles
                kernel[grid](*launch, **self.constants | of.constants | stage)
                filed = [stage["STAGE"], stage.get("BEND")]
                if of.mixed and SUMS.value in filed:
                    self._merge(sums, filed.index(SUMS.value), outputs, stage.get("EPS"))
        return sums

    def _merge(
        self, sums: list[Tensor], place: int, outputs: tuple[Tensor, ...], eps: float | None
    ) -> None:
        """Put means by group in the place of sums by channel, or m and r in that of `outputs`."""
        partial, groups = sums[place], self.norm.groups
        splits, kinds = partial.shape[2:4]
        rows = self.probes * self.samples * groups
        block = triton.next_power_of_2(self.channels // groups)
        tile = {"CB": block, "KB": min(max(MERGED // block, 1), triton.next_power_of_2(splits))}
        tile |= {"STEPS": triton.cdiv(splits, tile["KB"]), "CT": self.constants["CT"]}
        if eps is not None:
            shape = groups, self.channels, self.places, splits, self.n, self.cut.places
            moments_kernel[(rows,)](partial, outputs[1], *shape, EPS=eps, **tile)
            return
        sums[place] = self.accumulated(self.samples * groups, kinds)
        sizes = groups, self.channels, splits, self.n
        merged_kernel[rows, kinds](partial, sums[place], *sizes, **tile)

    def columns(self, operands: Tensors, wanted: Wanted, second: bool) -> Tensors:
        """Return the sums for γ and β, None where not wanted."""
        if not any(wanted[1:]):
            return None, None
        alone = self.places == 1  # then the samples are what is summed over
        samples, places = (1, self.samples) if alone else (self.samples, self.places)
        block, long, steps = self._columns_cut(samples, places, self.last or alone)
        blocks, splits = triton.cdiv(self.channels, block), triton.cdiv(places, long * steps)
        partial = self.accumulated(samples * splits, 2, self.channels)
        strides = [stride(operand) for operand in operands]
        means = operands[-2]
        constants = self.constants | {
            "LAST": self.last or alone, "SECOND": second, "ROWS": alone,
            "ONE": self.norm.groups == 1, "T_STEP": 2 if means is None else means.shape[-1],
            "FULL": self.channels % block == 0 and places % (long * steps) == 0,
            "CB": block, "KB": long, "STEPS": steps,
        }  # fmt: skip
        sizes = self.norm.groups, self.channels, places, splits
        with on(self.x):
            columns_kernel[samples * splits, blocks, self.probes](
                *operands, partial, *strides, *sizes, **constants
            )
        return self._added(partial, operands[1:3], wanted[1:])

    def _columns_cut(self, samples: int, places: int, last: bool) -> tuple[int, int, int]:
        """Return a tile's channels and positions, and how many tiles a program adds up."""
        long = triton.next_power_of_2(places)
        block = CHANNELS if last else triton.cdiv(COLUMNS, long)
        block = min(block, COLUMNS, triton.next_power_of_2(self.channels))
        long = min(COLUMNS // block, long)
        tiles = triton.cdiv(places, long)
        programs = tiles * triton.cdiv(self.channels, block) * samples * self.probes
        steps = triton.next_power_of_2(triton.cdiv(programs, PROGRAMS))
        return block, long, min(steps, triton.next_power_of_2(tiles))

    def _added(self, partial: Tensor, weights: Tensors, wanted: Wanted) -> Tensors:
        """Return the sums of partial (P, programs, 2, C) over programs, like γ and β."""
        shape, block, programs = (self.probes, self.channels), ADDED, partial.shape[1]
        results = [
            weight.new_empty(shape) if want and weight is not None else None
            for weight, want in zip(weights, wanted, strict=True)
        ]
        tiles = {"CB": block[0], "PB": block[1], "STEPS": triton.cdiv(programs, block[1])}
        grid = triton.cdiv(self.channels, block[0]), self.probes
        with on(self.x):
            added_kernel[grid](
                partial, *results, programs, self.channels, **tiles, CT=self.constants["CT"]
            )
        return results

    def dense(self, operands: Tensors, like_x: tuple[int, ...]) -> list[Tensor | None]:
        """Return the operands without gaps in memory, those at places `like_x` laid out as x."""
        laid = [
            x.transpose(2, 3) if self.last and place in like_x and x is not None else x
            for place, x in enumerate(operands)
        ]
        return [x if x is None else x.contiguous() for x in laid]


profiled("norms", *vars(kernels).values(), columns_kernel, added_kernel)
