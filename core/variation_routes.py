"""The statistic of Smooth Diffusion (arXiv 2312.04410) and three routes to its weight gradient.

v is the length of a vector-Jacobian product, so its gradient in the weights is a second derivative.
The three routes return the same values and differ in how v is connected to the weights:

double_backward        differentiates the VJP itself, as published; needs every op twice
                       differentiable in reverse
reverse_over_forward   with u = Jᵀd/‖Jᵀd‖ held fixed, ∂‖Jᵀd‖ = ∂⟨d, J u⟩: one JVP on dual numbers
                       (`dual.py`), then reverse through it; exact
central_difference     that JVP as ⟨d, y(ε+hu) - y(ε-hu)⟩ / 2h: first-order backward only, so any
                       attention kernel and checkpointing

Why u may be fixed: ‖Jᵀd‖ = max over unit u of ⟨d, J u⟩, and at a maximum the derivative in u
vanishes (the envelope theorem).

Notation  y(ε) = √(1-ᾱ_t) x̂_0(ε), J = ∂y/∂ε, d = Δx̂_0; v = ‖Jᵀd‖ per sample; samples of a batch
          must not mix in the network
Orders    central_difference needs first derivatives; reverse_over_forward a JVP with a graph of
          every op (PyTorch's own GroupNorm raises there under autocast, latentgeo.kernels do
          not); double_backward needs second derivatives
Traffic   forward passes: double_backward 1, reverse_over_forward 3, of which two are one call on
          the stacked pair, central_difference 3. No dropout: passes must agree
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor

from latentgeo.core.ddpm import q_sample
from latentgeo.core.dual import jvp
from latentgeo.core.parameterization import Kind, Predict, x_0_from
from latentgeo.core.precision import inner, norms
from latentgeo.core.schedule import Schedule, column


class Variation(NamedTuple):
    """The network's output for x_t, for the base loss, and v, both connected to the weights."""

    raw: Tensor  # (B, ...), of the network's own kind
    v: Tensor  # (B,)


class Pulled(NamedTuple):
    """What the first pass gives, v and u = Jᵀd/v without a graph."""

    raw: Tensor  # (B, ...)
    v: Tensor  # (B,)
    u: Tensor  # (B, ...), of unit length per sample


Route = Callable[[Predict, Schedule, Tensor, Tensor, Tensor, Tensor, Kind], Variation]


def variation(
    predict: Predict,
    schedule: Schedule,
    x_0: Tensor,
    eps: Tensor,
    t: Tensor,
    direction: Tensor,
    kind: Kind = "eps",
) -> Tensor:
    """Return v (B,) without a graph, from x_0, ε and Δx̂_0 = direction, all (B, ...), and t (B,).

    `predict(x_t, t)` is the network as it is, `kind` what it predicts.

    Smooth Eq. 9    v = √(1-ᾱ_t) ‖J_εᵀ Δx̂_0‖
    Smooth Eq. 10   v = ‖∇_ε (√(1-ᾱ_t) x̂_0 · Δx̂_0)‖, since Δx̂_0 is drawn independently of ε
    """
    leaf = eps.detach().requires_grad_()
    with torch.enable_grad():
        y, _ = _scaled_x_0(predict, schedule, x_0, t, kind)(leaf)
        (pulled,) = torch.autograd.grad(y, leaf, direction)
    return norms(pulled)


def double_backward(
    predict: Predict,
    schedule: Schedule,
    x_0: Tensor,
    eps: Tensor,
    t: Tensor,
    direction: Tensor,
    kind: Kind = "eps",
) -> Variation:
    """Return raw (B, ...) and v (B,), by differentiating the VJP; arguments as for `variation`.

    Smooth Eq. 10   v = ‖∇_ε (√(1-ᾱ_t) x̂_0 · Δx̂_0)‖
    """
    leaf = eps.detach().requires_grad_()
    y, raw = _scaled_x_0(predict, schedule, x_0, t, kind)(leaf)
    (pulled,) = torch.autograd.grad(y, leaf, direction, create_graph=True)
    return Variation(raw, norms(pulled))


