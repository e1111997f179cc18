"""Gaussian data, for which every quantity of a diffusion model has a closed form.

The exact model that samplers and statistics are held to in tests, and a model to teach with: no
training, no approximation.

Notation  data x_0 ~ N(m, s²) per element; x_t has mean √ᾱ_t m and variance ᾱ_t s² + 1 - ᾱ_t
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from latentgeo.core.parameterization import Predict
from latentgeo.core.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Independent normal data: mean and standard deviation per element, both (...) or ()."""

    mean: Tensor
    std: Tensor


def marginal(data: Gaussian, schedule: Schedule, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of x_t, both to go with `like` (B, ...)."""
    bar = schedule.bar(t, like)
    return bar.sqrt() * data.mean, bar * data.std**2 + 1 - bar


def exact_eps(data: Gaussian, schedule: Schedule) -> Predict:
    """Return the best possible network `predict(x_t, t)`.

    DDPM Eq. 14   is least at ε(x_t, t) = E[ε | x_t] = √(1-ᾱ_t) (x_t - √ᾱ_t m) / (ᾱ_t s² + 1 - ᾱ_t)
    """

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        mean, variance = marginal(data, schedule, t, x_t)
        return (1 - schedule.bar(t, x_t)).sqrt() * (x_t - mean) / variance

    return predict


def flow(data: Gaussian, schedule: Schedule, x: Tensor, t: Tensor, t_to: Tensor) -> Tensor:
    """Return where the deterministic process takes x (B, ...) from t to t_to (B,), either way.

    DDIM Eq. 14   dx̄ = ε(x̄/√(σ²+1)) dσ, x̄ = x/√ᾱ, σ = √((1-ᾱ)/ᾱ): for Gaussian data it keeps
                  the number of standard deviations that x is away from the mean of x_t
    """
    mean, variance = marginal(data, schedule, t, x)
    mean_to, variance_to = marginal(data, schedule, t_to, x)
    return mean_to + (variance_to / variance).sqrt() * (x - mean)
