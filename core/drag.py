"""Drag editing: what pulls the features at handle points to target points, and what follows them.

Paper      DragDiffusion (Shi et al., arXiv 2306.14435), Sec. 3.4
Notation   F(ẑ) (C, H, W) features of one decoder layer of the UNet, for the latent ẑ^k_t after k
           updates; h_i^k handle and g_i target points (n, 2), each (x, y); d_i the unit vector from
           h_i^k to g_i; Ω(p, r) the square of points at most r from p in x and in y; sg stops the
           gradient; M (h, w) the mask, 1 where the image may change.
Positions  Indices of the map: (0, 0) is the centre of its first cell and (W - 1, H - 1) that of its
           last, and cells have area. This is `grid_sample`'s align_corners=False, so a map of
           another resolution has the same point at `rescale`. A position outside the map has the
           features of the nearest place on its border.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.core.precision import widened


def rescale(points: Tensor, scale: Tensor) -> Tensor:
    """Return points (..., 2) of one map as those of another, `scale` (2,) = (W'/W, H'/H) as large.

    Of two maps of one image the edges coincide, not the first cells' centres: p' + ½ = s (p + ½).
    """
    return (points + 0.5) * scale - 0.5


def sample(features: Tensor, points: Tensor) -> Tensor:
    """Return F (..., C) of features (C, H, W) at points (..., 2), bilinear between the cells.

    Differentiable in the features and, where the point is inside the map, in the points.
    """
    size = torch.tensor(features.shape[:0:-1], dtype=points.dtype, device=points.device)  # (W, H)
    values = widened(features)  # in bfloat16 a place would be a quarter of a cell off
    grid = ((2 * points + 1) / size - 1).to(values.dtype).reshape(1, 1, -1, 2)
    found = F.grid_sample(values[None], grid, padding_mode="border", align_corners=False)
    return found[0, :, 0].T.reshape(*points.shape[:-1], -1).to(features.dtype)


def square(radius: float, spacing: float, like: Tensor) -> Tensor:
    """Return the offsets (K, 2) of Ω(0, radius), `spacing` apart, the centre among them."""
    count = math.floor(radius / spacing + 1e-9)
    line = torch.arange(-count, count + 1, dtype=like.dtype, device=like.device) * spacing
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).reshape(-1, 2)


def directions(handles: Tensor, targets: Tensor) -> Tensor:
    """Return d (n, 2), of length 1, or 0 where a handle is on its target.

    Drag Sec. 3.4   d_i = (g_i - h_i^k) / ‖g_i - h_i^k‖_2
    """
    way = widened(targets) - widened(handles)
    unit = way / way.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(way.dtype).tiny)
    return unit.to(handles.dtype)


def motion_supervision(features: Tensor, handles: Tensor, steps: Tensor, radius: int) -> Tensor:
    """Return the first term of L_ms () for F(ẑ^k_t) (C, H, W), h^k (n, 2) and d (n, 2).

    Drag Eq. 3   Σ_i Σ_{q ∈ Ω(h_i^k, r_1)} ‖F_{q+d_i}(ẑ^k_t) - sg(F_q(ẑ^k_t))‖_1
    """
    around = handles[:, None] + square(radius, 1, handles)  # (n, K, 2)
    wanted = sample(features.detach(), around)
    return (widened(sample(features, around + steps[:, None])) - widened(wanted)).abs().sum()


def motion_supervision_official(
    features: Tensor, handles: Tensor, steps: Tensor, radius: int
) -> Tensor:
    """Return the first term of L_ms () as the released code weighs it, whose λ belongs to it.

    Drag Eq. 3   the same sum divided by the number of channels C
    """
    return motion_supervision(features, handles, steps, radius) / len(features)


def mask_penalty(z_prev: Tensor, z_prev_0: Tensor, mask: Tensor) -> Tensor:
    """Return the second term of L_ms () without its λ, for ẑ_{t-1} (..., h, w) and M (h, w).

    Drag Eq. 3   ‖(ẑ^k_{t-1} - sg(ẑ^0_{t-1})) ⊙ (1 - M)‖_1, each ẑ_{t-1} one DDIM step below ẑ_t
    """
    return ((widened(z_prev) - widened(z_prev_0.detach())) * (1 - mask)).abs().sum()


def track(
    features: Tensor, templates: Tensor, handles: Tensor, radius: float, spacing: float = 0.25
) -> Tensor:
    """Return h^{k+1} (n, 2), where F(ẑ^{k+1}_t) (C, H, W) is nearest to F_{h_i^0}(z_t) (n, C).

    Drag Eq. 5   h_i^{k+1} = argmin over q ∈ Ω(h_i^k, r_2) of ‖F_q(ẑ^{k+1}_t) - F_{h_i^0}(z_t)‖_1

    q runs over points `spacing` apart, not over whole cells only, and stays on the map. Of equal
    ones the nearest to h_i^k wins.
    """
    offsets = square(radius, spacing, handles)
    offsets = offsets[offsets.norm(dim=-1).argsort(stable=True)]  # argmin takes the first of equals
    last = handles.new_tensor([features.shape[2] - 1, features.shape[1] - 1])
    places = (handles[:, None] + offsets).clamp(min=0).minimum(last)  # (n, K, 2)
    away = widened(sample(features, places)) - widened(templates)[:, None]
    distance = away.abs().sum(dim=-1)
    best = distance.argmin(dim=1)
    return places[torch.arange(len(places), device=places.device), best]


def arrived(handles: Tensor, targets: Tensor, tolerance: float) -> Tensor:
    """Return which handles (n, 2) are nearer to their targets than the tolerance, bool (n,)."""
    return (targets - handles).norm(dim=-1) < tolerance
