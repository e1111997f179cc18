"""Straight and spherical interpolation between samples.

Smooth Diffusion's supplement (A.3) walks from one Gaussian noise to another by slerp (Shoemake,
SIGGRAPH 1985), so that every latent on the way has the norm a network expects. Directions turn on
the great circle, lengths go linearly: for equal lengths this is Shoemake's formula
sin((1-η)θ)/sin θ a + sin(ηθ)/sin θ b, and it stays finite at θ = 0 and π, where that one does not.

Notation  a, b (B, ...), one angle θ per sample over all its elements; w = η is a number or (B,)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latentgeo.core.precision import widest

Path = Callable[[Tensor, Tensor, float], Tensor]
PARALLEL = 64  # machine precisions: the sine of the angle below which a and b span no plane


def lerp(a: Tensor, b: Tensor, w: float | Tensor) -> Tensor:
    """Return (1-w) a + w b (B, ...) in a's dtype, computed in float64; w is a number or (B,).

    Raises ValueError where the shapes do not fit.
    """
    flat_a, flat_b, ratio = _flatten(a, b, w)
    return ((1 - ratio) * flat_a + ratio * flat_b).to(a.dtype).reshape(a.shape)


def slerp(a: Tensor, b: Tensor, w: float | Tensor) -> Tensor:
    """Return the point (B, ...) at ratio w, a number or (B,), on the arc from a to b (B, ...).

    SmoothS Eq. 3   ε^η = slerp(ε^a, ε^b, η) = ((1-η)‖a‖ + η‖b‖) (cos(ηθ) â + sin(ηθ) n̂),
                    â = a/‖a‖ and n̂ ⊥ â the unit vectors that span the plane of a and b

    Computed in float64, returned in a's dtype. The ends are exact. At θ = π no arc is shortest: n̂
    is then the axis on which â is smallest, made orthogonal to â, so that the norm never collapses
    and the same input gives the same arc. A zero vector has no direction, and its sample is
    interpolated linearly. Raises ValueError where the shapes do not fit, and for single numbers.
    """
    flat_a, flat_b, ratio = _flatten(a, b, w)
    if flat_a.shape[1] < 2:
        raise ValueError(f"slerp needs at least two elements per sample, got {tuple(a.shape)}")
    norm_a, norm_b = flat_a.norm(dim=1, keepdim=True), flat_b.norm(dim=1, keepdim=True)
    unit_a, unit_b = _unit(flat_a), _unit(flat_b)
    across = _orthogonal(unit_b, unit_a)
    angle = torch.atan2(
        across.norm(dim=1, keepdim=True), (unit_a * unit_b).sum(1, keepdim=True)
    )  # (B, 1), in [0, π]
    apart = across.norm(dim=1, keepdim=True) > PARALLEL * torch.finfo(across.dtype).eps
    normal = _unit(_orthogonal(torch.where(apart, _unit(across), _smallest_axis(unit_a)), unit_a))
    arc = (angle * ratio).cos() * unit_a + (angle * ratio).sin() * normal
    straight = (1 - ratio) * flat_a + ratio * flat_b
    out = torch.where(
        (norm_a * norm_b) > 0, ((1 - ratio) * norm_a + ratio * norm_b) * arc, straight
    )
    out = torch.where(ratio == 0, flat_a, torch.where(ratio == 1, flat_b, out))
    return out.to(a.dtype).reshape(a.shape)


def sweep(a: Tensor, b: Tensor, count: int = 11, path: Path = slerp) -> Tensor:
    """Return `count` points (count, B, ...) at uniform ratios 0..1 from a to b (B, ...).

    SmoothS Eq. 3   η = 0, 0.1, ..., 1: 11 points, whose 10 steps are equally long if ‖a‖ = ‖b‖

    Raises ValueError for fewer than two points.
    """
    if count < 2:
        raise ValueError(f"a sweep has both ends: count must be at least 2, got {count}")
    return torch.stack([path(a, b, i / (count - 1)) for i in range(count)])


def _flatten(a: Tensor, b: Tensor, w: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if a.shape != b.shape or a.ndim < 2:
        raise ValueError(
            f"a and b must have one shape (B, ...), got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    exact = widest(a.device)
    ratio = torch.as_tensor(w, dtype=exact, device=a.device)
    if ratio.ndim > 1 or (ratio.ndim == 1 and len(ratio) != len(a)):
        raise ValueError(f"w must be a number or ({len(a)},), got {tuple(ratio.shape)}")
    return a.flatten(1).to(exact), b.flatten(1).to(exact), ratio.expand(len(a)).unsqueeze(1)


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)


def _orthogonal(rows: Tensor, unit: Tensor) -> Tensor:
    return rows - (rows * unit).sum(1, keepdim=True) * unit


def _smallest_axis(unit: Tensor) -> Tensor:
    return torch.zeros_like(unit).scatter(1, unit.abs().argmin(dim=1, keepdim=True), 1.0)
