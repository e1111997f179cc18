"""GroupNorm, also with SiLU behind it, and its derivatives up to the second, in closed form.

Notation   x, u (P, B, C, S) with P probes, B samples, C channels, S positions; γ, β (P, C);
           m, r mean and 1/√(variance + eps) of each of G groups; a dot marks a tangent
           x̂ = (x - m) r,   a = γ x̂ + β,   y = φ(a), φ the identity or SiLU, s1 = φ'(a), s2 = φ''(a)
           w = s1 u,   A z = r (z - mean z - x̂ mean(x̂ z)) = (∂x̂/∂x) z, a symmetric matrix
Orders     `forward`, `jvp`, `vjp` and `hvp` are orders 0, 1, 1 and 2; for autograd,
           `kernels/wiring/autograd.py`
Precision  16-bit inputs are computed in float32 and rounded at the end
Traffic    x several times over, by PyTorch's own operators where they fit (`aten.py`); the
           Triton kernels read it once, or twice where a group is large
Source     differentiated by hand; the tests hold it against autograd of the formula in float64

LayerNorm is the same with one group, B rows and S = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.kernels.gates.reference import silu_curvature, silu_slope_times
from latentgeo.kernels.norms.aten import normalized, transposed
from latentgeo.kernels.wiring.op import Op, Tensors, Wanted, wide


@dataclass(frozen=True)
class Norm(Op):
    """(x, γ, β) -> y, (m, r)."""

    groups: int
    eps: float
    silu: bool
    arity = 3

    @property
    def numbers(self) -> tuple[float, ...]:  # type: ignore[override]
        """What it was made of."""
        return self.groups, self.eps, self.silu

    @classmethod
    def of(cls, *numbers: float) -> Norm:
        """Return the norm that these numbers make."""
        groups, eps, silu = numbers
        return cls(int(groups), eps, bool(silu))

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return y (P, B, C, S) = φ(γ x̂ + β) and (m, r) (P, B, G, 2)."""
        x, weight, bias = operands
        rows = _grouped(x, self.groups)
        x_hat, mean, rstd = normalized(rows.flatten(0, 1), self.eps)
        a = _per_channel(weight, rows) * x_hat.reshape(rows.shape) + _per_channel(bias, rows)
        stats = torch.stack([mean, rstd], -1).reshape(*x.shape[:2], self.groups, 2)
        return _ungrouped(F.silu(a) if self.silu else a, x), stats

    def composed(self, *operands: Tensor) -> Tensor:
        """Return y (P, B, C, S), made of operators that differentiate themselves, and rightly."""
        x, weight, bias = operands
        rows = _grouped(x, self.groups)
        centred = rows - _mean(rows)
        x_hat = centred * (_mean(centred.square()) + self.eps).rsqrt()
        a = _per_channel(weight, rows) * x_hat + _per_channel(bias, rows)
        return _ungrouped(a * a.sigmoid() if self.silu else a, x)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return y_dot = s1 (γ A x_dot + γ_dot x̂ + β_dot), (P, B, C, S)."""
        at = _Point(self, point)
        y_dot = at.slope(at.a_dot(t).expand(-1, *at.rows.shape[1:]))
        return _ungrouped(y_dot, point[0])

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return x̄ = A(γ w) (P, B, C, S), and γ̄ = Σ w x̂ and β̄ = Σ w (P, C)."""
        at = _Point(self, point)
        w = at.slope(_grouped(u, self.groups))
        return (
            _ungrouped(at.A(at.weight * w), point[0]) if wanted[0] else None,
            _channel_sum(w * at.x_hat, point[1]) if wanted[1] else None,
            _channel_sum(w, point[2]) if wanted[2] else None,
        )

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return the gradients of ⟨u, y_dot⟩ in x, γ and β; q = s2 u a_dot, z = γ q + γ_dot w.

        x   A z - r mean(W·A x_dot) x̂ - r mean(x̂ x_dot) A W - r mean(x̂ W) A x_dot,   W = γ w
        γ   Σ q x̂ + w A x_dot
        β   Σ q
        """
        at = _Point(self, point)
        u = _grouped(u, self.groups)
        w, ax = at.slope(u), None if t[0] is None else at.A(_grouped(t[0], self.groups))
        q = torch.zeros_like(w)
        if self.silu:
            q = silu_curvature(at.a) * u * at.a_dot(t)
        in_weight = q * at.x_hat if ax is None else q * at.x_hat + w * ax
        return (
            _ungrouped(self._in_x(at, q, w, ax, t), point[0]) if wanted[0] else None,
            _channel_sum(in_weight, point[1]) if wanted[1] else None,
            _channel_sum(q, point[2]) if wanted[2] else None,
        )

    def _in_x(self, at: _Point, q: Tensor, w: Tensor, ax: Tensor | None, t: Tensors) -> Tensor:
        z = at.weight * q if t[1] is None else at.weight * q + _per_channel(t[1], at.rows) * w
        if t[0] is None or ax is None:
            return at.A(z)
        scaled = at.weight * w
        along = _mean(at.x_hat * _grouped(t[0], self.groups))
        bent = _mean(scaled * ax) * at.x_hat + along * at.A(scaled)
        return at.A(z) - at.rstd * (bent + _mean(at.x_hat * scaled) * ax)


class _Point:
    """What the derivatives are taken at: x (P, B, G, C / G, S) and what broadcasts to it."""

    def __init__(self, norm: Norm, point: Sequence[Tensor]) -> None:
        x, weight, bias, stats = point
        self.norm, self.rows = norm, _grouped(x, norm.groups)
        self.mean, self.rstd = stats[..., None, None].unbind(3)
        self.weight, self.bias = _per_channel(weight, self.rows), _per_channel(bias, self.rows)

    @cached_property
    def x_hat(self) -> Tensor:
        """x̂."""
        return (self.rows - self.mean) * self.rstd

    @cached_property
    def a(self) -> Tensor:
        """What SiLU is applied to."""
        return self.weight * self.x_hat + self.bias

    def A(self, z: Tensor) -> Tensor:
        """Return (∂x̂/∂x) z."""
        if len(z) == len(self.rows):
            return self._transposed(z)
        return torch.cat([self._transposed(probe) for probe in z.split(1)])

    def _transposed(self, z: Tensor) -> Tensor:
        z_rows, rows = (x.reshape(-1, *x.shape[2:]) for x in (z, self.rows))
        return transposed(z_rows, rows, self.mean, self.rstd).reshape(z.shape)

    def slope(self, z: Tensor) -> Tensor:
        """Return s1 z."""
        return silu_slope_times(z, self.a) if self.norm.silu else z

    def a_dot(self, t: Tensors) -> Tensor:
        """Return γ A x_dot + γ_dot x̂ + β_dot, of which a tangent may be None, but not all."""
        x_dot, weight_dot, bias_dot = t
        terms = []
        if x_dot is not None:
            terms.append(self.weight * self.A(_grouped(x_dot, self.norm.groups)))
        if weight_dot is not None:
            terms.append(_per_channel(weight_dot, self.rows) * self.x_hat)
        if bias_dot is not None:
            terms.append(_per_channel(bias_dot, self.rows))
        return sum(terms[1:], start=terms[0])


def _grouped(x: Tensor, groups: int) -> Tensor:
    shape = (*x.shape[:2], groups, x.shape[2] // groups, x.shape[3])
    return wide(x).reshape(shape)  # (P, B, G, C / G, S)


def _ungrouped(rows: Tensor, like: Tensor) -> Tensor:
    return rows.reshape(len(rows), *like.shape[1:]).to(like.dtype)


def _per_channel(weight: Tensor, rows: Tensor) -> Tensor:
    return wide(weight).reshape(len(weight), 1, *rows.shape[2:4], 1)


def _channel_sum(rows: Tensor, like: Tensor) -> Tensor:
    return rows.sum((1, 4)).reshape(len(rows), *like.shape[1:]).to(like.dtype)


def _mean(rows: Tensor) -> Tensor:
    return rows.mean((-2, -1), keepdim=True)
