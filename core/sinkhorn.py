"""Entropic transport between clouds, by Sinkhorn's iteration on logarithms.

Peyré & Cuturi, Computational Optimal Transport, arXiv 1803.00567, Sec. 4.

Notation  C (B, N, M) costs ‖x_i - y_j‖²; P (B, N, M) the plan, of mass 1 and uniform marginals;
          ε (B,) the regularization, in the units of C; f (B, N), g (B, M) the potentials:
          P_ij = exp((f_i + g_j - C_ij)/ε) / (N M)
Bias      ⟨P, C⟩ is above the exact cost by at most ε (H(P) - H(P*)) ≤ ε log min(N, M): H(P) is at
          most log N M, and an exact plan that is a vertex has at least log max(N, M).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SHARE = 0.01  # of the exact cost, which the default ε adds at most
LEAST = 1e-4  # of the mean cost: the default ε is that of no smaller exact cost
COOLING = 0.5  # from one ε to the next, on the way from the largest cost to the ε wanted
WARM = 20  # iterations at each ε on the way
CHECK = 20  # iterations between two looks at the marginals


@dataclass(frozen=True, kw_only=True)
class Plans:
    """Entropic plans of B pairs of clouds, and how near they come to what was wanted."""

    plan: Tensor  # P (B, N, M), float64
    cost: Tensor  # ⟨P, C⟩ (B,), to be compared with `transport.squared_w2`
    marginal_error: Tensor  # (B,) Σ_i |Σ_j P_ij - 1/N| + Σ_j |Σ_i P_ij - 1/M|
    epsilon: Tensor  # ε (B,)
    rounds: int  # iterations at that ε


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return C (B, N, M), float64, ‖x_i - y_j‖² of x (B, N, D) and y (B, M, D)."""
    centre = y.double().mean(dim=1, keepdim=True)
    x, y = x - centre, y - centre
    norms = x.square().sum(dim=2)[:, :, None] + y.square().sum(dim=2)[:, None, :]
    return torch.baddbmm(norms, x, y.mT, alpha=-2).clamp(min=0)


def default_epsilon(costs: Tensor) -> Tensor:
    """Return the ε (B,) whose plan costs at most 1 % more than the exact one, for C (B, N, M).

    The exact cost is at least the mean over points of the way to the nearest other point, on either
    side; ε log min(N, M) is 1 % of that, but no less than 1 % of 1e-4 of the mean cost: clouds
    that nearly are one another's copies may cost more than 1 % more.
    """
    nearest = torch.maximum(
        costs.amin(dim=2).mean(dim=1),
        costs.amin(dim=1).mean(dim=1),
    )
    mean = costs.mean(dim=(1, 2))
    least = torch.where(mean > 0, torch.maximum(nearest, LEAST * mean), torch.ones_like(mean))
    return SHARE * least / math.log(max(2, min(costs.shape[1:])))


def sinkhorn(
    x: Tensor,
    y: Tensor,
    epsilon: Tensor | None = None,
    tolerance: float = 1e-3,
    rounds: int = 10_000,
) -> Plans:
    """Return the plans of least ⟨P, C⟩ - ε H(P) between x (B, N, D) and y (B, M, D).

    Sinkhorn   f ← -ε log 1/M Σ_j exp((g_j - C_ij)/ε), then g from f likewise

    ε (B,) is positive, by default `default_epsilon`; it is approached from above. Ends when every
    marginal error is below `tolerance`, or after `rounds` with the error reached, which is part of
    what is returned; an error e moves the cost by at most e max C. Raises ValueError on clouds
    that do not fit and values not finite.
    """
    check_pair(x, y)
    costs = squared_distances(x, y)
    wanted = default_epsilon(costs) if epsilon is None else epsilon.double()
    if wanted.shape != costs.shape[:1] or not (wanted > 0).all():
        raise ValueError(f"epsilon: got {wanted.tolist()}, wanted {len(costs)} positive numbers")
    f, g = costs.new_zeros(costs.shape[:2]), costs.new_zeros(costs.shape[0], costs.shape[2])
    for warm in cooling(costs.amax(dim=(1, 2)), wanted):
        for _ in range(WARM):
            f, g = update(costs, g, warm)
    for done in range(1, rounds + 1):
        f, g = update(costs, g, wanted)
        if done % CHECK == 0 or done == rounds:
            found = plan(costs, f, g, wanted)
            error = marginal_error(found)
            if (error < tolerance).all():
                break
    return Plans(
        plan=found,
        cost=(found * costs).sum(dim=(1, 2)),
        marginal_error=error,
        epsilon=wanted,
        rounds=done,
    )


def update(costs: Tensor, g: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next f (B, N) and g (B, M): each marginal in turn made exact."""
    e = epsilon[:, None, None]
    by_row = ((g[:, None, :] - costs) / e).logsumexp(dim=2) - math.log(costs.shape[2])
    f = -epsilon[:, None] * by_row
    by_column = ((f[:, :, None] - costs) / e).logsumexp(dim=1) - math.log(costs.shape[1])
    return f, -epsilon[:, None] * by_column


def plan(costs: Tensor, f: Tensor, g: Tensor, epsilon: Tensor) -> Tensor:
    """Return P (B, N, M) of potentials f (B, N) and g (B, M)."""
    size = costs.shape[1] * costs.shape[2]
    return ((f[:, :, None] + g[:, None, :] - costs) / epsilon[:, None, None]).exp() / size


def marginal_error(found: Tensor) -> Tensor:
    """Return (B,) the sum of both marginals' distances (L1) from uniform ones, for P (B, N, M)."""
    rows = (found.sum(dim=2) - 1 / found.shape[1]).abs().sum(dim=1)
    columns = (found.sum(dim=1) - 1 / found.shape[2]).abs().sum(dim=1)
    return rows + columns


def cooling(start: Tensor, wanted: Tensor) -> list[Tensor]:
    """Return the ε (B,) from each start down to above the one wanted, by COOLING at a time."""
    steps = math.ceil(float((start / wanted).clamp(min=1).log2().max()) / -math.log2(COOLING))
    return [torch.maximum(start * COOLING**i, wanted) for i in range(steps)]


def check_pair(x: Tensor, y: Tensor) -> None:
    """Raise ValueError unless x (B, N, D) and y (B, M, D) are finite clouds in one space."""
    if x.ndim != 3 or y.ndim != 3 or x.shape[::2] != y.shape[::2] or not x.numel() * y.numel():
        raise ValueError(
            f"clouds must be (B, N, D) and (B, M, D), got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    for name, cloud in (("x", x), ("y", y)):
        if not cloud.isfinite().all():
            raise ValueError(f"{name}: got a cloud with values that are not finite")
