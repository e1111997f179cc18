"""The learned variance of the reverse process: Nichol & Dhariwal, Improved DDPM (arXiv 2102.09672).

Notation  beta = β_t, β̃_t the variance of the posterior (DDPM Eq. 7), v in [0, 1] the place between
          their logarithms, raw in about [-1, 1] what a network returns for it; x_t, eps = ε, v and
          raw are (B, C, ...)
Time      the paper's t in 1..T as int64 (B,)
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentgeo.core.ddpm import reverse_mean
from latentgeo.core.parameterization import Predict
from latentgeo.core.schedule import Schedule, column


def split(output: Tensor) -> tuple[Tensor, Tensor]:
    """Return ε and v (B, C, ...), the halves of a network's output (B, 2 C, ...).

    v = (raw + 1) / 2, as released: the network's own raw is 0 midway. It is not clamped. Raises
    ValueError for an odd number of channels.
    """
    if output.ndim < 2 or output.shape[1] % 2:
        raise ValueError(f"output is {tuple(output.shape)}, wanted (B, 2 C, ...)")
    eps, raw = output.chunk(2, dim=1)
    return eps, (raw + 1) / 2


def noise_only(predict: Predict) -> Predict:
    """Wrap a network that returns (ε, raw) as the `predict(x_t, t) -> ε` that samplers take."""
    return lambda x_t, t: split(predict(x_t, t))[0]


def variance(schedule: Schedule, v: Tensor, t: Tensor) -> Tensor:
    """Return the diagonal of Σ_θ (B, C, ...), for v of that shape.

    IDDPM Eq. 15   Σ_θ(x_t, t) = exp(v log β_t + (1 - v) log β̃_t)

    β̃_1 is 0 and has no logarithm: at t = 1 it is β̃_2, as released.
    """
    larger, _, _ = schedule.at(t, v)
    beta, bar, bar_prev = schedule.at(t.clamp(min=2), v)
    smaller = (1 - bar_prev) / (1 - bar) * beta
    return (v * larger.log() + (1 - v) * smaller.log()).exp().to(v.dtype)


def ancestral_step(
    schedule: Schedule, x_t: Tensor, eps: Tensor, v: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Return x_{t-1} (B, C, ...) from x_t, ε, v and fresh noise z, all (B, C, ...).

    IDDPM Eq. 15   x_{t-1} = μ_θ + √Σ_θ(x_t, t) z, with z = 0 at t = 1 as in DDPM Alg. 2
    """
    sigma = variance(schedule, v, t).sqrt()
    last = column(t == 1, x_t)
    noisy = torch.where(last, torch.zeros_like(sigma), sigma * noise)
    return (reverse_mean(schedule, x_t, eps, t) + noisy).to(x_t.dtype)
