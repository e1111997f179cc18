"""DDIM (Song, Meng & Ermon, arXiv 2010.02502): sampling and its deterministic inverse.

Notation  DDIM's α_t is our ᾱ_t = alpha_bar[t]; eps = ε_θ(x_t, t); σ is the noise put back, η its
          scale (0 DDIM, 1 DDPM)
Time      the paper's t; `times` is a descending tuple (schedule.times) whose last entry is where
          sampling lands and inversion starts
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from latentgeo.core.parameterization import Predict, x_0_from_eps
from latentgeo.core.schedule import Schedule, batch_time, check_times

OnStep = Callable[[int, Tensor], None]


def sigma(schedule: Schedule, like: Tensor, t: Tensor, t_prev: Tensor, eta: float) -> Tensor:
    """Return σ (B, 1, ...), the size of the noise in a step from t to t_prev < t, both (B,).

    DDIM Eq. 16   σ(η) = η √((1-ᾱ_{t_prev}) / (1-ᾱ_t)) √(1 - ᾱ_t / ᾱ_{t_prev})
    """
    bar, bar_prev = schedule.bar(t, like), schedule.bar(t_prev, like)
    return eta * ((1 - bar_prev) / (1 - bar) * (1 - bar / bar_prev)).sqrt()


def step(
    schedule: Schedule,
    x_t: Tensor,
    eps: Tensor,
    t: Tensor,
    t_prev: Tensor,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """Return x at t_prev (B, ...) from x_t, ε, noise z (B, ...) and t > t_prev (B,).

    DDIM Eq. 12    x_{t-1} = √ᾱ_{t-1} (x_t - √(1-ᾱ_t) ε)/√ᾱ_t + √(1-ᾱ_{t-1}-σ²) ε + σ z
    DDIM Eq. 16    σ as in `sigma`
    Smooth Eq. 3   x_{t-1} = √(ᾱ_{t-1}/ᾱ_t) x_t + √ᾱ_{t-1} (√(1/ᾱ_{t-1}-1) - √(1/ᾱ_t-1)) ε,
                   which is η = 0 (corrected: printed with α)

    Raises ValueError if η > 0 comes without noise.
    """
    x_0 = x_0_from_eps(schedule, x_t, eps, t)
    return step_from_x_0(schedule, x_0, eps, t, t_prev, eta, noise)


def step_from_x_0(
    schedule: Schedule,
    x_0: Tensor,
    eps: Tensor,
    t: Tensor,
    t_prev: Tensor,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """Return x at t_prev (B, ...) from x̂_0 and ε (B, ...), which need not explain the same x_t.

    DDIM Eq. 12   x_{t-1} = √ᾱ_{t-1} x̂_0 + √(1-ᾱ_{t-1}-σ²) ε + σ z

    diffusers' `clip_sample` is this step with x̂_0 clipped and ε as it was; with the ε that belongs
    to it (`parameterization.clipped`) x_{t-1} keeps the noise level of its time. Raises ValueError
    if η > 0 comes without noise.
    """
    if eta != 0 and noise is None:
        raise ValueError(f"eta = {eta} puts noise back: give noise of shape {tuple(x_0.shape)}")
    bar_prev = schedule.bar(t_prev, x_0)
    if eta == 0 or noise is None:
        return (bar_prev.sqrt() * x_0 + (1 - bar_prev).sqrt() * eps).to(x_0.dtype)
    s = sigma(schedule, x_0, t, t_prev, eta)
    towards = (1 - bar_prev - s**2).clamp(min=0).sqrt()  # 0 up to rounding at t_prev = 0, η = 1
    return (bar_prev.sqrt() * x_0 + towards * eps + s * noise).to(x_0.dtype)


def invert_step(schedule: Schedule, x_t: Tensor, eps: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
    """Return x at t_next > t (B, ...), which a step down with the same ε (B, ...) returns to x_t.

    Smooth Eq. 4   x_{t+1} = √(ᾱ_{t+1}/ᾱ_t) x_t + √ᾱ_{t+1} (√(1/ᾱ_{t+1}-1) - √(1/ᾱ_t-1)) ε
                   (corrected: printed with α)
    """
    bar, bar_next = schedule.bar(t, x_t), schedule.bar(t_next, x_t)
    slope = (1 / bar_next - 1).sqrt() - (1 / bar - 1).sqrt()
    return ((bar_next / bar).sqrt() * x_t + bar_next.sqrt() * slope * eps).to(x_t.dtype)


def sample(
    predict: Predict,
    schedule: Schedule,
    x: Tensor,
    times: tuple[int, ...],
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Take x (B, ...) at times[0] down to times[-1] and return it.

    DDIM Eq. 12, once per pair of neighbours in `times`; `generator` draws the noise if eta > 0.
    `on_step(t, x)` sees every x reached and the time t it is at.
    """
    check_times(schedule, times)
    for t, t_prev in pairwise(times):
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        noise = (
            torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
            if eta > 0
            else None
        )
        x = step(schedule, x, predict(x, now), now, prev, eta, noise)
        if on_step is not None:
            on_step(t_prev, x)
    return x


def invert(
    predict: Predict,
    schedule: Schedule,
    x: Tensor,
    times: tuple[int, ...],
    refine: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Take x (B, ...) at times[-1] up to times[0], from where `sample` leads back to x.

    Smooth Eq. 4, once per pair of neighbours, with ε_θ(x_t, t) at the lower time as printed, or at
    t = 1 where that time is 0: clean data has no ε. It stands in for ε_θ(x_{t+1}, t+1), which the
    step down will use; each of `refine` rounds replaces it by the value at the x_{t+1} just found,
    a fixed-point iteration whose limit makes the round trip exact.
    """
    check_times(schedule, times)
    upward = times[::-1]
    for t, t_next in pairwise(upward):
        now, after = batch_time(t, x), batch_time(t_next, x)
        x_next = invert_step(schedule, x, predict(x, now.clamp(min=1)), now, after)
        for _ in range(refine):
            x_next = invert_step(schedule, x, predict(x_next, after), now, after)
        x = x_next
        if on_step is not None:
            on_step(t_next, x)
    return x


def invert_official(
    predict: Predict,
    schedule: Schedule,
    x: Tensor,
    times: tuple[int, ...],
    on_step: OnStep | None = None,
) -> Tensor:
    """Take x (B, ...) at times[-1] up to times[0] with ε_θ(x_t, t+1), as the released code does.

    Smooth Eq. 4 as in nulltxtinv_wrapper.py (and diffusers' DDIMInverse): the update is that of
    `invert`, only the time given to the network is the upper one.
    """
    check_times(schedule, times)
    upward = times[::-1]
    for t, t_next in pairwise(upward):
        now, after = batch_time(t, x), batch_time(t_next, x)
        x = invert_step(schedule, x, predict(x, after), now, after)
        if on_step is not None:
            on_step(t_next, x)
    return x
