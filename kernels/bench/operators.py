"""The operators at Stable Diffusion 1.5's sizes: their operands, and PyTorch's own in their place.

Notation   B samples, N rows of C channels; the first `trained` operands have gradients, and the
           first `moved` of those have tangents and hand on the inner gradient of a double backward,
           as in a step of Smooth Diffusion: there text moves neither keys nor values, and a norm's
           weights, if they are trained, do not move. `attentions.py` has attention

`plain` is what PyTorch offers in the operator's place. It is one of the contenders, and in a wider
type the reference that all of them are checked against.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.kernels.chart.op import over_sqrt_metric, to_sphere
from latentgeo.kernels.gates.op import geglu
from latentgeo.kernels.norms.op import group_norm_silu, layer_norm
from latentgeo.kernels.reductions.op import sample_dot, sample_square_norm, trace_ratio
from latentgeo.kernels.wiring.op import wide as widened

Function = Callable[..., Tensor]
GROUPS = 32  # of Stable Diffusion's norms
CHANNELS_FIRST: Final = "channels-first"
CHANNELS_LAST: Final = "channels-last"


@dataclass(frozen=True, kw_only=True)
class Heads:
    """The size of an attention."""

    batch: int
    heads: int
    rows: int  # N
    columns: int  # M
    width: int  # d
    causal: bool = False
    mask: str | None = None  # bool or additive

    @property
    def scores(self) -> int:
        """The pairs of a row and a column that attend, of one head."""
        if not self.causal:
            return self.rows * self.columns
        return sum(min(row + 1, self.columns) for row in range(self.rows))


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An operator at one size."""

    name: str
    shapes: tuple[tuple[int, ...], ...]  # of the operands
    result: tuple[int, ...]  # the shape of the result
    trained: int
    moved: int
    ours: Function
    plain: Function
    plain_name: str = "eager"
    attention: Heads | None = None  # its size, if it is one
    mask: str | None = None  # the kind of the last operand, if that is a mask
    laid: Callable[[Tensor], Tensor] = Tensor.contiguous  # what puts an operand in its layout
    sums: bool = False  # whether the result is of sums, which are in float32


def group_norms(
    channels: int, side: int, batch: int, weights: bool = False, layout: str = CHANNELS_FIRST
) -> Operator:
    """Return GroupNorm and SiLU of (B, C, side, side); `weights` are trained, or constants."""
    image, vector = (batch, channels, side, side), (channels,)
    kind = "group-norm-silu-weights" if weights else "group-norm-silu"
    last = "" if layout == CHANNELS_FIRST else f"-{layout}"
    return Operator(
        name=f"{kind}-{channels}x{side}x{side}-b{batch}{last}",
        shapes=(image, vector, vector),
        result=image,
        trained=3 if weights else 1,
        moved=1,
        ours=lambda x, w, b: group_norm_silu(x, GROUPS, w, b),
        plain=lambda x, w, b: F.silu(F.group_norm(x, GROUPS, w, b)),
        laid=_channels_last if layout == CHANNELS_LAST else Tensor.contiguous,
    )


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def layer_norms(rows: int, channels: int, batch: int, weights: bool = False) -> Operator:
    """Return LayerNorm of (B, N, C); `weights` are trained, or constants."""
    tokens, vector = (batch, rows, channels), (channels,)
    kind = "layer-norm-weights" if weights else "layer-norm"
    return Operator(
        name=f"{kind}-{rows}x{channels}-b{batch}",
        shapes=(tokens, vector, vector),
        result=tokens,
        trained=3 if weights else 1,
        moved=1,
        ours=layer_norm,
        plain=lambda x, w, b: F.layer_norm(x, w.shape, w, b),
    )


def gates(rows: int, channels: int, batch: int) -> Operator:
    """Return the gate of GEGLU, (B, N, 2 C) to (B, N, C)."""
    return _of_all(
        f"geglu-{rows}x{2 * channels}-b{batch}",
        ((batch, rows, 2 * channels),),
        (batch, rows, channels),
        geglu,
        plain_geglu,
    )


def plain_geglu(x: Tensor) -> Tensor:
    """Return a · GELU(b) (…, C) for x (…, 2C) = (a, b)."""
    a, b = x.chunk(2, -1)
    return a * F.gelu(b)


def reductions(numbers: int, features: int, batch: int) -> list[Operator]:
    """Return the sums of so many numbers per sample, and the trace ratio with so many features."""
    rows, wide = (batch, numbers), (batch, features)
    size = f"{numbers}-b{batch}"
    return [
        _of_all(f"sample-dot-{size}", (rows, rows), (batch,), sample_dot, _dot, sums=True),
        _of_all(
            f"sample-square-norm-{size}",
            (rows,),
            (batch,),
            sample_square_norm,
            lambda x: widened(x).square().sum(1),
            sums=True,
        ),
        _of_all(
            f"trace-ratio-{numbers}-{features}-b{batch}",
            (rows, wide),
            (),
            trace_ratio,
            _ratio,
            sums=True,
        ),
    ]


def charts(numbers: int, batch: int) -> list[Operator]:
    """Return the chart of a sphere of so many numbers, and v / √G on it."""
    radius, z = math.sqrt(numbers), (batch, numbers - 1)
    size = f"{numbers}-b{batch}"
    return [
        _of_all(
            f"to-sphere-{size}",
            (z,),
            (batch, numbers),
            partial(to_sphere, radius=radius),
            partial(_to_sphere, radius=radius),
        ),
        _of_all(
            f"over-sqrt-metric-{size}",
            (z, z),
            z,
            partial(over_sqrt_metric, radius=radius),
            partial(_over_sqrt_metric, radius=radius),
        ),
    ]


def _of_all(
    name: str,
    shapes: tuple[tuple[int, ...], ...],
    result: tuple[int, ...],
    ours: Function,
    plain: Function,
    sums: bool = False,
) -> Operator:
    """Return an operator that is differentiated in all of its operands."""
    return Operator(
        name=name,
        shapes=shapes,
        result=result,
        trained=len(shapes),
        moved=len(shapes),
        ours=ours,
        plain=plain,
        sums=sums,
    )


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (widened(x) * widened(y)).sum(1)


def _ratio(r: Tensor, s: Tensor) -> Tensor:
    return _dot(r, r).mean() / _dot(s, s).mean() ** 2


def _to_sphere(z: Tensor, radius: float) -> Tensor:
    """Return Π⁻¹(z / r) = r / (‖z‖² + r²) (2 r z, ‖z‖² - r²)."""
    wide = widened(z)
    square = wide.square().sum(1, keepdim=True)
    scale = radius / (square + radius**2)
    return torch.cat([2 * radius * scale * wide, scale * (square - radius**2)], 1).to(z.dtype)


def _over_sqrt_metric(v: Tensor, z: Tensor, radius: float) -> Tensor:
    """Return v / √G, G = 4 r⁴ / (‖z‖² + r²)²."""
    square = widened(z).square().sum(1, keepdim=True)
    return (widened(v) * (square + radius**2) / (2 * radius**2)).to(v.dtype)
