"""Step-wise Variation Regularization (Guo et al., Smooth Diffusion, arXiv 2312.04410, Sec. 3.3).

The regularizer asks the map from the noise ε to the predicted clean sample x̂_0 to stretch all
directions alike at every step t. `variation_routes.py` computes its statistic v; here are the
directions, the running mean a, the loss, and what v says about Eq. 8.

Notation  v_i = √(1-ᾱ_t) ‖J_εᵀ Δx̂_0‖ per sample, J_ε = ∂x̂_0/∂ε through x_t = √ᾱ_t x_0 + √(1-ᾱ_t) ε
          and the network; a is the mean of v
Scale     J_ε = √(1-ᾱ_t) J_{x_t}, so v carries 1-ᾱ_t in all. For unit Gaussian data and the exact
          denoiser x̂_0 = √ᾱ_t x_t, hence v(t) = √ᾱ_t (1-ᾱ_t) with Eq. 9's pre-factor: 0 at t = 0,
          0.385 at ᾱ = 1/3, 0.068 at T (Stable Diffusion's schedule). One a for all t (the paper's)
          therefore penalises a right answer; a mean per range of t is offered beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.core.precision import norms, widened, widest
from latentgeo.core.schedule import Schedule, column


def unit_direction(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return Δx̂_0 (B, ...), uniform on the unit sphere of each sample of `like` (B, ...).

    Smooth Eq. 9   "normally sampled pixel intensities normalized to unit length": ‖Δx̂_0‖ = 1
    """
    direction = _normal(like, generator)
    return (widened(direction) / column(norms(direction), like)).to(like.dtype)


def official_direction(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return Δx̂_0 ~ N(0, I/n) (B, ...), n elements per sample, as the released code draws it.

    Smooth Eq. 9, with ‖Δx̂_0‖ = 1 in the mean square only.
    """
    return _normal(like, generator) / like[0].numel() ** 0.5


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


@dataclass(frozen=True, eq=False)
class RunningMean:
    """The state of a: per range of t, a moving average that began at zero and its updates so far.

    One range (K = 1) is the paper's statistic. The two tensors are all there is to save, resume and
    compare between processes.
    """

    raw: Tensor  # (K,) float64, on Metal float32
    count: Tensor  # (K,) int64
    decay: float = 0.99  # StyleGAN2's and the released code's


def running_mean(
    ranges: int = 1, decay: float = 0.99, device: torch.device | str = "cpu"
) -> RunningMean:
    """Return the state before any update: one a for all t (the paper's) or one per K-th of 1..T.

    It is kept on `device`, and so is what `update` and `mean_at` return. Raises ValueError unless
    ranges ≥ 1 and 0 ≤ decay < 1.
    """
    if ranges < 1 or not 0 <= decay < 1:
        raise ValueError(f"ranges must be at least 1 and decay in [0, 1), got {ranges} and {decay}")
    raw = torch.zeros(ranges, dtype=widest(torch.device(device)), device=device)
    return RunningMean(raw, torch.zeros(ranges, dtype=torch.int64, device=device), decay)


def range_of(state: RunningMean, schedule: Schedule, t: Tensor) -> Tensor:
    """Return the index (B,) of the range that each t (B,) in 1..T falls into."""
    return (t - 1) * len(state.raw) // schedule.T


def batch_sums(state: RunningMean, schedule: Schedule, v: Tensor, t: Tensor) -> Tensor:
    """Return Σv and the number of samples per range (2, K) from v and t (B,).

    Processes add these up before `update`, so that all of them hold the same a.
    """
    index = range_of(state, schedule, t).to(v.device)
    exact = widest(v.device)
    zeros = torch.zeros(len(state.raw), dtype=exact, device=v.device)
    values = v.detach().to(exact)
    return torch.stack(
        [zeros.index_add(0, index, values), zeros.index_add(0, index, torch.ones_like(values))]
    )


def update(state: RunningMean, sums: Tensor) -> RunningMean:
    """Return the state after one batch with the given sums (2, K).

    Smooth Eq. 9   a ← a + (1 - decay) (mean v - a), in the ranges that have a sample

    A batch is all samples of an optimiser step; the released code updates with each of its parts,
    8 times a step, and each process with its own.
    """
    total, samples = sums.to(state.raw)
    seen = samples > 0
    mean = total / samples.clamp(min=1)
    raw = torch.where(seen, state.raw + (1 - state.decay) * (mean - state.raw), state.raw)
    return RunningMean(raw, state.count + seen, state.decay)


def mean_at(state: RunningMean, schedule: Schedule, t: Tensor) -> Tensor:
    """Return a (B,) for the times t (B,); `batch_sums` has cut it from any graph.

    Smooth Eq. 9   a = raw / (1 - decay^count)   (corrected: the released code uses `raw`)

    The division undoes the start at zero, as Adam does: after one update a is that batch's mean of
    v, where `raw` is 0.01 of it. Raises ValueError for a t whose range has had no update; on a GPU,
    which looking would make wait, a is NaN there.
    """
    index = range_of(state, schedule, t).to(state.raw.device)
    if index.device.type == "cpu" and bool((state.count[index] == 0).any()):
        raise ValueError("the running mean is empty for some t: update it with the batch first")
    return (state.raw / (1 - state.decay ** state.count.to(state.raw.dtype)))[index]


def regularizer(v: Tensor, a: Tensor) -> Tensor:
    """Return the penalty () on v (B,); a is (B,) or () and receives no gradient.

    Smooth Eq. 9   L_reg = E (√(1-ᾱ_t) ‖J_εᵀ Δx̂_0‖ - a)²

    The released code differentiates the 1 % of this batch in a, too: at most 1 % of the gradient.
    """
    v = widened(v)
    return (v - a.detach().to(v)).square().mean()


def objective(base: Tensor, reg: Tensor, weight: float = 1.0) -> Tensor:
    """Return the training loss () from the base loss () and the penalty (); λ = 1 in the paper.

    Smooth Eq. 14   L = L_base + λ L_reg
    """
    return base + weight * reg


def step_ratio(schedule: Schedule, v: Tensor, t: Tensor) -> Tensor:
    """Return the C (B,) of the step-wise objective that the statistic v (B,) at t (B,) implies.

    Smooth Eq. 8    ‖Δx̂_0‖ = C ‖Δx_t‖ = C √(1-ᾱ_t) ‖Δε‖
    Smooth Eq. 11   J_εᵀ Δx̂_0 = K J_ε⁻¹ Δx̂_0 = K Δε, if J_ε J_εᵀ = K I
    Smooth Eq. 12   a = √(1-ᾱ_t) K ‖Δε‖
    Smooth Eq. 13   ‖Δx̂_0‖ = K/a √(1-ᾱ_t) ‖Δε‖, so C = K/a

    With ‖Δx̂_0‖ = 1, Eq. 12 says K = a²/(1-ᾱ_t), hence C = a/(1-ᾱ_t) = ‖J_{x_t}ᵀ Δx̂_0‖: one a for
    all t makes C depend on t, which the paper calls a constant. Regularizing this ratio in place of
    v would be the exact form of Eq. 8.
    """
    return v / (1 - schedule.bar(t, v))


def global_ratio(noise: Tensor, noise_moved: Tensor, x_0: Tensor, x_0_moved: Tensor) -> Tensor:
    """Return C (B,), how far the sampled image moves per unit its noise moves; all (B, ...).

    Smooth Eq. 7   ‖Δx̂_0‖ = C ‖Δx_T‖ = C ‖Δε‖
    """
    moved = widened(x_0_moved) - widened(x_0)
    return norms(moved) / norms(widened(noise_moved) - widened(noise))