def reverse_over_forward(
    predict: Predict,
    schedule: Schedule,
    x_0: Tensor,
    eps: Tensor,
    t: Tensor,
    direction: Tensor,
    kind: Kind = "eps",
) -> Variation:
    """Return raw (B, ...) and v (B,), differentiable through a JVP; arguments as for `variation`.

    Smooth Eq. 10   v = ‖Jᵀd‖ (rearranged: ∂v = ∂⟨d, J u⟩, u = Jᵀd/‖Jᵀd‖ held fixed)
    """
    y_of = _scaled_x_0(predict, schedule, x_0, t, kind)
    v, u = _pull(y_of, eps, direction, keep=False)[1:]
    (_, raw), (y_dot, _) = jvp(y_of, eps.detach(), u)
    return Variation(raw, _with_gradient_of(v, inner(direction, y_dot)))


def central_difference(
    predict: Predict,
    schedule: Schedule,
    x_0: Tensor,
    eps: Tensor,
    t: Tensor,
    direction: Tensor,
    kind: Kind = "eps",
    h: float | None = None,
) -> Variation:
    """Return raw (B, ...) and v (B,), differentiable through two plain passes; else as above.

    Smooth Eq. 10   v = ‖Jᵀd‖ (rearranged: ∂v = ∂⟨d, y(ε+hu) - y(ε-hu)⟩ / 2h + O(h²), with
                    u = Jᵀd/‖Jᵀd‖ held fixed)

    h is the step as a fraction of ‖ε‖; None is the cube root of ε's machine precision (0.005 in
    float32), which balances both errors. Under autocast the network computes in 16 bits while ε
    does not say so: give h explicitly. In bfloat16, on the small network of the tests, the gradient
    is off by 9 % at h = 0.05, 4 % at 0.1 and 2 % at 0.2 (0.5 % by double backward).
    """
    y_of = _scaled_x_0(predict, schedule, x_0, t, kind)
    raw, v, u = _pull(y_of, eps, direction, keep=True)
    fraction = torch.finfo(eps.dtype).eps ** (1 / 3) if h is None else h
    size = fraction * norms(eps.detach())
    move = column(size, eps) * u
    ahead, behind = y_of(eps.detach() + move)[0], y_of(eps.detach() - move)[0]
    return Variation(raw, _with_gradient_of(v, inner(direction, ahead - behind) / (2 * size)))


ROUTES: Final[dict[str, Route]] = {
    "double-backward": double_backward,
    "reverse-over-forward": reverse_over_forward,
    "central-difference": central_difference,
}


def _scaled_x_0(
    predict: Predict, schedule: Schedule, x_0: Tensor, t: Tensor, kind: Kind
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return the map ε ↦ (y, raw), y = √(1-ᾱ_t) x̂_0 and the network's output that it is made of."""

    def y_of(eps: Tensor) -> tuple[Tensor, Tensor]:
        x_t = q_sample(schedule, x_0, t, eps)
        raw = predict(x_t, t)
        scale = (1 - schedule.bar(t, x_t)).sqrt()
        return scale * x_0_from(schedule, x_t, raw, t, kind), raw

    return y_of


def _pull(
    y_of: Callable[[Tensor], tuple[Tensor, Tensor]], eps: Tensor, direction: Tensor, keep: bool
) -> Pulled:
    """Return raw, v = ‖Jᵀd‖ (B,) and u = Jᵀd/v (B, ...), raw alone with its graph, if to keep."""
    leaf = eps.detach().requires_grad_()
    y, raw = y_of(leaf)
    (pulled,) = torch.autograd.grad(y, leaf, direction, retain_graph=keep)
    v = norms(pulled)
    u = pulled / column(v.clamp(min=torch.finfo(v.dtype).tiny), eps)
    return Pulled(raw, v, u.to(eps))


def _with_gradient_of(value: Tensor, surrogate: Tensor) -> Tensor:
    return value + (surrogate - surrogate.detach())
