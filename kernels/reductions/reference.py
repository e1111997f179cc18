"""Sums over each sample, and Tr(R²) / Tr(R)² of them, with derivatives up to the second.

Notation   x, y (P, B, …) with P probes of B samples, n numbers a sample; ⟨x, y⟩ (P, B) their inner
           products; a dot marks a tangent, u or g is the cotangent of the result
Orders     `forward`, `jvp`, `vjp` and `hvp` are orders 0, 1, 1 and 2; for autograd,
           `kernels/wiring/autograd.py`
Precision  sums are in float32 or wider, results of 16-bit numbers in
float32
Source     differentiated by hand; the tests hold it against autograd of the formula in float64

Everything is made of `dot` and `combine`, which are all that Triton does otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.kernels.wiring.op import Op, Tensors, Wanted, only, wide


class Rows(Op):
    """An operator made of inner products and linear combinations of samples."""

    def dot(self, x: Tensor, y: Tensor) -> Tensor:
        """Return ⟨x, y⟩ (P, B) in float32 or wider."""
        product = wide(x) * wide(y)
        return product.sum(tuple(range(2, product.ndim))) if product.ndim > 2 else product

    def combine(
        self, c: Tensor, x: Tensor, d: Tensor | None = None, y: Tensor | None = None
    ) -> Tensor:
        """Return c x + d y (P, B, …) in x's dtype, with c and d (P, B)."""
        result = _like(c, x) * wide(x)
        if d is not None and y is not None:
            result = result + _like(d, y) * wide(y)
        return result.to(x.dtype)


@dataclass(frozen=True)
class Dot(Rows):
    """(x, y) -> ⟨x, y⟩."""

    arity = 2

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return ⟨x, y⟩ (P, B)."""
        return (self.dot(*operands),)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return ⟨x_dot, y⟩ + ⟨x, y_dot⟩, (P, B)."""
        (x, y), (x_dot, y_dot) = point, t
        if x_dot is None:
            return self.dot(x, only(t))
        along_x = self.dot(x_dot, y)
        return along_x if y_dot is None else along_x + self.dot(x, y_dot)

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return u y and u x, (P, B, …)."""
        x, y = point
        return self.combine(u, y) if wanted[0] else None, self.combine(u, x) if wanted[1] else None

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return u y_dot and u x_dot, (P, B, …)."""
        x_dot, y_dot = t
        return (
            self.combine(u, y_dot) if wanted[0] and y_dot is not None else None,
            self.combine(u, x_dot) if wanted[1] and x_dot is not None else None,
        )


@dataclass(frozen=True)
class SquareNorm(Rows):
    """x -> ‖x‖² = ⟨x, x⟩."""

    arity = 1

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return ‖x‖² (P, B)."""
        (x,) = operands
        return (self.dot(x, x),)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return 2 ⟨x, x_dot⟩, (P, B)."""
        (x,) = point
        return 2 * self.dot(x, only(t))

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return 2 u x, (P, B, …)."""
        return (self.combine(2 * u, *point),)

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return 2 u x_dot, (P, B, …)."""
        return (self.combine(2 * u, only(t)),)


@dataclass(frozen=True)
class TraceRatio(Rows):
    """(r, s) -> q = a / b², a and b.

    a = mean ‖r‖² and b = mean ‖s‖² over the N samples; their tangents are α = 2 mean ⟨r, r_dot⟩ and
    β = 2 mean ⟨s, s_dot⟩.
    """

    arity = 2

    def forward(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Return q (P,), and a and b (P, 2)."""
        r, s = operands
        a, b = torch.broadcast_tensors(self.dot(r, r).mean(1), self.dot(s, s).mean(1))
        return a / b**2, torch.stack([a, b], -1)

    def jvp(self, point: Sequence[Tensor], t: Tensors) -> Tensor:
        """Return α / b² - 2 a β / b³, (P,)."""
        a, b = point[2].unbind(-1)
        a_dot, b_dot = self._tangents(point, t)
        return a_dot / b**2 - 2 * a * b_dot / b**3

    def vjp(self, point: Sequence[Tensor], u: Tensor, wanted: Wanted) -> Tensors:
        """Return 2 g / (N b²) r and -4 g a / (N b³) s, for a cotangent g."""
        r, s, sums = point
        a, b = sums.unbind(-1)
        g = 2 * u / r.shape[1]
        return (
            self.combine(_each(g / b**2, r), r) if wanted[0] else None,
            self.combine(_each(-2 * g * a / b**3, s), s) if wanted[1] else None,
        )

    def hvp(self, point: Sequence[Tensor], u: Tensor, t: Tensors, wanted: Wanted) -> Tensors:
        """Return the gradients of ⟨g, q_dot⟩ in r and s.

        r   2 g / N (r_dot / b² - 2 β / b³ r)
        s   2 g / N (-2 a / b³ s_dot + (6 a β / b⁴ - 2 α / b³) s)
        """
        r, s, sums = point
        a, b = sums.unbind(-1)
        a_dot, b_dot = self._tangents(point, t)
        g = 2 * u / r.shape[1]
        along_r, along_s = -2 * g * b_dot / b**3, g * (6 * a * b_dot / b**4 - 2 * a_dot / b**3)
        return (
            self._sum(along_r, r, g / b**2, t[0]) if wanted[0] else None,
            self._sum(along_s, s, -2 * g * a / b**3, t[1]) if wanted[1] else None,
        )

    def _tangents(self, point: Sequence[Tensor], t: Tensors) -> tuple[Tensor, Tensor]:
        """Return α and β, zero without a tangent."""
        zero = torch.zeros_like(point[2][:, 0])
        pairs = zip(point[:2], t, strict=True)
        alpha, beta = (zero if d is None else 2 * self.dot(x, d).mean(1) for x, d in pairs)
        return alpha, beta

    def _sum(self, c: Tensor, x: Tensor, d: Tensor, y: Tensor | None) -> Tensor:
        return self.combine(_each(c, x), x, _each(d, x), y)


def _each(c: Tensor, x: Tensor) -> Tensor:
    return c.unsqueeze(1).expand(-1, x.shape[1])  # (P, B)


def _like(c: Tensor, x: Tensor) -> Tensor:
    return c.reshape(*c.shape, *[1] * (x.ndim - 2))
