"""Couplings: which token of one prompt goes to which token of another.

Paper: The Role of Embedding Geometry in Image Interpolation for Stable Diffusion (poster; the full
version is arXiv 2511.12757). A prompt's embedding is a cloud of N points in R^D, and a coupling of
two clouds is a permutation: x_i goes to y_σ(i). Each function returns one per pair of clouds.

Notation  x, y (B, N, D) clouds; σ (B, N), int64, `sigma`
Costs     Σ‖x_i - y_σ(i)‖² is least where Σ⟨x_i, y_σ(i)⟩ is largest, so a cost is an inner product:
          of centred points, in float64, on the CPU.
Ties      Padding and end tokens are near-duplicates. Of couplings that cost the same up to rounding
          the one with the least Σ(i - σ(i))² is taken: duplicates keep the order of their index,
          whatever the batch and the processor. For it every cost has TIE (i - j)² max|⟨x, y⟩| more,
          which is above rounding, and over a whole coupling below 3e-8 max|⟨x, y⟩| at N = 77.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TIE = 2.0**-44  # weight of (i - j)² in a cost, in units of the largest inner product
PART = 4  # pairs at a time: their float64 copies stay in the processor's cache


def index(x: Tensor) -> Tensor:
    """Return σ(i) = i (B, N), which the rows of CLIP's matrix induce.

    OT Sec. 2.2   the CLIP matrix induces a coupling by pairing off corresponding rows
    """
    return torch.arange(x.shape[1], device=x.device).repeat(len(x), 1)


def random(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return uniformly random permutations (B, N), drawn on the CPU."""
    drawn = [torch.randperm(x.shape[1], generator=generator) for _ in range(len(x))]
    return torch.stack(drawn).to(x.device)


def optimal(x: Tensor, y: Tensor) -> Tensor:
    """Return σ* (B, N), the permutation of least Σ_i ‖x_i - y_σ(i)‖² for each pair (B, N, D).

    OT Sec. 3   T_μ^ν(x_i) = y_σ*(i) for an optimal coupling σ*

    Exact, up to the rule for ties. If y is x in another order, equal points meet, also where
    rounding hides which they are. Raises ValueError on shapes that differ and values not finite.
    """
    check_clouds(x, y)
    return _in_parts(_optimal, x, y)


def worst(x: Tensor, y: Tensor) -> Tensor:
    """Return the permutation (B, N) of most Σ_i ‖x_i - y_σ(i)‖² for each pair (B, N, D).

    That is the optimal one from x to -y: ‖x - y‖² and ‖x + y‖² differ in the sign of ⟨x, y⟩ alone.
    """
    check_clouds(x, y)
    return _in_parts(lambda a, b: assign(inner_costs(a, -b)), x, y)


def partial(x: Tensor, y: Tensor, real_x: Tensor, real_y: Tensor) -> Tensor:
    """Return the best permutation (B, N) of real tokens among themselves, padding among itself.

    Real are the first real_x (B,) tokens of x and the first real_y (B,) of y. Where the counts
    differ, the smaller set finds partners in the larger, whose rest is matched with padding. Raises
    ValueError like `optimal`, and on counts outside 0..N.
    """
    check_clouds(x, y)
    for name, real in (("real_x", real_x), ("real_y", real_y)):
        if real.shape != x.shape[:1] or not ((real >= 0) & (real <= x.shape[1])).all():
            raise ValueError(
                f"{name}: got {real.tolist()}, wanted {len(x)} counts in 0..{x.shape[1]}"
            )
    return _in_parts(_partial, x, y, real_x, real_y)


def inverse(sigma: Tensor) -> Tensor:
    """Return σ⁻¹ (B, N): the coupling from y back to x."""
    return sigma.argsort(dim=1)


def check_clouds(x: Tensor, y: Tensor) -> None:
    """Raise ValueError unless x and y are clouds of one shape (B, N, D)."""
    if x.shape != y.shape or x.ndim != 3 or not x.numel():
        raise ValueError(
            f"clouds must have one shape (B, N, D), got {tuple(x.shape)} and {tuple(y.shape)}"
        )


