"""Disentangled edits: a weight per step that mixes two texts, found through the sampler itself.

Wu et al., arXiv 2212.08698. Early steps lay an image out and late ones fill it in, so that the
target's text may change what is wanted and nothing else if it enters at the right steps. Which
those are is found by descent: of a directional loss that asks for the change, and of a perceptual
one that keeps the image.

Notation  c^(0), c^(1) are `source` and `target`, (B, L, D) or (1, L, D); λ_t `weights` (N, B), one
          per step and image, 1 the source's text; x^(λ) what the mixed texts draw
Time      the paper's t; `times` is a descending tuple of N + 1 (schedule.times)
Memory    of the last steps, as many as are kept: each before them is computed again in the backward
          pass, from the x_t it began with, which makes a pass half as long again
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from latentgeo.core import ddim
from latentgeo.core.guidance import PredictWithContext
from latentgeo.core.precision import widened
from latentgeo.core.schedule import Schedule, batch_time, check_times, column

KEPT = 0.4  # share of the steps that begin with the source's text, 20 of 50 as released


def mixed(source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return c_t (B, L, D) of two texts and their weights λ_t (B,).

    Disentangle Sec. 4a   c_t = λ_t c^(0) + (1-λ_t) c^(1)
    """
    share = column(weight, source)
    return share * source + (1 - share) * target


def sample_mixed(
    predict: PredictWithContext,
    schedule: Schedule,
    x_T: Tensor,
    times: tuple[int, ...],
    source: Tensor,
    target: Tensor,
    weights: Tensor,
    kept: int = 1,
) -> Tensor:
    """Return x^(λ) (B, ...) that x_T (B, ...) denoises to; differentiable in λ at any length.

    Disentangle Sec. 4a   DDIM's steps, each with ε(x_t, t, c_t)

    `predict(x_t, t, context)` is guided already. The last `kept` steps keep their graphs, so that 1
    has the memory of one step; λ's gradient is the same for any. Raises ValueError for weights of
    another shape.
    """
    check_times(schedule, times)
    if weights.shape != (len(times) - 1, len(x_T)):
        wanted = (len(times) - 1, len(x_T))
        raise ValueError(f"weights: got {tuple(weights.shape)}, wanted {wanted}, steps by images")

    def step(x: Tensor, weight: Tensor, t: int, t_prev: int) -> Tensor:
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        eps = predict(x, now, mixed(source, target, weight))
        return ddim.step(schedule, x, eps, now, prev)

    x, again = x_T, len(weights) - kept
    for i, (weight, (t, t_prev)) in enumerate(zip(weights, pairwise(times), strict=True)):
        run = step if i >= again else recomputed(step)
        x = run(x, weight, t, t_prev)
    return x


def recomputed(step: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a step without randomness that keeps its arguments alone, and no graph."""
    return partial(checkpoint, step, use_reentrant=False, preserve_rng_state=False)


def first_weights(steps: int, count: int, like: Tensor) -> Tensor:
    """Return the λ (N, B) that the descent begins with.

    Disentangle Sec. 4b   1 in the first 20 of 50 steps, 0 in the others, as released
    """
    weights = like.new_zeros(steps, count)
    weights[: round(KEPT * steps)] = 1
    return weights


def loss(direction: Tensor, perceptual: Tensor, beta: float) -> Tensor:
    """Return L (B,) of L_direction (B,) and the perceptual distance to the source (B,).

    Disentangle Sec. 4b   min over λ of L_CLIP(x^(λ), y^(1)) + β L_perc(x^(λ), x^(0)), with L_CLIP
                          of directions: 1 - cos(ΔI, ΔT), Asyrp Eq. 4
    """
    return widened(direction) + beta * widened(perceptual)


def fit(
    draw: Callable[[Tensor], Tensor],
    judge: Callable[[Tensor], Tensor],
    weights: Tensor,
    rounds: int,
    rate: float,
) -> Tensor:
    """Return λ (N, B) after `rounds` of Adam, each image's as it would be found alone.

    Disentangle Sec. 4b   `draw(λ)` is x^(λ) (B, ...), `judge(x^(λ))` the loss (B,)
    """
    found = weights.detach().clone().requires_grad_()
    adam = torch.optim.Adam([found], lr=rate)
    with torch.enable_grad():
        for _ in range(rounds):
            (found.grad,) = torch.autograd.grad(judge(draw(found)).sum(), found)
            adam.step()
    return found.detach()
