"""What a network may predict: ε, x_0 or v, and how each gives the others.

Everything here is x_t = √ᾱ_t x_0 + √(1-ᾱ_t) ε solved for one of its terms. v is Salimans & Ho's
velocity (arXiv 2202.00512, App. D).

Notation  x_t, x_0, eps = ε and v are (B, ...); t (B,) is the paper's time in 1..T
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor

from latentgeo.core.schedule import Schedule

Kind = Literal["eps", "x_0", "v"]
Predict = Callable[[Tensor, Tensor], Tensor]  # (x_t (B, ...), t (B,)) -> ε, x_0 or v (B, ...)


def x_0_from_eps(schedule: Schedule, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Return x̂_0 (B, ...), the clean sample that ε (B, ...) explains x_t (B, ...) by.

    DDPM Eq. 15   x̂_0 = (x_t - √(1-ᾱ_t) ε) / √ᾱ_t
    DDIM Eq. 9    the same as f_θ(x_t)
    """
    bar = schedule.bar(t, x_t)
    return ((x_t - (1 - bar).sqrt() * eps) / bar.sqrt()).to(x_t.dtype)


def eps_from_x_0(schedule: Schedule, x_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
    """Return ε = (x_t - √ᾱ_t x_0) / √(1-ᾱ_t) (B, ...), for t >= 1."""
    bar = schedule.bar(t, x_t)
    return ((x_t - bar.sqrt() * x_0) / (1 - bar).sqrt()).to(x_t.dtype)


def v_from(schedule: Schedule, x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Return v = √ᾱ_t ε - √(1-ᾱ_t) x_0 (B, ...): ∂x_t/∂φ at the angle with cos φ = √ᾱ_t."""
    bar = schedule.bar(t, x_0)
    return (bar.sqrt() * eps - (1 - bar).sqrt() * x_0).to(x_0.dtype)


def eps_from_v(schedule: Schedule, x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """Return ε = √ᾱ_t v + √(1-ᾱ_t) x_t (B, ...)."""
    bar = schedule.bar(t, x_t)
    return (bar.sqrt() * v + (1 - bar).sqrt() * x_t).to(x_t.dtype)


def x_0_from_v(schedule: Schedule, x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """Return x̂_0 = √ᾱ_t x_t - √(1-ᾱ_t) v (B, ...)."""
    bar = schedule.bar(t, x_t)
    return (bar.sqrt() * x_t - (1 - bar).sqrt() * v).to(x_t.dtype)


def score_from_eps(schedule: Schedule, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Return the score ∇_x log q_t(x_t) = -ε / √(1-ᾱ_t) (B, ...).

    Iso Eq. 1   the s_θ(x_t, t) of L_dsm
    """
    return (-eps / (1 - schedule.bar(t, x_t)).sqrt()).to(x_t.dtype)


def x_0_from(schedule: Schedule, x_t: Tensor, raw: Tensor, t: Tensor, kind: Kind) -> Tensor:
    """Return x̂_0 (B, ...) from a network's raw output of the given kind."""
    check_kind(kind)
    if kind == "x_0":
        return raw
    return (x_0_from_eps if kind == "eps" else x_0_from_v)(schedule, x_t, raw, t)


def eps_from(schedule: Schedule, x_t: Tensor, raw: Tensor, t: Tensor, kind: Kind) -> Tensor:
    """Return ε (B, ...) from a network's raw output of the given kind."""
    check_kind(kind)
    if kind == "eps":
        return raw
    return (eps_from_x_0 if kind == "x_0" else eps_from_v)(schedule, x_t, raw, t)


def target(schedule: Schedule, x_0: Tensor, eps: Tensor, t: Tensor, kind: Kind) -> Tensor:
    """Return what a network of the given kind is trained to output for (x_0, ε, t): (B, ...)."""
    check_kind(kind)
    if kind == "v":
        return v_from(schedule, x_0, eps, t)
    return eps if kind == "eps" else x_0


def to_eps(predict_raw: Predict, schedule: Schedule, kind: Kind) -> Predict:
    """Wrap a network of the given kind as the `predict(x_t, t) -> ε` that every sampler takes."""
    check_kind(kind)
    if kind == "eps":
        return predict_raw
    return lambda x_t, t: eps_from(schedule, x_t, predict_raw(x_t, t), t, kind)


def clipped(predict: Predict, schedule: Schedule, bound: float = 1.0) -> Predict:
    """Wrap `predict(x_t, t) -> ε` so that the x̂_0 it stands for stays within [-bound, bound].

    DDPM Sec. 3.3   image data are scaled linearly to [-1, 1]

    For models of pixels, as DDPM, improved DDPM and ADM were sampled (`clip_denoised`): ε is what
    leads from x_t to the clipped x̂_0, whichever sampler takes it. Latents have no such bound.
    Raises ValueError for a bound that is not positive.
    """
    if not bound > 0:
        raise ValueError(f"bound must be positive, got {bound}")
    return lambda x_t, t: clip_eps(schedule, x_t, predict(x_t, t), t, bound)


def clip_eps(schedule: Schedule, x_t: Tensor, eps: Tensor, t: Tensor, bound: float) -> Tensor:
    """Return the ε (B, ...) that explains x_t by x̂_0 clipped to [-bound, bound]; t >= 1.

    DDPM Sec. 3.3   ε' = ε + √ᾱ_t (x̂_0 - clip(x̂_0)) / √(1-ᾱ_t), which is ε where x̂_0 is within
    """
    bar = schedule.bar(t, x_t)
    x_0 = x_0_from_eps(schedule, x_t, eps, t)
    excess = x_0 - x_0.clamp(-bound, bound)
    return (eps + (bar / (1 - bar)).sqrt() * excess).to(x_t.dtype)


def check_kind(kind: str) -> None:
    """Raise ValueError unless `kind` is one of eps, x_0, v."""
    if kind not in get_args(Kind):
        raise ValueError(
            f"prediction kind must be one of {', '.join(get_args(Kind))}, got {kind!r}"
        )
