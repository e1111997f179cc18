"""Geodesic shooting: a straight path in h-space, followed from the sphere of noise.

The costlier rival of a move along the slerp, Hahm et al. (arXiv 2407.11451), Sec. 4.3, after Park
et al. (NeurIPS 2023). Where the encoder is no isometry a great circle of the sphere is no geodesic
of h-space. Shooting keeps the velocity u in h-space as straight as the image of the encoder lets it
be: after every small step the local basis is found anew and u is projected on it, which to first
order is parallel transport. What it follows is the geodesic of the pullback metric JᵀJ, of which k
directions are known. An encoder that is a scaled isometry would follow the slerp at no such cost.

Notation  as in `local_basis.py`; u (B, ...) the unit velocity in h-space, v (B, ...) that on the
          sphere, J v ∝ u
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latentgeo.core.local_basis import arc, combined
from latentgeo.core.precision import norms, widened
from latentgeo.core.schedule import column
from latentgeo.core.singular import Singular

Find = Callable[[Tensor], Singular]  # x (B, ...) to its local basis


def transported(basis: Singular, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return u' and v' (B, ...), unit, of a velocity u (B, ...) carried to where `basis` is of.

    Iso Sec. 4.3   parallel transport "via a projection": u' ∝ U Uᵀ u, v' ∝ V Σ⁻¹ Uᵀ u, so that
                   J v' ∝ u'

    Singular values of 0 carry nothing.
    """
    both = widened(basis.left).flatten(2) * widened(u).flatten(1).unsqueeze(1)
    along = both.sum(2)  # Uᵀu (B, k)
    needed = torch.where(basis.values > 0, along / basis.values, 0.0)
    found = combined(widened(basis.left), along), combined(widened(basis.right), needed)
    return _unit(found[0]).to(u.dtype), _unit(found[1]).to(basis.right.dtype)


def shoot(find: Find, x: Tensor, start: tuple[Tensor, Tensor], length: float, steps: int) -> Tensor:
    """Return the points (steps, B, ...) after each of so many steps from x, `length` long in all.

    Iso Eq. 5      the path keeps γ̇ᵀ JᵀJ γ̇ at its shortest: an isometry's is the sphere's own arc
    Iso Sec. 4.3   x ← arc of length ‖Δx‖/steps along v; (u, v) ← `transported` to the basis there

    `start` is (u, v), both (B, ...), of x's own basis. All points have x's norm, and are as far
    apart as those of an arc. A step costs a local basis, `find(x)`; the last one none. Raises
    ValueError for no step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    (u, v), points = start, []
    for i in range(steps):
        x = arc(x, length / steps * _unit(v))
        points.append(x)
        if i + 1 < steps:
            u, v = transported(find(x), u)
    return torch.stack(points)


def _unit(rows: Tensor) -> Tensor:
    return (widened(rows) / column(norms(rows), rows)).to(rows.dtype)
