"""Asyrp: edits of a frozen model's samples by a shift of h in the predicted x_0 alone.

Kwon, Jeong & Uh (arXiv 2210.10960), Sec. 2 to 4 and App. C.

Notation  the paper's α_t is our ᾱ_t = alpha_bar[t]; eps = ε_θ(x_t), shifted = ε̃ = ε_θ(x_t | Δh_t);
          P_t = x̂_0 of an ε, D_t the direction pointing to x_t, both (B, ...)
Time      the paper's t, of each sample its own: t and t_prev < t are (B,); t_edit and t_boost
          divide T … 0 into editing, denoising and quality boosting
Length    a few lines over 300: the step, its times and its loss share this notation
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.core.ddim import sigma, step_from_x_0
from latentgeo.core.parameterization import x_0_from_eps
from latentgeo.core.precision import widened
from latentgeo.core.schedule import Schedule, column

Overlap = Literal["printed", "released", "boosted"]
EDIT_DISTANCE, BOOST_DISTANCE = 0.33, 1.2  # LPIPS at t_edit and at t_boost, Sec. 4.1 and 4.2


class Judge(Protocol):
    """What sees how near an image is to a text: embeddings in one space, of unit length."""

    def images(self, x: Tensor) -> Tensor:
        """Return E_I (B, K), differentiable in images x (B, 3, H, W) in [-1, 1]."""

    def texts(self, texts: list[str]) -> Tensor:
        """Return E_T (N, K) of N texts."""


def predicted(schedule: Schedule, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Return P_t (B, ...) of an ε (B, ...).

    Asyrp Eq. 3   P_t(ε) = (x_t - √(1-α_t) ε) / √α_t
    """
    return x_0_from_eps(schedule, x_t, eps, t)


def towards(schedule: Schedule, eps: Tensor, t: Tensor, t_prev: Tensor, eta: float = 0.0) -> Tensor:
    """Return D_t (B, ...) of an ε (B, ...).

    Asyrp Eq. 3   D_t(ε) = √(1-α_{t-1}-σ_t²) ε,   σ_t = η √((1-α_{t-1})/(1-α_t)) √(1-α_t/α_{t-1})
    """
    left = 1 - schedule.bar(t_prev, eps) - sigma(schedule, eps, t, t_prev, eta).square()
    return (left.clamp(min=0).sqrt() * eps).to(eps.dtype)  # 0 up to rounding near t_prev = 0, η = 1


