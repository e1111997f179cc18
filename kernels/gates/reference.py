"""SiLU and the gate of GEGLU and their derivatives up to the second, in closed form.

Notation   σ the logistic function; Φ, φ distribution function and density of N(0, 1), g(b) = b Φ(b)
           GELU; x (P, …) with P probes; a dot marks a tangent, u is the cotangent of the result
Orders     `forward`, `jvp`, `vjp` and `hvp` are orders 0, 1, 1 and 2; for autograd,
           `kernels/wiring/autograd.py`
Precision  16-bit inputs are computed in float32 and rounded at the end
Traffic    x several times over; of PyTorch's own operators where there is one
Source     differentiated by hand; the tests hold it against autograd of the formula in float64
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.kernels.wiring.op import Op, Tensors, Wanted, only, wide

aten = torch.ops.aten


def silu_slope_times(z: Tensor, x: Tensor) -> Tensor:
    """Return SiLU'(x) z (...), SiLU' = σ (1 + x (1 - σ)): what PyTorch calls SiLU's backward."""
    slope: Tensor = aten.silu_backward(z, x)
    return slope


def silu_curvature(x: Tensor) -> Tensor:
    """Return SiLU'' = σ (1 - σ) (2 + x (1 - 2σ)) at x (...)."""
    s = x.sigmoid()
    return s * (1 - s) * (2 + x * (1 - 2 * s))


def gelu_slope_times(z: Tensor, b: Tensor) -> Tensor:
    """Return g'(b) z (...), g' = Φ + b φ: what PyTorch calls GELU's backward."""
    slope: Tensor = aten.gelu_backward(z, b)
    return slope


def gelu_curvature(b: Tensor) -> Tensor:
    """Return g'' = φ (2 - b²) at b (...)."""
    return torch.exp(-0.5 * b * b) / math.sqrt(2 * math.pi) * (2 - b * b)


@dataclass(frozen=True)
class Silu(Op):
    """x (P, …) -> y = x σ(x)."""

    arity = 1

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return y = x σ(x), (P, …)."""
        (x,) = operands
        return (F.silu(wide(x)).to(x.dtype),)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return SiLU'(x) x_dot, (P, …)."""
        (x,) = point
        return silu_slope_times(wide(only(t)), wide(x)).to(x.dtype)

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return SiLU'(x) u, (P, …)."""
        return (self.jvp(point, (u,)),)

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return SiLU''(x) u x_dot, (P, …)."""
        (x,) = point
        return ((silu_curvature(wide(x)) * u * only(t)).to(x.dtype),)


@dataclass(frozen=True)
class Geglu(Op):
    """x (P, …, 2C) = (a, b) -> y (P, …, C) = a g(b)."""

    arity = 1

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return y = a g(b), (P, …, C)."""
        (x,) = operands
        a, b = wide(x).chunk(2, -1)
        return ((a * F.gelu(b)).to(x.dtype),)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return a_dot g + a g' b_dot, (P, …, C)."""
        (x,) = point
        (a, b), (a_dot, b_dot) = wide(x).chunk(2, -1), wide(only(t)).chunk(2, -1)
        return (a_dot * F.gelu(b) + gelu_slope_times(a * b_dot, b)).to(x.dtype)

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return (u g, u a g'), (P, …, 2C)."""
        (x,) = point
        a, b = wide(x).chunk(2, -1)
        return (torch.cat([u * F.gelu(b), gelu_slope_times(u * a, b)], -1).to(x.dtype),)

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return (u g' b_dot, u (g' a_dot + a g'' b_dot)), (P, …, 2C)."""
        (x,) = point
        (a, b), (a_dot, b_dot) = wide(x).chunk(2, -1), wide(only(t)).chunk(2, -1)
        in_b = gelu_slope_times(u * a_dot, b) + u * a * gelu_curvature(b) * b_dot
        return (torch.cat([gelu_slope_times(u * b_dot, b), in_b], -1).to(x.dtype),)
