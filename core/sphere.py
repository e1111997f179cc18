"""The sphere that noise lies on: its radius at time t, its tangents, and its stereographic charts.

Hahm et al., Isometric Representation Learning for Disentangled Latent Space of Diffusion Models
(arXiv 2407.11451), Sec. 3.1. A Gaussian noise of n numbers has a length of √n up to about 1/√2, so
the noisy images of a late time t lie near a sphere.

Notation   x (B, ...) n numbers per sample; r (B,) the radius; z (B, n-1) coordinates in the plane
           of the equator, seen from the north pole N = (0, …, 0, r); G I the metric in them
Errata     Iso Eq. 2's chart and Iso Eq. 3's metric do not belong together. The metric of Eq. 2's
           chart is 4 r² / (1 + ‖z‖²)² I; Eq. 3 is the metric of that chart times r
Charts     both, in the plain form that is read; the loss needs neither (core/isometry.py), and
           kernels/chart/op.py has the second one fused
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from latentgeo.core.precision import norms, wide, widened
from latentgeo.core.schedule import Schedule, column

Radius = Literal["norm", "marginal", "sqrt_n"]


def radius(schedule: Schedule, x_t: Tensor, t: Tensor, policy: Radius = "norm") -> Tensor:
    """Return r (B,) of the sphere for x_t (B, ...) at times t (B,).

    Iso Sec. 3.1   marginal: r = √(1-ᾱ_t) E[χ(n)] ≈ √(n (1-ᾱ_t))
                   sqrt_n: r = √n, that of the first noise, at every t (released: √(n-1))
                   norm: r = ‖x_t‖, on which x_t lies as it is (our default)

    Under the first two x_t is not on the sphere, and `onto` moves it there: the network then sees
    an image of another size than its time says, by what x_0 adds to the length. Raises ValueError
    for a policy that there is not.
    """
    n = x_t.shape[1:].numel()
    exact = wide(x_t.dtype)
    if policy == "norm":
        return norms(x_t)
    if policy == "sqrt_n":
        return torch.full((len(x_t),), n**0.5, dtype=exact, device=x_t.device)
    if policy != "marginal":
        raise ValueError(f"policy: got {policy!r}, wanted norm, marginal or sqrt_n")
    return (n * (1 - schedule.bar(t, x_t))).sqrt().flatten()


def onto(x: Tensor, r: Tensor) -> Tensor:
    """Return r x / ‖x‖ (B, ...), the point of the sphere in x's direction.

    Iso Sec. 3.1   X_t ≈ Sⁿ⁻¹(r)

    A sample of zeros has no direction: its point is NaN, and the others' are what they are.
    """
    return (widened(x) * column(r / norms(x), x)).to(x.dtype)


def tangent(x: Tensor, v: Tensor) -> Tensor:
    """Return P v (..., B, n) in v's shape: v without its part along x (B, ...).

    P = I - x xᵀ/‖x‖² = U Uᵀ, where U = ∂x/∂z G^{-½} has orthonormal columns in either chart: what
    the pullback metric needs of a chart is P alone. At a sample of zeros there is no tangent, and
    the result is NaN there.
    """
    unit = widened(x).flatten(1) / norms(x).unsqueeze(1)
    flat = widened(v).flatten(v.ndim - x.ndim + 1)  # (..., B, n)
    along = (flat * unit).sum(-1, keepdim=True)
    return (flat - along * unit).to(v.dtype).reshape(v.shape)


def unit_chart(x: Tensor, r: Tensor) -> Tensor:
    """Return z (B, n-1) of x (B, ...) on the sphere.

    Iso Eq. 2   Π(x) = (x_1, …, x_{n-1}) / (r - x_n)
    """
    flat = x.flatten(1)
    return flat[:, :-1] / (r.unsqueeze(1) - flat[:, -1:])


def unit_chart_inverse(z: Tensor, r: Tensor) -> Tensor:
    """Return x (B, n) of which z (B, n-1) are the coordinates in `unit_chart`.

    Iso Eq. 2   Π⁻¹(z) = r / (‖z‖² + 1) (2 z, ‖z‖² - 1)
    """
    wider = widened(z)
    square = wider.square().sum(1, keepdim=True)
    return (r.unsqueeze(1) / (square + 1) * torch.cat([2 * wider, square - 1], 1)).to(z.dtype)


def unit_metric(z: Tensor, r: Tensor) -> Tensor:
    """Return the number G (B,) of the metric G I of `unit_chart` at z (B, n-1).

    Iso Eq. 3   G(z) = 4 r² / (1 + ‖z‖²)² I (corrected: printed as 4 r⁴ / (‖z‖² + r²)² I, which is
                the metric of `scaled_chart`)
    """
    return (2 * r / (1 + norms(z).square())).square()


def scaled_chart(x: Tensor, r: Tensor) -> Tensor:
    """Return z (B, n-1) of x (B, ...) on the sphere, r times that of `unit_chart`.

    Iso Eq. 2   r Π(x) = r (x_1, …, x_{n-1}) / (r - x_n)
    """
    return r.unsqueeze(1) * unit_chart(x, r)


def scaled_chart_inverse(z: Tensor, r: Tensor) -> Tensor:
    """Return x (B, n) of which z (B, n-1) are the coordinates in `scaled_chart`.

    Iso Eq. 2   Π⁻¹(z / r)
    """
    return unit_chart_inverse(z / r.unsqueeze(1), r)


def scaled_metric(z: Tensor, r: Tensor) -> Tensor:
    """Return the number G (B,) of the metric G I of `scaled_chart` at z (B, n-1).

    Iso Eq. 3   G(z) = 4 r⁴ / (‖z‖² + r²)² I
    """
    return (2 * r**2 / (norms(z).square() + r**2)).square()


def scaled_metric_at(x: Tensor, r: Tensor) -> Tensor:
    """Return the same G (B,) from the point x (B, ...) of the sphere instead of its coordinates.

    Iso Eq. 3   √G = 1 - x_n / r (rearranged: put r (x_1, …) / (r - x_n) for z)
    """
    return (1 - x.flatten(1)[:, -1] / r).square()
