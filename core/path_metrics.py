"""How a latent walk is answered: the perceptual path length, and how straight h goes.

Hahm et al. (arXiv 2407.11451), Sec. 4.1: PPL after Karras et al. (StyleGAN, CVPR 2019), and the
mean relative trajectory length, mRTL, of the paper itself.

Notation   a, b (B, ...) two noises; w in [0, 1] the place on the arc from a to b; F points of a
           walk; d a distance of two batches of images, (B,)
Scale      LPIPS grows with the square of a small change, so that d / ε² has a limit as ε → 0 and
           d / ε goes to 0 with ε: a PPL per ε is no property of the model alone
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from latentgeo.core.interpolate import slerp
from latentgeo.core.precision import widest

Generate = Callable[[Tensor], Tensor]  # noise (B, ...) to images (B, ...)
Distance = Callable[[Tensor, Tensor], Tensor]  # two batches (B, ...) to (B,)
Scale = Literal["squared", "linear"]
POWERS = {"squared": 2, "linear": 1}


def path_lengths(
    generate: Generate,
    distance: Distance,
    a: Tensor,
    b: Tensor,
    w: Tensor,
    epsilon: float,
    scale: Scale = "squared",
) -> Tensor:
    """Return the path length (B,) of each pair of noises a, b (B, ...) at w (B,) of their arc.

    Iso Sec. 4.1b   PPL = E[1/ε d(x_w, x_{w+ε})], here 1/ε² (corrected; "linear" is as printed),
                   with x_w = generate(slerp(a, b, w)) and one angle per pair

    The distance is divided by a power of ε, so it has no unit but that of d. Keep w ≤ 1 - ε. Raises
    ValueError for other w, an ε outside (0, 1] and a scale that there is not.
    """
    check_epsilon(epsilon)
    if scale not in POWERS:
        raise ValueError(f"scale: got {scale!r}, wanted squared or linear")
    if w.shape != a.shape[:1] or bool(((w < 0) | (w > 1 - epsilon)).any()):
        raise ValueError(f"w: wanted ({len(a)},) in 0..{1 - epsilon:g}, got {w.tolist()}")
    ends = torch.cat([slerp(a, b, w), slerp(a, b, w + epsilon)])
    first, second = generate(ends).chunk(2)
    return distance(first, second) / epsilon ** POWERS[scale]


def check_epsilon(epsilon: float) -> None:
    """Raise ValueError unless ε is a part of a walk."""
    if not 0 < epsilon <= 1:
        raise ValueError(f"epsilon must lie in (0, 1], got {epsilon}")


def nudged(x: Tensor, dtype: torch.dtype, generator: torch.Generator | None = None) -> Tensor:
    """Return x (B, ...), every element times 1 + u/2 · the machine precision, u uniform in [-1, 1).

    The precision is that of `dtype`, in which a network computes: no element moves further than
    rounding to it may move one. What comes of it differs as rounding makes two runs of one input
    differ, and no more: a distance of that size is no measurement.
    """
    u = 2 * torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device) - 1
    return x * (1 + u * torch.finfo(dtype).eps / 2)


def relative_lengths(h: Tensor) -> Tensor:
    """Return the length of each walk's polyline over the distance of its ends, (B,), in 1 … ∞.

    Iso Sec. 4.1c   RTL(t) = E[d_M(t) / d_2(t)], d_M(t) = Σ_k ‖h_{k+1} - h_k‖, d_2(t) = ‖h_F - h_1‖

    h (F, B, ...) are the features at F points of B walks, at one time t. It is 1 where they lie on
    one straight line, in order: of a linear map along a straight walk, and of one that flattens
    great circles along a slerp. An orthogonal map along a slerp of angle θ in K = F - 1 steps has
    K sin(θ/2K) / sin(θ/2), 1.11 at θ = π/2. It is ∞ where the ends meet, NaN if nothing moves.
    Raises ValueError for fewer than two points.
    """
    if h.ndim < 3 or len(h) < 2:
        raise ValueError(f"h: got {tuple(h.shape)}, wanted (F, B, ...) with F >= 2")
    flat = h.to(widest(h.device)).flatten(2)
    steps = flat.diff(dim=0).norm(dim=2).sum(0)
    return steps / (flat[-1] - flat[0]).norm(dim=1)
