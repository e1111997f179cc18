"""Editing by a change of prompt: the source's noise, denoised towards the target.

Smooth Diffusion (Guo et al., arXiv 2312.04410), Sec. 4.4, and SDEdit (Meng et al., arXiv
2108.01073). What both edits of attention maps need, a source and a target denoised side by side,
is here too.

Notation  C_src, C_trg are `source`, `target`; r `release`; ∅_t `null`; w the guidance scale
Time      the paper's t; `times` is a descending tuple of N + 1 (schedule.times), the i-th step
          goes from times[i] to times[i + 1]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.core import ddim
from latentgeo.core.ddpm import q_sample
from latentgeo.core.guidance import PredictWithContext, guide, guided, per_sample
from latentgeo.core.parameterization import Predict
from latentgeo.core.schedule import Schedule, batch_time, column, late_times


def switched(source: Predict, target: Predict, schedule: Schedule, release: float) -> Predict:
    """Return `predict(x_t, t)` that follows the source's prompt down to T r and then the target's.

    Smooth Eq. 15   ε(x_t, t, C, ∅_t) = ε(x_t, t, C_src, ∅_t) for t > T r,
                                        ε(x_t, t, C_trg, ∅_t) for t ≤ T r

    release is r in [0, 1]: 0 is the source throughout, 1 the target. The released code counts
    steps, i < (1-r) N, the same where (1-r) N is whole and N divides T. Raises ValueError outside.
    """
    check_share("release", release)
    last = round(schedule.T * release, 6)  # 0.29 · 100 is 28.999999999999996

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        early = t > last
        if bool(early.all()):
            return source(x_t, t)
        if not bool(early.any()):
            return target(x_t, t)
        return torch.where(column(early, x_t), source(x_t, t), target(x_t, t))

    return predict


def nulls_by_time(null: Tensor, times: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """Return t (B,) -> ∅_t (1, L, D), for a batch that is at one of the N + 1 times.

    null is (N, L, D), the i-th for the step that leaves times[i], as null-text inversion finds
    them, or one for all steps (1, L, D). Raises ValueError on another number of them.
    """
    if len(null) not in (1, len(times) - 1):
        raise ValueError(f"null has {len(null)} rows: give 1 or one per step, {len(times) - 1}")
    if len(null) == 1:
        return lambda t: null
    step = {time: i for i, time in enumerate(times[:-1])}
    return lambda t: null[step[int(t[0])]][None]


def guided_by_time(
    predict: PredictWithContext, context: Tensor, null: Tensor, times: tuple[int, ...], w: float
) -> Predict:
    """Bind `predict(x_t, t, context)` to a guided `predict(x_t, t) -> ε` with ∅_t of its own.

    Smooth Eq. 5   w ε(x_t, t, ξ) + (1-w) ε(x_t, t, ∅_t)

    context is (B, L, D) or (1, L, D); null as in `nulls_by_time`.
    """
    null_at = nulls_by_time(null, times)
    return lambda x_t, t: guided(predict, context, null_at(t), w)(x_t, t)


@dataclass(frozen=True, eq=False)
class Prompted:
    """What one side of an edit is denoised towards: its prompt, (B, L, D) or (1, L, D), and w."""

    context: Tensor
    w: float


def guided_pair(
    predict: PredictWithContext,
    source: Prompted,
    target: Prompted,
    null: Tensor,
    times: tuple[int, ...],
) -> Predict:
    """Return `predict(x_t, t) -> ε` of B sources and their B targets, x_t (2B, ...), in one call.

    Smooth Eq. 5 for either side. The network sees the rows `[source, target]`, behind them
    `[target under ∅_t]` unless both w are 1, and `[source under ∅_t]` unless the source's w is 1: B
    rows each, so that an edit of attention finds the pairs.
    """
    null_at = nulls_by_time(null, times)

    def both(x_t: Tensor, t: Tensor) -> Tensor:
        x_source, x_target = x_t.chunk(2)
        rows = [(x_source, source.context), (x_target, target.context)]
        if source.w != 1 or target.w != 1:
            rows.append((x_target, null_at(t)))
        if source.w != 1:
            rows.append((x_source, null_at(t)))
        x = torch.cat([row for row, _ in rows])
        context = torch.cat([per_sample(prompt, row) for row, prompt in rows])
        eps = predict(x, t[:1].expand(len(x)), context).chunk(len(rows))
        eps_source = guide(eps[0], eps[3], source.w) if source.w != 1 else eps[0]
        eps_target = guide(eps[1], eps[2], target.w) if len(rows) > 2 else eps[1]
        return torch.cat([eps_source, eps_target])

    return both


def sdedit(
    predict: Predict,
    schedule: Schedule,
    x_0: Tensor,
    noise: Tensor,
    times: tuple[int, ...],
    strength: float,
) -> Tensor:
    """Return x_0 (B, ...) noised as far as the strength says and denoised by `predict`.

    SDEdit Alg. 1   x ← x^(g) + σ(t_0) z, then the reverse process from t_0 to 0
                    (rearranged: with the noise √ᾱ x_0 + √(1-ᾱ) z of DDPM, and DDIM's steps)

    t_0 = times[i] is left for the last round(strength N) steps; strength in (0, 1].
    """
    visited = late_times(times, strength)
    x = q_sample(schedule, x_0, batch_time(visited[0], x_0), noise)
    return ddim.sample(predict, schedule, x, visited)


def check_share(name: str, value: float) -> None:
    """Raise ValueError unless the value is a share in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")
