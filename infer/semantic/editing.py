"""Semantic editing: x_T goes down to x_0 with shifts of h, which enter the predicted x_0 alone.

Kwon, Jeong & Uh (arXiv 2210.10960), Sec. 4.3 and Alg. 1. A shift of zero, or a scale of zero, is
DDIM's own sampling, to the bit.

Notation   h what shifts are added to: the bottleneck, or another layer's features, or ε, as
           `layers.py` has it; f_i the direction of attribute i, c_i its scale, S the steps
           it was learned with, S̃ those it is used with; ε as the model is sampled, with x̂_0 in
           [-1, 1] if that is clipped
Time       the paper's t, of each sample its own; attribute i acts at T ≥ t ≥ t_edit of its own
           (Alg. 1 has one t_edit); η = 1 below t_boost, where no attribute acts any more
Cost       the encoder runs once per step and sample, the decoder once, and twice for samples that
           an attribute acts on
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from latentgeo.core import asyrp
from latentgeo.core.ddim import OnStep
from latentgeo.core.schedule import Schedule, batch_time, check_times, times
from latentgeo.infer.sampling.unprompted import Draw
from latentgeo.infer.semantic.layers import shiftable, shifted_eps
from latentgeo.models.bundles.delta_h import Direction, DirectionTable, GlobalDirection, embedding
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.unet_layers import H

NEVER = 2**31 - 1  # the t_edit of no attribute


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribute:
    """A direction, and where and how it was learned."""

    direction: Direction
    t_edit: int  # it acts at T ≥ t ≥ t_edit
    S: int  # steps of the process that it was learned in
    layer: str = H  # where it enters


@dataclass(frozen=True, kw_only=True, eq=False)
class Editing:
    """What is done to a batch of B samples.

    Raises ValueError where attributes enter at different layers: each shift is found on features
    that the other would have changed.
    """

    attributes: Sequence[Attribute]  # M of them
    scales: Tensor  # (B, M), c_i, of any sign
    t_boost: int = 0  # fresh noise (η = 1) at t < t_boost; 0 is none
    overlap: asyrp.Overlap = "printed"  # what is done at t_edit ≤ t < t_boost
    both: bool = False  # the shift enters D_t too: the symmetric process of Theorem 1, to compare

    def __post_init__(self) -> None:
        """Refuse several layers."""
        found = sorted({one.layer for one in self.attributes})
        if len(found) > 1:
            raise ValueError(f"layer: got attributes of {', '.join(found)}, wanted one for all")

    @property
    def layer(self) -> str:
        """Where the shifts enter."""
        return self.attributes[0].layer if self.attributes else H

    def acting(self, t: Tensor) -> Tensor:
        """Return the scales (B, M) at times t (B,): 0 of what does not act there.

        Asyrp Eq. 9   f_t acts where an attribute's own t_edit has it act
        """
        starts = torch.tensor([[one.t_edit for one in self.attributes]], device=t.device)
        return self.scales.to(t.device) * self._phases(t[:, None], starts).edits

    def phases(self, t: Tensor) -> asyrp.Phases:
        """Return which of times t (B,) some attribute acts at, and which are boosted."""
        return self._phases(t, torch.full_like(t, self.t_edit))

    def _phases(self, t: Tensor, t_edit: Tensor) -> asyrp.Phases:
        return asyrp.phases(t, t_edit, torch.full_like(t, self.t_boost), self.overlap)

    @property
    def t_edit(self) -> int:
        """The time below which no attribute acts."""
        return min((one.t_edit for one in self.attributes), default=NEVER)


def editing_times(schedule: Schedule, steps: int) -> tuple[int, ...]:
    """Return the times of inversion and editing: `steps` from T to 1, and 0.

    Asyrp Alg. 1   τ_1 = 0, τ_S = T: inversions and edits of any two lengths meet at T
    """
    return times(schedule, steps, "linspace", final="zero")


@torch.no_grad()
def edit(
    model: ImageModel,
    x: Tensor,
    editing: Editing,
    visited: tuple[int, ...],
    draw: Draw | None = None,
    labels: Tensor | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Return x̃ (B, C, h, w) at visited[-1] of x = x_T (B, C, h, w) at visited[0].

    Asyrp Alg. 1   its second step, of M attributes, S̃ = len(visited) - 1 steps

    `draw(x)` gives the noise z of a boosted step. Raises ValueError if there is none.
    """
    check_times(model.schedule, visited)
    steps = len(visited) - 1
    for t, t_prev in pairwise(visited):
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        noise = _noise(x, draw) if editing.phases(now).boosts.any() else torch.zeros_like(x)
        x = semantic_step(model, x, now, prev, editing, steps, noise, labels)
        if on_step is not None:
            on_step(t_prev, x)
    return x


