"""Classifier-free guidance: Ho & Salimans (arXiv 2207.12598).

Notation  w is the scale of Stable Diffusion and of Smooth Diffusion: w = 1 is the conditional
          model, w = 0 the unconditional one. The CFG paper's own w is ours minus 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latentgeo.core.parameterization import Predict

PredictWithContext = Callable[[Tensor, Tensor, Tensor], Tensor]


def guide(eps_cond: Tensor, eps_uncond: Tensor, w: float) -> Tensor:
    """Return the guided ε (B, ...) from the conditional and the unconditional one, both (B, ...).

    Smooth Eq. 5   ε(x_t, t, ξ, ∅) = w ε(x_t, t, ξ) + (1-w) ε(x_t, t, ∅)
    CFG Eq. 6      ε̃ = (1+w') ε(z, c) - w' ε(z), with w' = w - 1
    """
    return w * eps_cond + (1 - w) * eps_uncond


def guided(predict: PredictWithContext, context: Tensor, null: Tensor, w: float) -> Predict:
    """Bind `predict(x_t, t, context)` to a guided `predict(x_t, t) -> ε`.

    Smooth Eq. 5, both halves as one batch of 2B; w = 1 and w = 0 run the one half they need.
    context and null are (B, L, D) or (1, L, D).
    """
    if w in (0, 1):
        only = context if w == 1 else null
        return lambda x_t, t: predict(x_t, t, per_sample(only, x_t))

    def both(x_t: Tensor, t: Tensor) -> Tensor:
        pair = torch.cat([per_sample(context, x_t), per_sample(null, x_t)])
        eps_cond, eps_uncond = predict(torch.cat([x_t, x_t]), torch.cat([t, t]), pair).chunk(2)
        return guide(eps_cond, eps_uncond, w)

    return both


def per_sample(context: Tensor, x_t: Tensor) -> Tensor:
    """Return context (B, L, D) or (1, L, D) with one row per sample of x_t (B, ...).

    Raises ValueError for another number of rows.
    """
    if len(context) not in (1, len(x_t)):
        raise ValueError(
            f"context has {len(context)} rows for a batch of {len(x_t)}: give 1 or {len(x_t)}"
        )
    return context.expand(len(x_t), *context.shape[1:])
