"""Null-text inversion: the ∅_t with which a guided DDIM walk goes back to a given image.

Papers: Null-text Inversion (Mokady et al., arXiv 2211.09794); for two images with one sequence ∅_t,
the supplement of Smooth Diffusion (arXiv 2312.04410), A.4. Rates, stopping rule and the number of
inner steps are those of the released code.

Notation  x̃_t = pivot[i], (S + 1, B, C, h, w), what DDIM inversion passed at times[i]; ξ = context
          (B, L, D); ∅ = null (G, L, D), each shared by B / G consecutive images; w the guidance
          scale (Smooth Eq. 5). G = B is one ∅ per image, G = B / 2 the dual form, pair by pair
Time      `times` descends as in ddim.py: step i goes from times[i] to times[i + 1]
Precision ∅ and its gradient stay in null's dtype whatever the network computes in. The network is
          differentiated for the sum of squares, not the mean, so that float16 does not underflow
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from latentgeo.core import ddim
from latentgeo.core.guidance import PredictWithContext, guide, guided
from latentgeo.core.parameterization import Predict
from latentgeo.core.precision import widened
from latentgeo.core.schedule import Schedule, batch_time, check_times

RATE = 1e-2  # Adam's, at the first step
ENOUGH = 1e-5  # mean squared error at which the first step's fit stops
SLACK = 2e-5  # added to it from step to step
PUBLISHED = 100  # steps over which the released rate falls to 0
INNER = 10  # updates of ∅_t at most
BETA_1, BETA_2, TINY = 0.9, 0.999, 1e-8  # Adam's own

Invert = Callable[..., Tensor]  # ddim.invert or ddim.invert_official


def learning_rate(step: int, count: int) -> float:
    """Return Adam's rate at step 0 … count - 1 of `count`.

    NTI Alg. 1   η, in the released code 1e-2 (1 - i/100)

    The released rule is 0 at i = 100 and negative from there, which is an error; above 100 steps
    the same descent is taken over all of them, so that it ends just above 0 for any count.
    """
    return RATE * (1 - step / max(PUBLISHED, count))


def tolerance(step: int, count: int) -> float:
    """Return the mean squared error that is good enough at step 0 … count - 1 of `count`.

    NTI Alg. 1   the released code's early stop, 1e-5 + 2e-5 i; above 100 steps it rises as far over
                 all of them as the released one over 100
    """
    return ENOUGH + SLACK * step * PUBLISHED / max(PUBLISHED, count)


@torch.no_grad()
def pivots(
    invert: Invert, predict: Predict, schedule: Schedule, x_0: Tensor, times: tuple[int, ...]
) -> Tensor:
    """Return the pivot x̃ (S + 1, B, C, h, w) of x_0 (B, C, h, w), noise first, x_0 itself last.

    NTI Alg. 1   z*_T, …, z*_0 by DDIM inversion with w = 1
    """
    passed = [x_0]
    invert(predict, schedule, x_0, times, on_step=lambda t, x: passed.append(x))
    return torch.stack(passed[::-1])


def descend(
    predict: PredictWithContext,
    schedule: Schedule,
    pivot: Tensor,
    times: tuple[int, ...],
    context: Tensor,
    null: Tensor,
    w: float,
    inner: int = INNER,
    first: int = 0,
    x: Tensor | None = None,
    from_pivot: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (∅_t (G, L, D), x̄_{t-1} (B, C, h, w)) step by step, from the noise pivot[0] down.

    NTI Alg. 1     ∅_t starts as ∅_{t+1}; x̄_{t-1} = DDIM(x̄_t, t, ξ, ∅_t) with the ∅_t just found
    SmoothS Eq. 4  min over ∅_t of ‖x̃_{t-1} - DDIM(x̄_t, t, ξ, ∅_t)‖², as `fit` has it
    SmoothS Eq. 5  the same summed over the images that share ∅_t

    As both are printed every step is fitted from the pivot's own x̃_t, not from where the ∅ before
    led: `from_pivot` does so, and x̄_{t-1} is then where ∅_t leads from x̃_t. NTI Alg. 1 and the
    released code correct the errors of the steps before; the print does not know them.

    To go on after `first` steps, give them, the x̄ and the ∅ that the last of them yielded. The
    conditional ε is computed once per step. Raises ValueError for w = 1, where ∅ has no effect.
    """
    _check(schedule, pivot, times, context, null, w)
    count, share = len(times) - 1, pivot.shape[1] // len(null)
    x = pivot[0] if x is None else x
    for i, (t, t_prev) in list(enumerate(pairwise(times)))[first:]:
        x = pivot[i] if from_pivot else x
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        eps_cond = _no_grad(predict, x, now, context)
        goal = Goal(schedule, x, eps_cond, pivot[i + 1], now, prev, w)
        null = fit(predict, goal, null, learning_rate(i, count), tolerance(i, count), inner)
        eps_null = _no_grad(predict, x, now, null.repeat_interleave(share, 0))
        x = ddim.step(schedule, x, guide(eps_cond, eps_null, w), now, prev)
        yield null, x