def inner_costs(x: Tensor, y: Tensor) -> Tensor:
    """Return the costs (B, N, N), float64, of sending x_i to y_j: -⟨x_i, y_j⟩ and TIE's share.

    Points are taken from the mean of y, which changes every permutation's cost by the same. Raises
    ValueError on values that are not finite.
    """
    x, y = (cloud.to(torch.float64, copy=True) for cloud in (x, y))
    centre = y.mean(dim=1, keepdim=True)
    x -= centre
    y -= centre
    costs = torch.bmm(x, y.mT).neg_()
    largest = costs.abs().amax(dim=(1, 2), keepdim=True)
    if not largest.isfinite().all():
        name = "x" if y.isfinite().all() else "y"
        raise ValueError(f"{name}: got a cloud with values that are not finite")
    place = torch.arange(x.shape[1], dtype=torch.float64)
    return costs.add_((place[:, None] - place).square() * (TIE * largest))


def assign(costs: Tensor) -> Tensor:
    """Return the permutation (B, N) of least total cost for each matrix of costs (B, N, N).

    An infinite cost forbids a pair. Every column, then every row is reduced by its least cost
    first, which changes no optimum and halves the solver's work.
    """
    from scipy.optimize import linear_sum_assignment

    reduced = costs - costs.amin(dim=1, keepdim=True)
    reduced -= reduced.amin(dim=2, keepdim=True)
    return torch.stack([torch.from_numpy(linear_sum_assignment(one)[1]) for one in reduced.numpy()])


def relabelling(x: Tensor, y: Tensor) -> Tensor | None:
    """Return σ (N,) with x_i = y_σ(i) to the last bit, or None if y (N, D) is not x reordered.

    Equal points are matched in the order of their index.
    """
    orders = [_by_value(cloud) for cloud in (x, y)]
    if not torch.equal(x[orders[0]], y[orders[1]]):
        return None
    return orders[1][orders[0].argsort()]


def _in_parts(solve: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Return solve(*parts) (B, N) of every few pairs, on the CPU, moved to the tensors' device."""
    parts = zip(*(tensor.detach().cpu().split(PART) for tensor in tensors), strict=True)
    return torch.cat([solve(*part) for part in parts]).to(tensors[0].device)


def _optimal(x: Tensor, y: Tensor) -> Tensor:
    """Return the optimal permutations (B, N) of one part."""
    sigma = assign(inner_costs(x, y))
    first_x, first_y = (cloud[:, :, 0].sort(dim=1).values for cloud in (x, y))
    for i in (first_x == first_y).all(dim=1).nonzero()[:, 0].tolist():
        same = relabelling(x[i], y[i])
        sigma[i] = sigma[i] if same is None else same
    return sigma


def _partial(x: Tensor, y: Tensor, real_x: Tensor, real_y: Tensor) -> Tensor:
    """Return the best permutations (B, N) of one part with real and padding apart."""
    place = torch.arange(x.shape[1])
    is_real_x = (place < real_x[:, None])[:, :, None]  # (B, N, 1)
    is_real_y = (place < real_y[:, None])[:, None, :]  # (B, 1, N)
    fewer = (real_x <= real_y)[:, None, None]
    wasted_x = is_real_x & ~is_real_y & fewer  # a token of the smaller real set on padding
    wasted_y = ~is_real_x & is_real_y & (real_x >= real_y)[:, None, None]
    return assign(inner_costs(x, y).masked_fill(wasted_x | wasted_y, torch.inf))


def _by_value(cloud: Tensor) -> Tensor:
    """Return an order (N,) of the points that depends on their values alone, then on the index."""
    rows = [row.tobytes() for row in (cloud + 0.0).numpy()]  # + 0.0 makes -0 and 0 one
    return torch.tensor(sorted(range(len(rows)), key=rows.__getitem__))
