"""Both ends of a Jacobian's spectrum without forming it: Golub-Kahan bidiagonalization, per sample.

Golub & Kahan, Calculating the Singular Values and Pseudo-Inverse of a Matrix (SIAM 1965). k steps
take k products with J and k with Jᵀ and find k Ritz values. The largest converge within a few
steps. The smallest is an upper bound of J's smallest singular value which comes down as k grows,
and slowly where the spectrum is dense near zero: so every value comes with its residual, and a
condition number made of them is a lower bound. With k the smaller side of J all values are exact.

Notation  A is J (m, n) if n ≤ m, else Jᵀ: tall, so that none of its singular values is the zero of
          a null space; p_j on its small side, q_j on its large one; α_j, β_j the entries of the
          bidiagonal B (k, k)
Rounding  each new vector is made orthogonal to all before it, twice, which contains the recursion's
          own subtractions
Orders    results are numbers without a graph
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from latentgeo.core.linearize import Map, check_floating, check_positive, jvp, vjp
from latentgeo.core.precision import wide, widest

Product = Callable[[Tensor], Tensor]  # of a matrix with a vector per sample, (B, d) to (B, d')
BREAKDOWN = 64  # machine precisions of ‖J‖: a vector shorter than that has no direction


class Spectrum(NamedTuple):
    """Ritz values per sample in falling order; J has a singular value within each's residual."""

    values: Tensor  # σ (B, k); the last bounds J's smallest from above
    residual: Tensor  # (B, k), ‖Aᵀq - σp‖ of the Ritz pair


@torch.no_grad()
def spectrum_ends(
    f: Map, x: Tensor, steps: int, generator: torch.Generator | None = None
) -> Spectrum:
    """Return `steps` Ritz values of the Jacobian of f at each sample of x (B, ...).

    Golub-Kahan   A p_j = α_j q_j + β_{j-1} q_{j-1}, Aᵀ q_j = α_j p_j + β_j p_{j+1}, so that
                  A P = Q B and Aᵀ Q = P Bᵀ + β_k p_{k+1} e_kᵀ; of B = X S Yᵀ the residual of s_i is
                  β_k |x_{k,i}|

    All samples start from one random vector. Where a subspace is exhausted (β = 0, as at once for
    an orthogonal J) it goes on from a random one beside it. Memory: `steps` vectors of both sides.
    Raises ValueError for more steps than J's smaller side has numbers.
    """
    check_floating(x)
    check_positive(steps=steps)
    y = f(x)
    sides = x[0].numel(), y[0].numel()

    def forwards(v: Tensor) -> Tensor:
        return jvp(f, x, v.to(x.dtype).reshape(x.shape))[1].flatten(1).to(v.dtype)

    def backwards(u: Tensor) -> Tensor:
        return vjp(f, x, u.to(y.dtype).reshape(y.shape))[1].flatten(1).to(u.dtype)

    if steps > min(sides):
        raise ValueError(f"steps must be at most {min(sides)}, J's smaller side, got {steps}")
    tall = sides[0] <= sides[1]
    A, A_T = (forwards, backwards) if tall else (backwards, forwards)

    def draw(side: int) -> Tensor:
        shape, dtype = (1, side), wide(x.dtype)
        return torch.randn(shape, generator=generator, dtype=dtype, device=x.device).expand(
            len(x), -1
        )

    alpha, beta = _bidiagonalized(A, A_T, draw, (min(sides), max(sides)), steps)
    B = torch.diag_embed(alpha) + torch.diag_embed(beta[:, :-1], offset=1)
    X, values, _ = torch.linalg.svd(B.to(widest(x.device)))
    residual = beta[:, -1:] * X[:, -1].abs()
    return Spectrum(values.to(alpha.dtype), residual.to(alpha.dtype))


def _bidiagonalized(
    A: Product, A_T: Product, draw: Callable[[int], Tensor], sides: tuple[int, int], steps: int
) -> tuple[Tensor, Tensor]:
    """Return α and β (B, k); `sides` are those of A, the small one first."""
    small, large = sides
    start = draw(small)
    p, scale = start / start.norm(dim=1, keepdim=True), start.new_zeros(len(start), 1)
    P, Q, alpha, beta = [p], list[Tensor](), list[Tensor](), list[Tensor]()
    for _ in range(steps):
        a, q = _direction(A(p), Q, draw(large), scale)
        b, p = _direction(A_T(q), P, draw(small), scale)
        scale = torch.maximum(scale, a)
        Q, P = [*Q, q], [*P, p]
        alpha, beta = [*alpha, a], [*beta, b]
    return torch.cat(alpha, 1), torch.cat(beta, 1)


def _direction(
    v: Tensor, basis: list[Tensor], fresh: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the length (B, 1) of v (B, d) beside the basis, and its direction.

    Where nothing is left beside the basis the length is 0 and the direction that of `fresh`.
    """
    scale = torch.maximum(scale, v.norm(dim=1, keepdim=True))
    v, fresh = _beside(v, basis), _beside(fresh, basis)
    length = v.norm(dim=1, keepdim=True)
    lost = length <= BREAKDOWN * torch.finfo(v.dtype).eps * scale
    v = torch.where(lost, fresh, v)
    unit = v / v.norm(dim=1, keepdim=True).clamp(min=torch.finfo(v.dtype).tiny)
    return torch.where(lost, 0, length), unit


def _beside(v: Tensor, basis: list[Tensor]) -> Tensor:
    """Return v (B, d) without its parts along the basis; twice, as once leaves rounding."""
    if not basis:
        return v
    stack = torch.stack(basis, 1)  # (B, j, d)
    for _ in range(2):
        v = v - ((stack @ v.unsqueeze(2)).mT @ stack).squeeze(1)
    return v