@dataclass(frozen=True, eq=False)
class Goal:
    """Where a step from x_t is to land, and all of the step but ε(x_t, t, ∅); one row per image."""

    schedule: Schedule
    x_t: Tensor  # (B, C, h, w)
    eps_cond: Tensor  # ε(x_t, t, ξ)
    target: Tensor  # x̃_{t-1}
    t: Tensor  # (B,)
    t_prev: Tensor
    w: float

    def rows(self, chosen: Tensor) -> Goal:
        """Return the goal of some of the images, by index."""
        names = ("x_t", "eps_cond", "target", "t", "t_prev")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def miss(self, eps_null: Tensor) -> Tensor:
        """Return per image (B,) the squared distance of the step with ε(x_t, t, ∅) (B, C, h, w).

        SmoothS Eq. 4   ‖x̃_{t-1} - DDIM(x_t, t, ξ, ∅_t)‖²
        """
        eps = guide(widened(self.eps_cond), widened(eps_null), self.w)
        landed = ddim.step(self.schedule, widened(self.x_t), eps, self.t, self.t_prev)
        return (landed - widened(self.target)).square().flatten(1).sum(1)


def fit(
    predict: PredictWithContext, goal: Goal, null: Tensor, rate: float, enough: float, inner: int
) -> Tensor:
    """Return ∅_t (G, L, D) after at most `inner` updates by Adam from `null` (G, L, D).

    NTI Alg. 1   ∅_t ← ∅_t - η ∇_∅ ‖z*_{t-1} - z_{t-1}(z̄_t, ∅_t, C)‖², N times

    Each ∅ stops by itself, after the update whose own error was below `enough`, as in the released
    code; what has stopped is no longer computed. Errors are means over elements, summed over the
    images of one ∅ (the released losses).
    """
    null, share = null.clone(), len(goal.x_t) // len(null)
    m, v = torch.zeros_like(null), torch.zeros_like(null)
    active = torch.arange(len(null), device=null.device)
    for n in range(1, inner + 1):
        members = (active[:, None] * share + torch.arange(share, device=null.device)).flatten()
        error, slope = gradient(predict, goal.rows(members), null[active])
        m[active] = BETA_1 * m[active] + (1 - BETA_1) * slope
        v[active] = BETA_2 * v[active] + (1 - BETA_2) * slope**2
        null[active] -= adam_step(m[active], v[active], n, rate)
        active = active[error >= enough]
        if not len(active):
            break
    return null


def gradient(predict: PredictWithContext, goal: Goal, null: Tensor) -> tuple[Tensor, Tensor]:
    """Return the error (G,) of each ∅ (G, L, D) and its gradient (G, L, D).

    SmoothS Eq. 5   ∇_∅ Σ over the images that share ∅ of ‖x̃_{t-1} - DDIM(x_t, t, ξ, ∅)‖² / (C h w)
    """
    share, size = len(goal.x_t) // len(null), goal.x_t[0].numel()
    with torch.enable_grad():
        leaf = null.detach().requires_grad_()
        missed = goal.miss(predict(goal.x_t, goal.t, leaf.repeat_interleave(share, 0)))
        (slope,) = torch.autograd.grad(missed.sum(), leaf)
    return missed.detach().unflatten(0, (-1, share)).sum(1) / size, slope / size


def adam_step(m: Tensor, v: Tensor, n: int, rate: float) -> Tensor:
    """Return what update n = 1, 2, … takes from a parameter with running moments m and v.

    Adam Alg. 1   α m̂ / (√v̂ + ε), m̂ = m/(1 - β_1ⁿ), v̂ = v/(1 - β_2ⁿ)
    """
    return rate * (m / (1 - BETA_1**n)) / ((v / (1 - BETA_2**n)).sqrt() + TINY)


@torch.no_grad()
def sample(
    predict: PredictWithContext,
    schedule: Schedule,
    x: Tensor,
    times: tuple[int, ...],
    context: Tensor,
    nulls: Tensor,
    w: float,
) -> Tensor:
    """Take x (B, C, h, w) at times[0] down to times[-1] with ∅_t = nulls[i], (S, G, L, D).

    Smooth Eq. 5   ε(x_t, t, ξ, ∅_t) = w ε(x_t, t, ξ) + (1-w) ε(x_t, t, ∅_t), then Smooth Eq. 3

    Raises ValueError unless there is one ∅_t for every step.
    """
    check_times(schedule, times)
    if len(nulls) != len(times) - 1:
        raise ValueError(f"nulls: got {len(nulls)}, wanted one for each of {len(times) - 1} steps")
    for null, (t, t_prev) in zip(nulls, pairwise(times), strict=True):
        own = null.repeat_interleave(len(x) // len(null), 0)
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        x = ddim.step(schedule, x, guided(predict, context, own, w)(x, now), now, prev)
    return x


@torch.no_grad()
def _no_grad(predict: PredictWithContext, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
    return predict(x, t, context)


def _check(
    schedule: Schedule,
    pivot: Tensor,
    times: tuple[int, ...],
    context: Tensor,
    null: Tensor,
    w: float,
) -> None:
    check_times(schedule, times)
    if w == 1:
        raise ValueError("w = 1 leaves out the null text: null-text inversion needs another w")
    if len(pivot) != len(times) or len(context) != pivot.shape[1]:
        got = f"{tuple(pivot.shape)} and context {tuple(context.shape)}"
        raise ValueError(f"pivot: got {got} for {len(times)} times, wanted a row each, B alike")
    if len(null) < 1 or pivot.shape[1] % len(null):
        raise ValueError(f"null: got {len(null)} for {pivot.shape[1]} images, wanted a divisor")