def semantic_step(
    model: ImageModel,
    x: Tensor,
    t: Tensor,
    t_prev: Tensor,
    editing: Editing,
    steps: int,
    noise: Tensor,
    labels: Tensor | None = None,
) -> Tensor:
    """Return x̃ at t_prev (B, C, h, w) from x at t, both (B,), every sample in its own phase.

    Asyrp Eq. 9    as `asyrp.edit_step` has it, with ε(x_t | f_t) where an attribute acts
    Asyrp Thm. 1   with editing.both ε(x_t | f_t) is in D_t, too: DDIM's step of a shifted network
    """
    layer = editing.layer
    h, skips = shiftable(model, x, t, labels, layer)
    eps = shifted_eps(model, x, h, skips, t, labels, layer)
    scales = editing.acting(t).to(h)
    rows = scales.any(1).nonzero().flatten()
    shifted = eps
    if len(rows):
        some = None if labels is None else labels[rows]
        h, skips, t_of = h[rows], tuple(skip[rows] for skip in skips), t[rows]
        delta = total_shift(model, editing.attributes, scales[rows], h, t_of, steps, some)
        found = shifted_eps(model, x[rows], h + delta, skips, t_of, some, layer)
        shifted = eps.index_copy(0, rows, found)
    in_D = shifted if editing.both else eps
    return asyrp.edit_step(model.schedule, x, shifted, in_D, t, t_prev, editing.phases(t), noise)


def total_shift(
    model: ImageModel,
    attributes: Sequence[Attribute],
    scales: Tensor,
    h: Tensor,
    t: Tensor,
    steps: int,
    labels: Tensor | None = None,
) -> Tensor:
    """Return Δh̃ (B, C, H, W) of attributes with scales (B, M) at h (B, C, H, W) and t (B,).

    Asyrp Alg. 1     Δh = S_for/S_gen Σ_i c_i f_i(h)
    Asyrp Sec. N.2   any strengths c_i at once
    """
    temb = embedding(model, t, labels)
    total = torch.zeros_like(h)
    for one, c in zip(attributes, scales.T, strict=True):
        if c.any():
            found = one.direction(h, temb, t)
            total = total + asyrp.scaled([found], [c[:, None, None, None]], one.S, steps)
    return total


@torch.no_grad()
def averaged(
    model: ImageModel, x: Tensor, attribute: Attribute, visited: tuple[int, ...]
) -> DirectionTable:
    """Return Δh_t^mean at the editing times, from edits of x = x_T (N, C, h, w) at scale 1.

    Asyrp Sec. 5.3a   Δh_t^mean = 1/N Σ_i Δh_t^i (the paper: N = 20)

    Raises ValueError where no step lies at or above the attribute's t_edit.
    """
    found: dict[int, Tensor] = {}

    def recorded(h: Tensor, temb: Tensor, t: Tensor) -> Tensor:
        delta = attribute.direction(h, temb, t)
        found[int(t[0])] = delta.expand_as(h)
        return delta

    ones = torch.ones(len(x), 1, device=x.device)
    editing = Editing(attributes=[replace(attribute, direction=recorded)], scales=ones)
    for t, t_prev in pairwise(visited):
        if t < attribute.t_edit:
            break
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        zeros = torch.zeros_like(x)
        x = semantic_step(model, x, now, prev, editing, len(visited) - 1, zeros)
    if not found:
        raise ValueError(
            f"t_edit: got {attribute.t_edit}, wanted at most {visited[0]}, the first step"
        )
    return DirectionTable(list(found), asyrp.mean_delta(torch.stack(list(found.values()), dim=1)))


def everywhere(table: DirectionTable) -> GlobalDirection:
    """Return one Δh for all times.

    Asyrp Sec. 5.3   Δh^global = 1/T_e Σ_t Δh_t^mean
    """
    return GlobalDirection(asyrp.global_delta(table.shifts.detach()))


def _noise(x: Tensor, draw: Draw | None) -> Tensor:
    if draw is None:
        raise ValueError("draw: boosting the quality puts noise back, wanted a function that draws")
    return draw(x)
