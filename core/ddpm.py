"""DDPM: Ho, Jain & Abbeel, Denoising Diffusion Probabilistic Models (arXiv 2006.11239).

Notation  beta = β_t, bar = ᾱ_t, bar_prev = ᾱ_{t-1}, α_t = 1 - β_t; x_t, x_0, eps = ε are (B, ...)
Time      the paper's t in 1..T as int64 (B,); t = 0 is clean data
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from latentgeo.core.parameterization import Predict
from latentgeo.core.precision import widened
from latentgeo.core.schedule import Schedule, batch_time, check_times


def forward_step(schedule: Schedule, x_prev: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Return x_t (B, ...) from x_{t-1} and the noise ε_t of this one step, both (B, ...).

    DDPM Eq. 2     q(x_t | x_{t-1}) = N(x_t; √(1-β_t) x_{t-1}, β_t I)
    Asyrp Eq. 1    the same as N(√(ᾱ_t/ᾱ_{t-1}) x_{t-1}, (1 - ᾱ_t/ᾱ_{t-1}) I)
    Smooth Eq. 1   x_t = √(1-β_t) x_{t-1} + √β_t ε_t
    Smooth Eq. 2   first line, x_t = √α_t x_{t-1} + √(1-α_t) ε_t
    """
    beta, _, _ = schedule.at(t, x_prev)
    return ((1 - beta).sqrt() * x_prev + beta.sqrt() * noise).to(x_prev.dtype)


def q_sample(schedule: Schedule, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """Return x_t (B, ...) from x_0 and the total noise ε, both (B, ...); t may be 0.

    DDPM Eq. 4     q(x_t | x_0) = N(x_t; √ᾱ_t x_0, (1-ᾱ_t) I)
    Smooth Eq. 2   second line, x_t = √ᾱ_t x_0 + √(1-ᾱ_t) ε   (corrected: this ε is not the
                   ε_t of the first line)
    """
    bar = schedule.bar(t, x_0)
    return (bar.sqrt() * x_0 + (1 - bar).sqrt() * eps).to(x_0.dtype)


def posterior(schedule: Schedule, x_t: Tensor, x_0: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return μ̃_t (B, ...) and β̃_t (B, 1, ...), the mean and variance of q(x_{t-1} | x_t, x_0).

    DDPM Eq. 6   q(x_{t-1} | x_t, x_0) = N(x_{t-1}; μ̃_t(x_t, x_0), β̃_t I)
    DDPM Eq. 7   μ̃_t = √ᾱ_{t-1} β_t / (1-ᾱ_t) x_0 + √α_t (1-ᾱ_{t-1}) / (1-ᾱ_t) x_t
                 β̃_t = (1-ᾱ_{t-1}) / (1-ᾱ_t) β_t
    """
    beta, bar, bar_prev = schedule.at(t, x_t)
    from_x_0 = bar_prev.sqrt() * beta / (1 - bar)
    from_x_t = (1 - beta).sqrt() * (1 - bar_prev) / (1 - bar)
    return from_x_0 * x_0 + from_x_t * x_t, (1 - bar_prev) / (1 - bar) * beta


def reverse_mean(schedule: Schedule, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Return μ_θ(x_t, t) (B, ...), the posterior mean at the x_0 that ε (B, ...) predicts.

    DDPM Eq. 11   μ_θ = 1/√α_t (x_t - β_t/√(1-ᾱ_t) ε)
    """
    beta, bar, _ = schedule.at(t, x_t)
    return ((x_t - beta / (1 - bar).sqrt() * eps) / (1 - beta).sqrt()).to(x_t.dtype)


def ancestral_step(
    schedule: Schedule, x_t: Tensor, eps: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Return x_{t-1} (B, ...) from x_t, ε and fresh noise z, all (B, ...).

    DDPM Alg. 2   x_{t-1} = 1/√α_t (x_t - (1-α_t)/√(1-ᾱ_t) ε) + σ_t z, with σ_t² = β̃_t,
                  which is 0 at t = 1, as line 3 asks
    """
    beta, bar, bar_prev = schedule.at(t, x_t)
    sigma = ((1 - bar_prev) / (1 - bar) * beta).sqrt()
    return (reverse_mean(schedule, x_t, eps, t) + sigma * noise).to(x_t.dtype)


def ancestral_step_beta(
    schedule: Schedule, x_t: Tensor, eps: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Return x_{t-1} (B, ...) as `ancestral_step` does, with the larger of the two variances.

    DDPM Alg. 2   x_{t-1} = 1/√α_t (x_t - (1-α_t)/√(1-ᾱ_t) ε) + σ_t z, with σ_t² = β_t, and z = 0
                  at t = 1
    Asyrp Eq. 2   x_{t-1} = 1/√(1-β_t) (x_t - β_t/√(1-ᾱ_t) ε) + σ_t z, the same
    """
    beta, _, bar_prev = schedule.at(t, x_t)
    sigma = torch.where(bar_prev < 1, beta.sqrt(), torch.zeros_like(beta))
    return (reverse_mean(schedule, x_t, eps, t) + sigma * noise).to(x_t.dtype)


def sample(
    predict: Predict,
    schedule: Schedule,
    x_t: Tensor,
    times: tuple[int, ...],
    generator: torch.Generator | None = None,
) -> Tensor:
    """Take x (B, ...) at times[0] down to times[-1] by DDPM Alg. 2 and return it.

    The algorithm knows single steps only: raises ValueError if `times` skips any, for which
    `ddim.sample` with eta = 1 is its form.
    """
    check_times(schedule, times)
    for t, t_prev in pairwise(times):
        if t - t_prev != 1:
            raise ValueError(
                f"DDPM samples step by step: got {t} to {t_prev}, wanted consecutive times "
                "(ddim.sample with eta = 1 takes any)"
            )
    for t in times[:-1]:
        now = batch_time(t, x_t)
        noise = torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype, device=x_t.device)
        x_t = ancestral_step(schedule, x_t, predict(x_t, now), now, noise)
    return x_t


def simple_loss(eps: Tensor, predicted: Tensor) -> Tensor:
    """Return the noise-prediction loss () for ε and ε_θ(x_t, t) of one shape (B, ...).

    DDPM Eq. 14    L_simple = E ‖ε - ε_θ(√ᾱ_t x_0 + √(1-ᾱ_t) ε, t)‖²
    LDM Eq. 2      L_LDM = E ‖ε - ε_θ(z_t, t)‖²
    SmoothS Eq. 2  L_base = E ‖ε - ε_θ(x_t, t)‖²
    Iso Eq. 1      L_dsm = E_t λ(t) E ‖s_θ(x_t, t) - ∇ log p(x_t | x_0)‖², at λ(t) = 1-ᾱ_t and with
                   s_θ = -ε_θ/√(1-ᾱ_t)

    All as implemented by their authors: the mean over the n elements of a sample, not their sum. As
    printed the loss is n times larger, and a λ beside it (Smooth Eq. 14) weighs as λ/n does here.
    Raises ValueError where the shapes differ.
    """
    if eps.shape != predicted.shape:
        raise ValueError(
            f"eps {tuple(eps.shape)} and prediction {tuple(predicted.shape)} must have one shape"
        )
    return (widened(eps) - widened(predicted)).square().mean()
