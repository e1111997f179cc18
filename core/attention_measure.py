"""Attention as a functional of a measure: what it sees of its tokens is where they are, how often.

Paper: The Role of Embedding Geometry in Image Interpolation for Stable Diffusion (poster; the full
version is arXiv 2511.12757). Order has no place in it, so a prompt is a cloud of points.

Notation  q (N, d) queries; k (M, d), v (M, c) keys and values of M tokens; m (M,) their masses, not
          negative: 1/M each for a prompt as it is, 0 for a token that a mask leaves out
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentgeo.core.precision import widened


def attend(q: Tensor, k: Tensor, v: Tensor, mass: Tensor) -> Tensor:
    """Return A[μ](q) (N, c) for the measure μ = Σ_j m_j δ_(k_j, v_j).

    OT Eq. 1   A(Q, K, V) = softmax_row(QKᵀ/√D) V, here Σ_j m_j e^(⟨q, k_j⟩/√d) v_j over the same
               sum without v_j: for uniform m the print
    OT Sec. 2.1   invariant under a permutation of the rows (tokens) of K, V and m together; the
                  poster says columns

    So a token twice is a token of twice the mass, all tokens twice is no change, and padding counts
    by its number. Raises ValueError on masses that are negative or all zero.
    """
    if mass.shape != k.shape[:1] or not (mass >= 0).all() or not mass.sum() > 0:
        raise ValueError(f"mass: wanted {len(k)} numbers >= 0 with a positive sum, got {mass}")
    logits = widened(q) @ widened(k).mT / q.shape[1] ** 0.5 + widened(mass).log()  # (N, M)
    return (torch.softmax(logits, dim=1) @ widened(v)).to(v.dtype)
