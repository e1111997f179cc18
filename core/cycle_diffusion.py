"""Cycle Diffusion: the noises that a stochastic sampler would have drawn on its way to an image.

Wu & De la Torre, arXiv 2210.05559. The DPM encoder finds them under the source's prompt; drawn with
them under the target's, the image changes as far as the prompts differ, and under the source's own
it comes back whole.

Notation  μ_T(x_t, t) the mean of a step of the sampler, σ_t its noise (DDIM Eq. 16); η 1 is DDPM,
          towards 0 DDIM; d_t = σ_t ε_t `offsets`: what the step adds to its mean
Time      the paper's t; `times` is a descending tuple of N + 1. Of skipped steps only the last are
          given (schedule.late_times), down from the paper's T_es = times[0]
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from latentgeo.core import ddim
from latentgeo.core.ddpm import q_sample
from latentgeo.core.parameterization import Predict, eps_from_x_0
from latentgeo.core.schedule import Schedule, batch_time, check_times


@dataclass(frozen=True, eq=False)
class Code:
    """What an image is drawn from: the sampler's start and all that it adds on its way."""

    start: Tensor  # x at times[0], (B, ...)
    offsets: Tensor  # d_t = σ_t ε_t (N, B, ...), in the order of the steps


def forward_path(
    schedule: Schedule, x_0: Tensor, times: tuple[int, ...], eta: float, noises: Tensor
) -> Tensor:
    """Return x at each of the N + 1 times (N + 1, B, ...), drawn for an image x_0 (B, ...).

    Cycle Sec. 3.2   x_1, …, x_{T-1}, x_T ~ q(x_{1:T} | x_0), as x_T ~ q(x_T | x_0) and then
                     x_{t-1} ~ q(x_{t-1} | x_t, x_0); the last, at times[-1], is x_0 itself

    noises (N, B, ...), standard normal, are used one per time above the last. Raises ValueError for
    another number of them.
    """
    check_times(schedule, times)
    if len(noises) != len(times) - 1:
        raise ValueError(f"noises has {len(noises)} rows: give one per step, {len(times) - 1}")
    x = q_sample(schedule, x_0, batch_time(times[0], x_0), noises[0])
    path = [x]
    for (t, t_prev), noise in zip(pairwise(times[:-1]), noises[1:], strict=True):
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        eps = eps_from_x_0(schedule, x, x_0, now)
        x = ddim.step_from_x_0(schedule, x_0, eps, now, prev, eta, noise)
        path.append(x)
    return torch.stack([*path, x_0])


def encode(
    predict: Predict, schedule: Schedule, path: Tensor, times: tuple[int, ...], eta: float
) -> Code:
    """Return what the sampler would have added at each step of a path (N + 1, B, ...).

    Cycle Sec. 3.2   ε_t = (x_{t-1} - μ_T(x_t, t)) / σ_t, t = T, …, 1, and z = (x_T ⊕ ε_T ⊕ … ⊕ ε_1)
                     (rearranged: d_t = σ_t ε_t, since σ_t is 0 on clean data and where η is 0)
    """
    offsets = [
        x_prev - mean(predict, schedule, x, t, t_prev, eta)
        for x, x_prev, (t, t_prev) in zip(path[:-1], path[1:], pairwise(times), strict=True)
    ]
    return Code(path[0], torch.stack(offsets))


def decode(
    predict: Predict, schedule: Schedule, code: Code, times: tuple[int, ...], eta: float
) -> Tensor:
    """Return the image (B, ...), at times[-1], that the sampler draws from a code.

    Cycle Alg. 1   x̂_{t-1} = μ_T(x̂_t, t | t̂) + σ_t ε_t, from x̂_{T_es} = x_{T_es}
    """
    x = code.start
    for offset, (t, t_prev) in zip(code.offsets, pairwise(times), strict=True):
        x = mean(predict, schedule, x, t, t_prev, eta) + offset
    return x


def mean(
    predict: Predict, schedule: Schedule, x_t: Tensor, t: int, t_prev: int, eta: float
) -> Tensor:
    """Return μ_T(x_t, t) (B, ...), where a step from t to t_prev lands without its noise."""
    now, prev = batch_time(t, x_t), batch_time(t_prev, x_t)
    return ddim.step(schedule, x_t, predict(x_t, now), now, prev, eta, torch.zeros_like(x_t))


def cycle_diffusion(
    source: Predict,
    target: Predict,
    schedule: Schedule,
    x_0: Tensor,
    noises: Tensor,
    times: tuple[int, ...],
    eta: float,
) -> Tensor:
    """Return the edit (B, ...) of images x_0 (B, ...): encoded by `source`, decoded by `target`.

    Cycle Alg. 1   x_{T_es} ~ q(x_{T_es} | x_0); for t = T_es, …, 1:
                   x_{t-1} ~ q(x_{t-1} | x_t, x_0), ε_t of the source's μ_T, x̂_{t-1} of the target's

    noises (N, B, ...) as in `forward_path`; target = source gives x_0 back to rounding.
    """
    path = forward_path(schedule, x_0, times, eta, noises)
    return decode(target, schedule, encode(source, schedule, path, times, eta), times, eta)