def asymmetric_step(
    schedule: Schedule,
    x_t: Tensor,
    shifted: Tensor,
    eps: Tensor,
    t: Tensor,
    t_prev: Tensor,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """Return x at t_prev (B, ...): the shift enters P_t, and D_t stays.

    Asyrp Eq. 5   x_{t-1} = √α_{t-1} P_t(ε) + D_t(ε) + σ_t z_t, which is ε̃ = ε
    Asyrp Eq. 6   x_{t-1} = √α_{t-1} P_t(ε̃) + D_t(ε)
    Asyrp Eq. 8   x_{t-1} = √α_{t-1} P_t(ε(x_t | Δh_t)) + D_t(ε) + σ_t z_t

    With ε̃ = ε it is DDIM's step, to the bit. Raises ValueError if η > 0 comes without noise.
    """
    x_0 = predicted(schedule, x_t, shifted, t)
    return step_from_x_0(schedule, x_0, eps, t, t_prev, eta, noise)


class Phases(NamedTuple):
    """Which of some times are in which interval of Eq. 9; what is in neither is denoised."""

    edits: Tensor  # bool, P_t is of ε(x_t | f_t)
    boosts: Tensor  # bool, η = 1


def phases(t: Tensor, t_edit: Tensor, t_boost: Tensor, overlap: Overlap = "printed") -> Phases:
    """Return the phases of times t, of a shape that t_edit and t_boost go with.

    Asyrp Eq. 9   edited if T ≥ t ≥ t_edit, else denoised if t_edit > t ≥ t_boost, else boosted

    Where t_edit < t_boost, the times between them are in the first line and in the last, and
    `overlap` says what is done there: "printed", an edit with η = 0, the first line that holds, as
    in Asyrp Alg. 1; "released", an edit with η = 1; "boosted", η = 1 and no edit, which is neither.
    Raises ValueError for an overlap that there is not.
    """
    edits, boosts = t >= t_edit, t < t_boost
    if overlap == "printed":
        return Phases(edits, boosts & ~edits)
    if overlap == "released":
        return Phases(edits, boosts)
    if overlap != "boosted":
        raise ValueError(f"overlap: got {overlap!r}, wanted printed, released or boosted")
    return Phases(edits & ~boosts, boosts)


def edit_step(
    schedule: Schedule,
    x_t: Tensor,
    shifted: Tensor,
    eps: Tensor,
    t: Tensor,
    t_prev: Tensor,
    now: Phases,
    noise: Tensor,
) -> Tensor:
    """Return x at t_prev (B, ...), every sample in its own phase (B,), z = noise (B, ...).

    Asyrp Eq. 9   mean √α_{t-1} P_t(ε(x_t | f_t)) + D_t, η = 0   where it is edited
                  mean √α_{t-1} P_t(ε(x_t)) + D_t,       η = 0   where it is denoised
                  the same mean,                         η = 1   where it is boosted
    Asyrp Sec. H  the last without an edit, and after one
    """
    edits, boosts = (column(one, x_t) for one in now)
    used = torch.where(edits, shifted, eps)
    plain = asymmetric_step(schedule, x_t, used, eps, t, t_prev)
    boosted = asymmetric_step(schedule, x_t, used, eps, t, t_prev, 1.0, noise)
    return torch.where(boosts, boosted, plain)


class Shift(NamedTuple):
    """How much of Δε arrives in x_{t-1}: the factors (B, 1, ...) of its two ways there."""

    in_P: Tensor
    in_D: Tensor


def shift(schedule: Schedule, like: Tensor, t: Tensor, t_prev: Tensor) -> Shift:
    """Return the factors of Δε = ε̃ - ε in x_{t-1} through P_t and through D_t.

    Asyrp Eq. 12   -√α_{t-1} √(1-α_t) / √α_t  and  √(1-α_{t-1})
    Asyrp Eq. 13   the first is -√(1-α_t) / √(1-β_t), where 1-β_t = α_t / α_{t-1}
    """
    bar, bar_prev = schedule.bar(t, like), schedule.bar(t_prev, like)
    return Shift(-(bar_prev * (1 - bar) / bar).sqrt(), (1 - bar_prev).sqrt())


def symmetric_shift(schedule: Schedule, like: Tensor, t: Tensor, t_prev: Tensor) -> Tensor:
    """Return Δx_{t-1} / Δε (B, 1, ...) where ε̃ replaces ε in P_t and in D_t.

    Asyrp Eq. 10   x̃_{t-1} = √α_{t-1} P_t(ε̃) + D_t(ε̃)
    Asyrp Eq. 11   √α_{t-1} (x_t - √(1-α_t) (ε + Δε)) / √α_t + √(1-α_{t-1}) (ε + Δε)
    Asyrp Eq. 14   √(1-α_{t-1}) = √((1-α_{t-1}) (1-β_t)) / √(1-β_t)
    Asyrp Eq. 15   (√(1-α_t-β_t) - √(1-α_t)) / √(1-β_t)
    Asyrp Eq. 16   Δx_t = (√(1-α_t-β_t) - √(1-α_t)) / √(1-β_t) Δε_t, a difference of two x_{t-1}
    Asyrp Thm. 1   it is negligible beside the shift through P_t alone, √(1-α_t) / √(1-β_t): their
                   ratio is 1 - √(1 - β_t/(1-α_t)) (corrected: it takes β_t ≪ 1-α_t, not a small
                   β_max. At t = 1 the ratio is 1, and a stride of many steps has a large β_t)
    """
    bar, bar_prev = schedule.bar(t, like), schedule.bar(t_prev, like)
    kept = bar / bar_prev  # 1-β_t, α_t at least, rounded too; as 1 - (1 - …) it may round to 0
    return ((kept - bar).sqrt() - (1 - bar).sqrt()) / kept.sqrt()


def directional_loss(image: Tensor, image_edit: Tensor, text: Tensor, text_edit: Tensor) -> Tensor:
    """Return L_direction (B,) of embeddings (B, K) or (K,) of source and edit.

    Asyrp Eq. 4   L_direction = 1 - ΔI·ΔT / (‖ΔI‖ ‖ΔT‖),   ΔI = E_I(x^edit) - E_I(x^source), …
    """
    return 1 - directional_similarity(image, image_edit, text, text_edit)


def directional_similarity(
    image: Tensor, image_edit: Tensor, text: Tensor, text_edit: Tensor
) -> Tensor:
    """Return S_dir (B,) in [-1, 1] of embeddings (B, K) or (K,) of reference and edit.

    Asyrp Eq. 17   S_dir = ⟨ΔI, ΔT⟩ / (‖ΔI‖ ‖ΔT‖)
    """
    seen = widened(image_edit) - widened(image)
    return F.cosine_similarity(seen, widened(text_edit) - widened(text), dim=-1)


def training_loss(
    direction: Tensor, P_edit: Tensor, P_source: Tensor, clip_weight: float, recon_weight: float
) -> Tensor:
    """Return L^(t) (B,) from L_direction (B,) and both predictions (B, ...).

    Asyrp Eq. 7   L^(t) = λ_CLIP L_direction + λ_recon |P_edit - P_source|, |·| the mean over the n
                  pixels, as released; the printed norm ‖·‖_1 is n times that
    """
    kept = (widened(P_edit) - widened(P_source)).abs().flatten(1).mean(1)
    return clip_weight * widened(direction) + recon_weight * kept


def recon_weight(similarity: float) -> float:
    """Return λ_recon from the cosine of the two texts' embeddings.

    Asyrp Sec. J.1   λ_recon = 3 cos(E_T(y_source), E_T(y_target))
    Asyrp Tab. 3     0.905·3 for a young person, … (corrected: 0.443·3 for Frida Kahlo)
    """
    return 3 * similarity


def scaled(
    deltas: Sequence[Tensor], scales: Sequence[float | Tensor], S: int, S_used: int
) -> Tensor:
    """Return Δh̃ (B, ...) of attributes with their scales c_i, learned with S steps, used with S̃.

    Asyrp Sec. 3.4   Δh̃ = S/S̃ Σ_i c_i f_i(h): the sum over all steps stays the same
    Asyrp Sec. F     that is, Δh̃ S̃ = Δh S
    Asyrp Alg. 1     Δh = S_for/S_gen Σ_i c_i f_i(h) of S points with both ends, S - 1 steps: that
                     ratio leaves the sum 2.5 % larger at 40 and 1000. The released code has
                     another 1/√M before the sum of M attributes

    A scale may be a number, or (B, 1, ...) of each sample its own.
    """
    total = sum(c * widened(delta) for c, delta in zip(scales, deltas, strict=True))
    assert isinstance(total, Tensor)
    return (S / S_used * total).to(deltas[0].dtype)


def mean_delta(deltas: Tensor) -> Tensor:
    """Return Δh_t^mean (T_e, ...) of Δh_t of N samples (N, T_e, ...).

    Asyrp Sec. 5.3a   Δh_t^mean = 1/N Σ_i Δh_t^i
    """
    return deltas.mean(0)


def global_delta(deltas: Tensor) -> Tensor:
    """Return Δh^global (...) of Δh_t^mean (T_e, ...) at the times of the editing interval.

    Asyrp Sec. 5.3a   Δh^global = 1/T_e Σ_t Δh_t^mean
    """
    return deltas.mean(0)


def editing_strength(distance: Tensor) -> Tensor:
    """Return ξ_t (n,) from LPIPS(x, P_t) (n,) at descending times, the first of which is T.

    Asyrp Sec. 4.1    ξ_t = LPIPS(x, P_T) - LPIPS(x, P_t)
    Asyrp Sec. 4.2b   from t_boost to 0 it grows by less than 0.25
    """
    return distance[0] - distance


def edit_threshold(text_distance: float) -> float:
    """Return LPIPS(x, P_t_edit) for texts at a cosine distance 1 - cos in [0, 2].

    Asyrp Sec. 4.1   0.33 - δ,   δ = 0.33 d(E_T(y_source), E_T(y_target))
    """
    return EDIT_DISTANCE * (1 - text_distance)


def t_edit(times: Sequence[int], distance: Sequence[float], threshold: float) -> int:
    """Return t_edit: the first time whose P_t is as far from x as the threshold, as released.

    Asyrp Sec. 4.1   LPIPS(x, P_t_edit) = 0.33 - δ
    Asyrp Tab. 2     30 of its 33 t_edit follow so from the authors' distances, the others within 1

    `distance` is LPIPS(x, P_t) at ascending `times`, and t_edit the last of all if none reaches
    the threshold. Where distances rise steadily it is the time above `t_edit_shortest`; where they
    do not, it may be far below, and the interval [T, t_edit] longer than it has to be.
    """
    return _first(times, distance, threshold)


def t_edit_shortest(times: Sequence[int], distance: Sequence[float], threshold: float) -> int:
    """Return t_edit of the shortest interval [T, t_edit] that is strong enough, as the text says.

    Asyrp Sec. 4.1   "the shortest editing interval" with LPIPS(x, P_t) ≤ 0.33 - δ at its end, that
                     is with a ξ_t of at least LPIPS(x, P_T) - 0.33 + δ

    `distance` is LPIPS(x, P_t) at ascending `times`; t_edit is the last time whose distance is not
    above the threshold, and the first of all, the longest interval there is, if none is that near.
    """
    _check(times, distance)
    near = (t for t, value in zip(times, distance, strict=True) if value <= threshold)
    return max(near, default=times[0])


def t_boost(
    times: Sequence[int], deficiency: Sequence[float], threshold: float = BOOST_DISTANCE
) -> int:
    """Return t_boost: the shortest interval [t_boost, 0] with enough noise in x_t_boost.

    Asyrp Sec. 4.2   γ_t = LPIPS(x, x_t),   γ_t_boost = 1.2
    Asyrp Tab. 2     its 5 t_boost follow so from the authors' distances

    `deficiency` is γ at ascending `times`; t_boost is the first that reaches the threshold, the
    last of all if none does.
    """
    return _first(times, deficiency, threshold)


def _first(times: Sequence[int], values: Sequence[float], threshold: float) -> int:
    _check(times, values)
    reached = (t for t, value in zip(times, values, strict=True) if value >= threshold)
    return next(reached, times[-1])


def _check(times: Sequence[int], values: Sequence[float]) -> None:
    rising = all(a < b for a, b in pairwise(times))
    if not times or len(times) != len(values) or not rising:
        raise ValueError(
            f"times: got {len(times)} times for {len(values)} distances, wanted as many, rising"
        )
