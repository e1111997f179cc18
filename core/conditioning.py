"""How isotropic and how homogeneous a map's metric JᵀJ is: condition number and variance.

Hahm et al. (arXiv 2407.11451), Appendix D, after Lee et al. (ICLR 2022): a scaled isometry has the
condition number 1 everywhere (isotropic), and the same singular values everywhere (homogeneous).

Notation   J (m, n) the Jacobian of the encoder x_t ↦ h at one sample, σ_1 ≥ … ≥ σ_k its singular
           values, k = min(m, n); a rank below that is a condition number of ∞. Iso prints
           σ_i = λ_i², but σ_i = √λ_i with λ_i of JᵀJ
Size       `all_values` forms J, for a small side of some hundreds; h averaged over cells
           (`pooled`), as the released code measures it, is such a map. Of a larger J,
           `core/bidiagonal.py` finds both ends of the spectrum
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.core.linearize import Map, jacobian, pull
from latentgeo.core.precision import widened


def pooled(h: Tensor, cell: int) -> Tensor:
    """Return h (B, C, H, W) averaged over squares of `cell`, or over all of a smaller map.

    The released code's AvgPool2d(k), which makes J small enough to be decomposed; `cell` 1 is h.
    Raises ValueError for a cell that does not divide both sides.
    """
    size = min(cell, *h.shape[2:])
    if cell < 1 or h.shape[2] % size or h.shape[3] % size:
        raise ValueError(f"cell must divide the sides {tuple(h.shape[2:])} of h, got {cell}")
    return h if size == 1 else F.avg_pool2d(h, size)


@torch.no_grad()
def all_values(f: Map, x: Tensor, chunk: int | None = None) -> Tensor:
    """Return every singular value (B, min(m, n)) of f's Jacobian at x (B, ...), in falling order.

    J is formed by its smaller side, `chunk` rows or columns at a time, one sample after another.
    """
    y = f(x[:1])
    if y[0].numel() >= x[0].numel():
        return torch.linalg.svdvals(widened(jacobian(f, x, chunk=chunk, samples=1)))
    basis = torch.eye(y[0].numel(), dtype=y.dtype, device=y.device).reshape(-1, *y.shape)
    rows = [pull(f, one, basis, chunk).flatten(1) for one in x.split(1)]  # each (m, n)
    return torch.linalg.svdvals(widened(torch.stack(rows)))


def condition_number(values: Tensor) -> Tensor:
    """Return the condition number (B,) of singular values (B, k), k ≥ 1; ∞ where one is 0.

    Iso Eq. 10   MCN = E[σ_M(J(x_t)) / σ_m(J(x_t))], the mean of these
    """
    return widened(values.amax(1)) / values.amin(1)


def variance_of_values(values: Tensor) -> Tensor:
    """Return the sum () over i of the variance over samples of σ_i, from values (N, k), N ≥ 2.

    Iso Eq. 11   VoR = Σ_i Var[σ_i(J(x_t))], without bias

    Of ln σ_i it is the released code's, which does not change with the scale of J. Raises
    ValueError for other shapes.
    """
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(f"values: got {tuple(values.shape)}, wanted (N, k) with N >= 2")
    return widened(values).var(0).sum()
