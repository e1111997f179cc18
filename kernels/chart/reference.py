"""The inverse stereographic chart and powers of its metric, with derivatives up to the second.

Notation   z, v (P, B, n-1) in the plane, P probes of B samples; r (P, B) the sphere's radius, a
           constant; ρ = ‖z‖² + r², k = 2 r² / ρ, so that the metric is G = k² I; a dot marks a
           tangent, u is the cotangent of the result, on the sphere u = (U, u_n); p = ⟨z, z_dot⟩
Orders     `forward`, `jvp`, `vjp` and `hvp` are orders 0, 1, 1 and 2; for autograd,
           `kernels/wiring/autograd.py`
Precision  16-bit numbers are computed in float32 and rounded at the
end
Source     differentiated by hand; the tests hold it against autograd of the formula in float64
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.kernels.wiring.op import Op, Tensors, Wanted, only, wide


@dataclass(frozen=True)
class ToSphere(Op):
    """(z, r) -> x (P, B, n) = (k z, r (1 - k))."""

    arity = 1

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return x = (k z, r (1 - k))."""
        z, r, _, k = _point(operands)
        return (torch.cat([k * z, r * (1 - k)], -1).to(operands[0].dtype),)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return k (z_dot - 2 p / ρ z, 2 r p / ρ)."""
        z, r, rho, k = _point(point)
        z_dot = only(t)
        p = _dot(z, z_dot) / rho
        return torch.cat([k * (z_dot - 2 * p * z), 2 * r * k * p], -1).to(point[0].dtype)

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return k (U + 2 e / ρ z), e = r u_n - ⟨z, U⟩."""
        z, r, rho, k = _point(point)
        head, e = _cotangent(u, z, r)
        return ((k * (head + 2 * e / rho * z)).to(point[0].dtype),)

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return 2 k / ρ (e z_dot - p U - (⟨U, z_dot⟩ + 4 p e / ρ) z)."""
        z, r, rho, k = _point(point)
        z_dot = only(t)
        head, e = _cotangent(u, z, r)
        p = _dot(z, z_dot)
        along = _dot(head, z_dot) + 4 * p * e / rho
        return ((2 * k / rho * (e * z_dot - p * head - along * z)).to(point[0].dtype),)


@dataclass(frozen=True)
class Scale(Op):
    """(z, v, r) -> y = f v, f = kᴱ: with E = 2, -1 and -2, G v, v / √G and v / G."""

    exponent: int
    arity = 2

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return y = f v (P, B, n-1)."""
        z, v, r = operands
        *_, k = _point((z, r))
        return ((k**self.exponent * wide(v)).to(v.dtype),)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return f (v_dot - 2 E p / ρ v)."""
        _, v, r = point
        z, _, rho, k = _point((point[0], r))
        z_dot, v_dot = t
        result = torch.zeros_like(k * wide(v)) if v_dot is None else wide(v_dot)
        if z_dot is not None:
            result = result - 2 * self.exponent * _dot(z, z_dot) / rho * v
        return (k**self.exponent * result).to(v.dtype)

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return -2 E f / ρ ⟨v, u⟩ z and f u, both (P, B, n-1)."""
        _, v, r = point
        z, _, rho, k = _point((point[0], r))
        f = k**self.exponent
        return (
            (-2 * self.exponent * f / rho * _dot(v, u) * z).to(point[0].dtype)
            if wanted[0]
            else None,
            (f * u).to(v.dtype) if wanted[1] else None,
        )

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return the gradients of ⟨u, y_dot⟩ in z and v.

        z   2 E f / ρ (2 (E + 1) p ⟨u, v⟩ / ρ z - ⟨u, v_dot⟩ z - ⟨u, v⟩ z_dot)
        v   -2 E f p / ρ u
        """
        _, v, r = point
        z, _, rho, k = _point((point[0], r))
        z_dot, v_dot = t
        f = 2 * self.exponent * k**self.exponent / rho
        if z_dot is None:
            return (-f * _dot(u, only(t)) * z).to(point[0].dtype) if wanted[0] else None, None
        p, along = _dot(z, z_dot), _dot(u, v)
        c = 2 * (self.exponent + 1) * p * along / rho
        c = c if v_dot is None else c - _dot(u, v_dot)
        return (
            (f * (c * z - along * z_dot)).to(point[0].dtype) if wanted[0] else None,
            (-f * p * u).to(v.dtype) if wanted[1] else None,
        )


def _point(operands: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return z (P, B, n-1), and r, ρ and k (P, B, 1)."""
    z, r = wide(operands[0]), wide(operands[1]).unsqueeze(-1)
    rho = _dot(z, z) + r * r
    return z, r, rho, 2 * r * r / rho


def _cotangent(u: Tensor, z: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """Return U and e = r u_n - ⟨z, U⟩."""
    u = wide(u)
    return u[..., :-1], r * u[..., -1:] - _dot(z, u[..., :-1])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (wide(a) * wide(b)).sum(-1, keepdim=True)
