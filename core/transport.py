"""Prompt embeddings as point clouds: W2, the walk along a coupling, its length, a barycentre.

Paper: The Role of Embedding Geometry in Image Interpolation for Stable Diffusion (poster; the full
version is arXiv 2511.12757). Displacements and geodesics: Peyré & Cuturi, arXiv 1803.00567.

Notation  x, y (B, N, D) supports of μ = 1/N Σ δ_{x_i} and ν = 1/N Σ δ_{y_i}; σ (B, N) a coupling of
          `core/couplings.py`, x_i with y_σ(i); s the place on the way, 0 at μ and 1 at ν
Mass      W2 here has the 1/N of its measures. The poster prints it without: √N times as much.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from latentgeo.core.couplings import check_clouds, optimal
from latentgeo.core.interpolate import lerp


def matched(y: Tensor, sigma: Tensor) -> Tensor:
    """Return y_σ(i) (B, N, D): y (B, N, D) in the order of the points that it is matched with."""
    return y.gather(1, sigma.unsqueeze(2).expand_as(y))


def cost(x: Tensor, y: Tensor, sigma: Tensor) -> Tensor:
    """Return Σ_i ‖x_i - y_σ(i)‖² (B,), float64, without 1/N; differentiable in x and y."""
    check_clouds(x, y)
    return (x.double() - matched(y, sigma)).square().sum(dim=(1, 2))


def squared_w2(x: Tensor, y: Tensor) -> Tensor:
    """Return W2²(μ, ν) (B,), float64, of uniform measures; exactly 0 where y is x reordered.

    OT Eq. 2   W2²(μ, ν) = min_σ 1/N Σ_i ‖x_i - y_σ(i)‖², corrected by the measures' 1/N
    """
    return cost(x, y, optimal(x, y)) / x.shape[1]


def w2(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance W2(μ, ν) (B,), float64.

    OT Eq. 2   W2(μ, ν) = min_σ (1/N Σ_i ‖x_i - y_σ(i)‖²)^½, corrected by the measures' 1/N
    """
    return squared_w2(x, y).sqrt()


def w2_printed(x: Tensor, y: Tensor) -> Tensor:
    """Return the poster's W2 (B,), float64: that of N points of mass 1, √N times `w2`.

    OT Eq. 2   W2(μ, ν) = min_σ (Σ_i ‖x_i - y_σ(i)‖²)^½, as printed
    """
    return cost(x, y, optimal(x, y)).sqrt()


def displacement(x: Tensor, y: Tensor, sigma: Tensor, s: float | Tensor) -> Tensor:
    """Return the cloud (B, N, D) at place s, a number or (B,), on the way from x to y.

    OT Sec. 4   μ_s = 1/N Σ δ of (1-s) x_i + s y_σ(i); at σ* it is the geodesic:
                W2(μ_s, μ_t) = |t - s| W2(μ_0, μ_1)
    """
    return lerp(x, matched(y, sigma), s)


def prompt_walk(clouds: Tensor, couplings: Tensor, frames: int) -> Tensor:
    """Return the clouds (F, N, D) of a walk through K clouds (K, N, D), `frames` to a leg.

    `couplings` (K - 1, N) pair each cloud with the next. F = (K - 1)(frames - 1) + 1: legs share
    their ends, and every cloud is visited, up to the order of its points. Raises ValueError for a
    walk without two clouds, two frames and a coupling per leg.
    """
    if len(clouds) < 2 or frames < 2 or couplings.shape != (len(clouds) - 1, clouds.shape[1]):
        raise ValueError(
            f"a walk needs 2 clouds, 2 frames and a coupling per leg, got {tuple(clouds.shape)}, "
            f"{frames} and {tuple(couplings.shape)}"
        )
    legs = [
        torch.cat([displacement(a, b, sigma, i / (frames - 1)) for i in range(frames)])
        for a, b, sigma in zip(clouds[:-1, None], clouds[1:, None], couplings[:, None], strict=True)
    ]
    return torch.cat([legs[0], *(leg[1:] for leg in legs[1:])])


def step_lengths(clouds: Tensor) -> Tensor:
    """Return W2 (F - 1,), float64, between neighbours of a walk (F, N, D), optimally coupled anew.

    OT Sec. 4   better couplings result in shorter paths through Wasserstein space
    """
    return w2(clouds[:-1], clouds[1:])


def path_length(clouds: Tensor) -> Tensor:
    """Return the length of a walk (F, N, D) through Wasserstein space, a float64 scalar.

    OT Sec. 4   Σ_k W2(μ_{k-1}, μ_k), least for the optimal coupling, where it is W2(μ_0, μ_1)
    """
    return step_lengths(clouds).sum()


def gaussian_squared_w2(x: Tensor, y: Tensor) -> Tensor:
    """Return W2² (B,), float64, of the two Gaussians with the clouds' means and covariances.

    Gelbrich   ‖m_x - m_y‖² + tr(A + B - 2 (A^½ B A^½)^½); with A = X̄ᵀX̄/N of the centred points the
               last trace is ‖X̄ Ȳᵀ‖_* / N, a nuclear norm of N × N

    Never above `squared_w2`: it knows two moments of each cloud alone.
    """
    check_clouds(x, y)
    x, y = x.double(), y.double()
    mean_x, mean_y = x.mean(dim=1, keepdim=True), y.mean(dim=1, keepdim=True)
    x, y = x - mean_x, y - mean_y
    spread = x.square().sum(dim=(1, 2)) + y.square().sum(dim=(1, 2))
    shared = torch.linalg.svdvals(x @ y.mT).sum(dim=1)
    return (mean_x - mean_y).square().sum(dim=(1, 2)) + (spread - 2 * shared) / x.shape[1]


def barycentre(clouds: Tensor, weights: Sequence[float], rounds: int = 100) -> Tensor:
    """Return a cloud (N, D), float64, of least Σ_k λ_k W2²(·, μ_k) to the clouds (K, N, D).

    Álvarez-Esteban et al. 2016   x_i ← Σ_k λ_k y^k_{σ_k(i)}, σ_k the optimal coupling of x with μ_k

    Starts at the heaviest cloud and stops when no coupling changes. No round increases the sum; it
    ends at a fixed point, which for K = 2 is the displacement at s = λ_2 and for more a minimum
    among those reached by couplings. Raises ValueError on weights that are not positive. Raises
    RuntimeError if couplings still change after `rounds`.
    """
    share = torch.as_tensor(weights, dtype=torch.float64, device=clouds.device)
    if share.shape != clouds.shape[:1] or not (share > 0).all() or not share.isfinite().all():
        raise ValueError(f"weights: got {list(weights)}, wanted {len(clouds)} positive numbers")
    share = share / share.sum()
    points = clouds.double()
    x = points[int(share.argmax())]
    before = None
    for _ in range(rounds):
        sigma = optimal(x.expand_as(points), points)
        if before is not None and torch.equal(sigma, before):
            return x
        x = (share[:, None, None] * matched(points, sigma)).sum(dim=0)
        before = sigma
    raise RuntimeError(f"barycentre: the couplings still change after {rounds} rounds, give more")
