"""How far a map from a sphere to the plane is from a scaled isometry, in numbers of its own.

Notation  x (B, 3) on the sphere; σ_1 ≥ σ_2 the singular values of the map's Jacobian along the
          sphere, by which it stretches there, most and least; a scaled isometry has one σ at all
          points and in all directions
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.core.isometry import pullback, traces
from latentgeo.core.linearize import jacobian
from latentgeo.eval.toy.autoencoder import exact_loss

Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Distortion:
    """All are 0 for a scaled isometry, but for the first, 1, and the last, 1/2."""

    condition: float  # mean of σ_1/σ_2: how unlike directions are at a point
    spread: float  # standard deviation of all σ over their mean: and how unlike points are
    distances: float  # root mean square error of distances, scaled to fit, over their own
    folded: float  # share of the points where the map is turned over
    loss: float  # L_iso


@torch.no_grad()
def distortion(encode: Encode, x: Tensor) -> Distortion:
    """Return the distortion of the map at x (B, 3).

    Iso Sec. 3   what the contours of Fig. 2 show, in numbers
    """
    values = torch.linalg.eigvalsh(pullback(encode, x))[:, 1:].clamp(min=0).sqrt()  # σ_2, σ_1
    turned = turned_over(encode, x)
    return Distortion(
        condition=(values[:, 1] / values[:, 0]).mean().item(),
        spread=(values.std() / values.mean()).item(),
        distances=distance_error(encode, x),
        folded=min(turned, 1 - turned),
        loss=exact_loss(encode, x),
    )


def turned_over(encode: Encode, x: Tensor) -> float:
    """Return the share of x (B, 3) at which the map shows the sphere from inside."""
    rows = jacobian(encode, x)  # (B, 2, 3)
    normal = torch.linalg.cross(rows[:, 0], rows[:, 1])
    return ((normal * x).sum(1) < 0).double().mean().item()


def distance_error(encode: Encode, x: Tensor) -> float:
    """Return √(Σ (c d - δ)² / Σ δ²), c the best, of distances δ on the sphere and d in the plane.

    They are between the points of the first half of x (B, 3) and those of the second.
    """
    half = len(x) // 2
    a, b = x[:half], x[half : 2 * half]
    delta = 2 * ((a - b).norm(dim=1) / 2).clamp(max=1).asin()
    d = (encode(a) - encode(b)).norm(dim=1)
    c = (d * delta).sum() / d.square().sum()
    return ((c * d - delta).norm() / delta.norm()).item()


@dataclass(frozen=True, kw_only=True)
class ProbeError:
    """The error of estimated traces with so many probes, as a share of the exact ones."""

    probes: int
    measured: float  # root mean square over points and groups of probes
    predicted: float  # √(2 Tr(R²) / N) / Tr(R), of normal probes
    groups: int


def probe_errors(encode: Encode, x: Tensor, most: int, draw: torch.Generator) -> list[ProbeError]:
    """Return the errors of Tr(R) with 1, 2, 4, … `most` probes at each of the points x (B, 3).

    Iso Eq. 8     Tr(A) ≃ 1/N Σ v_iᵀ A v_i
    Iso Sec. A.1  its error against N: it falls, as 1/√N (printed: increases)
    """
    found, exact, square = probed(encode, x, most, draw)
    scatter = ((2 * square).sqrt() / exact).square().mean().sqrt().item()
    errors = []
    for power in range(int(math.log2(most)) + 1):
        count = 2**power
        means = found.unflatten(0, (-1, count)).mean(1)  # (groups, B)
        measured = (means / exact - 1).square().mean().sqrt().item()
        errors.append(
            ProbeError(
                probes=count,
                measured=measured,
                predicted=scatter / count**0.5,
                groups=means.numel(),
            )
        )
    return errors


def probed(
    encode: Encode, x: Tensor, count: int, draw: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return vᵀRv (count, B) of normal probes, and the exact Tr(R) and Tr(R²), both (B,)."""
    probes = torch.randn(count, *x.shape, generator=draw, dtype=x.dtype)
    R = pullback(encode, x)
    exact = R.diagonal(dim1=1, dim2=2).sum(1), R.square().sum((1, 2))
    stacked = probes.flatten(0, 1).unsqueeze(0)  # all of them as one probe of more points
    found = traces(encode, x.repeat(count, 1), stacked, graph=False).first
    return found.unflatten(1, (count, -1))[0], *exact


def running_estimate(
    encode: Encode, x: Tensor, most: int, draw: torch.Generator
) -> tuple[list[tuple[int, float, float]], float]:
    """Return (N, estimate, standard error) for N = 8, 16, … `most` probes at x (1, 3), and Tr(R).

    Iso Sec. A.1   each estimate has all probes of the one before
    """
    found, exact, _ = probed(encode, x, most, draw)
    rows = []
    for power in range(3, int(math.log2(most)) + 1):
        part = found[: 2**power, 0]
        rows.append((len(part), part.mean().item(), (part.std() / len(part) ** 0.5).item()))
    return rows, exact.item()
