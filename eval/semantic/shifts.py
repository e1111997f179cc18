"""Shifts to compare an edit's with: in ε, at random, and those of another image.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 3.1, 5.3, App. D.1 and D.2, Figs. 6, 9 and 13.

Notation  Δε_t = ε(x_t | Δh_t) - ε(x_t), what a shift of h does to ε; z ~ N(0, I), drawn anew at
          every t
Pairs     of x (2 B, ...), whose first half are donors and go their own way by their own shift,
          which the second half gets too
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from latentgeo.core import asyrp, precision
from latentgeo.core.schedule import batch_time, column
from latentgeo.infer.sampling.unprompted import Draw, denoiser_of
from latentgeo.infer.semantic.editing import Attribute, Editing, total_shift
from latentgeo.infer.semantic.layers import shiftable, shifted_eps
from latentgeo.models.bundles.delta_h import Direction
from latentgeo.models.bundles.image_model import ImageModel

EpsShift = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x_t, ε, t) -> Δε (B, ...)


@torch.no_grad()
def shift_eps(
    model: ImageModel,
    x: Tensor,
    delta: EpsShift,
    visited: tuple[int, ...],
    editing: Editing,
    draw: Draw = torch.zeros_like,
) -> Tensor:
    """Return x (B, ...) at visited[-1] of x at visited[0], with ε shifted where an editing acts.

    Asyrp Eq. 6    x_{t-1} = √α_{t-1} P_t(ε̃) + D_t(ε),   ε̃ = ε + Δε
    Asyrp Eq. 10   x̃_{t-1} = √α_{t-1} P_t(ε̃) + D_t(ε̃), which is `editing.both`
    """
    denoiser, schedule = denoiser_of(model), model.schedule
    for t, t_prev in pairwise(visited):
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        eps = denoiser(x, now)[0]
        phases = editing.phases(now)
        shifted = eps + delta(x, eps, now) if phases.edits.any() else eps
        in_D = shifted if editing.both else eps
        noise = draw(x) if phases.boosts.any() else torch.zeros_like(x)
        x = asyrp.edit_step(schedule, x, shifted, in_D, now, prev, phases, noise)
    return x


def own_shift(model: ImageModel, one: Attribute, steps: int) -> EpsShift:
    """Return Δε_t (B, ...) of an attribute, used with so many steps."""

    def delta(x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        h, skips = shiftable(model, x, t, layer=one.layer)
        ones = torch.ones(len(x), 1, device=x.device)
        h = h + total_shift(model, [one], ones, h, t, steps)
        return shifted_eps(model, x, h, skips, t, layer=one.layer) - eps

    return delta


def donated(direction: Direction) -> Direction:
    """Return a direction that gives both halves of pairs the shift of the first.

    Asyrp Sec. 5.3b   one Δh_t found on an image, applied to others
    """

    def delta(h: Tensor, temb: Tensor, t: Tensor) -> Tensor:
        some = slice(len(h) // 2)
        found = direction(h[some], temb[some], t[some]).expand_as(h[some])
        return torch.cat([found, found])

    return delta


def donated_eps(found: EpsShift) -> EpsShift:
    """Return a shift of ε that gives both halves of pairs the shift of the first."""

    def delta(x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        some = slice(len(x) // 2)
        own = found(x[some], eps[some], t[some])
        return torch.cat([own, own])

    return delta


def relative(draw: Draw, level: float) -> Direction:
    """Return a random shift whose norm is `level` times that of h.

    Asyrp Sec. D.2   Δh = level ‖h‖ z/‖z‖
    """
    return lambda h, temb, t: sized(draw(h), level * norms(h))


def relative_eps(draw: Draw, level: float) -> EpsShift:
    """Return a random shift whose norm is `level` times that of ε.

    Asyrp Sec. D.2   Δε = level ‖ε‖ z/‖z‖
    """
    return lambda x, eps, t: sized(draw(eps), level * norms(eps))


def variance_kept(draw: Draw, level: float) -> EpsShift:
    """Return the shift of `relative_eps` after which ε has the variance that it had.

    Asyrp Sec. D.2b   ε̃ = (ε + z) / √(1 + σ²), σ = level and ‖z‖ = σ‖ε‖; print has z ~ N(0, σI)
    """
    noise = relative_eps(draw, level)
    return lambda x, eps, t: (eps + noise(x, eps, t)) / math.hypot(1, level) - eps


def as_large(direction: Direction, draw: Draw) -> Direction:
    """Return a random shift as large as a direction's.

    Asyrp Sec. 5.3b   vectors with random directions and magnitude of the example Δh_t
    """

    def delta(h: Tensor, temb: Tensor, t: Tensor) -> Tensor:
        return sized(draw(h), norms(direction(h, temb, t).expand_as(h)))

    return delta


def as_large_eps(found: EpsShift, draw: Draw) -> EpsShift:
    """Return a random shift as large as another.

    Asyrp Sec. 5.3b   vectors with random directions and magnitude of the example Δε_t
    """
    return lambda x, eps, t: sized(draw(eps), norms(found(x, eps, t)))


def sized(z: Tensor, norm: Tensor) -> Tensor:
    """Return z (B, ...) with these norms (B, 1, ...), per sample."""
    return (precision.widened(z) * (norm / norms(z))).to(z.dtype)


def norms(x: Tensor) -> Tensor:
    """Return the norm (B, 1, ...) of every sample of x (B, ...)."""
    return column(precision.norms(x), x)
