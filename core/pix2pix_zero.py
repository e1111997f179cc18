"""Pix2Pix-Zero: a direction between texts, an inversion that stays noise, and maps that stay.

Parmar et al., arXiv 2302.03027. Everything here is a function of embeddings, noises and attention
maps: where they come from is not.

Notation  Δc `edit_direction`; η^p a noise (B, C, H, W), averaged down p times; M_t the maps of
          cross-attention (B, heads, N, L), one tensor per layer; λ `weight`
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.core.parameterization import Predict
from latentgeo.core.precision import widened

COARSEST = 8  # pixels a side of the pyramid's last level
STEEPEST = 100.0  # of the divergence, whose slope at a constant ε is not finite


@dataclass(frozen=True, kw_only=True)
class Whitening:
    """How ε is made noise again. The defaults are the released ones."""

    rounds: int = 5  # descents, of the divergence and then of the autocorrelation
    correlation: float = 20.0  # the length of a descent of L_pair
    divergence: float = 20.0  # the length of a descent of L_KL, the paper's λ


def edit_direction(source: Tensor, target: Tensor) -> Tensor:
    """Return Δc (1, L, D) of the embeddings of M source sentences and K target sentences.

    PixZero Sec. 3.2   Δc_edit = the mean of the target's (K, L, D) minus that of the source's
                       (M, L, D), token by token
    """
    way = widened(target).mean(0, keepdim=True) - widened(source).mean(0, keepdim=True)
    return way.to(target.dtype)


def pyramid(noise: Tensor) -> list[Tensor]:
    """Return η^0, η^1, … of a noise (B, C, H, W), down to 8 pixels a side.

    PixZero Sec. 3.1a   η^{p+1}: means of 2 x 2 pixels, times 2, of variance 1 where η^p is white
    """
    levels = [noise]
    while min(levels[-1].shape[-2:]) > COARSEST:
        levels.append(2 * F.avg_pool2d(levels[-1], 2))
    return levels


def autocorrelation(noise: Tensor) -> Tensor:
    """Return L_pair (B,) of noises (B, C, H, W): 0 where no pixel tells of another.

    PixZero Sec. 3.1a   L_pair = Σ_p 1/S_p² Σ_δ Σ_{x,y,c} η_{x,y,c} (η_{x-δ,y,c} + η_{x,y-δ,c})
                        (as released: each channel's mean product is squared, else L_pair has no
                        minimum at 0; here the mean over all δ, released one at random)
    """
    total = torch.zeros(len(noise), dtype=widened(noise).dtype, device=noise.device)
    for level in pyramid(widened(noise)):
        for axis in (-2, -1):
            shifts = range(1, level.shape[axis] // 2 + 1)
            products = [(level * level.roll(delta, axis)).mean((-2, -1)) for delta in shifts]
            total = total + torch.stack(products).square().sum(-1).mean(0)
    return total


def divergence(noise: Tensor) -> Tensor:
    """Return L_KL (B,), twice the divergence from N(0, 1) of a normal of ε's mean and variance.

    PixZero Sec. 3.1b   L_KL = 2 KL(N(μ, σ²) ‖ N(0, 1)) = σ² + μ² - 1 - log σ²
    """
    flat = widened(noise).flatten(1)
    variance = flat.var(1)
    return variance + flat.mean(1).square() - 1 - (variance + 1e-7).log()


def whitened(noise: Tensor, how: Whitening) -> Tensor:
    """Return ε (B, C, H, W) after some descents towards white noise.

    PixZero Sec. 3.1b   L_auto = L_pair + λ L_KL (as released: each descended by itself in turn)
    """
    for _ in range(how.rounds):
        slope = _gradient(divergence, noise).clamp(-STEEPEST, STEEPEST)
        noise = noise - how.divergence * slope
        noise = noise - how.correlation * _gradient(autocorrelation, noise)
    return noise


def whitening(predict: Predict, how: Whitening) -> Predict:
    """Return `predict(x_t, t)` whose ε (B, C, H, W) is whitened, for inversion by it.

    PixZero Sec. 3.1b   at every step
    """
    return lambda x_t, t: whitened(predict(x_t, t), how)


def map_distance(edited: Sequence[Tensor], reference: Sequence[Tensor]) -> Tensor:
    """Return L_xa (B,) of both sides' maps, (B, heads, N, L) per layer.

    PixZero Sec. 3.3   L_xa = ‖M_t^edit - M_t^ref‖², summed over pixels, tokens and layers, the mean
                       of the heads, as released
    """
    each = [
        (widened(mine) - widened(theirs)).square().sum((-2, -1)).mean(1)
        for mine, theirs in zip(edited, reference, strict=True)
    ]
    return torch.stack(each).sum(0)


def guided_by_maps(
    maps: Callable[[Tensor], Sequence[Tensor]],
    x_t: Tensor,
    reference: Sequence[Tensor],
    weight: float,
) -> Tensor:
    """Return x_t (B, ...) after a step towards the reference's maps; weight 0 leaves it alone.

    PixZero Sec. 3.3   x_t ← x_t - λ_xa ∇_{x_t} ‖M_t^edit - M_t^ref‖²

    `maps(x_t)` gives M_t^edit, in the order of `reference`.
    """
    if weight == 0:
        return x_t
    return x_t - weight * _gradient(lambda x: map_distance(maps(x), reference), x_t)


def _gradient(loss: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the gradient of a loss (B,), row by row, at x (B, ...)."""
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(at).sum(), at)
    return slope.to(x.dtype)
