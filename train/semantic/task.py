"""Training of directions in h-space: Kwon, Jeong & Uh (arXiv 2210.10960), Sec. 3 and Alg. 2.

A step is of one time t of a batch: the gradient of f_t at x̃_t, which is held fixed, and then both
paths, the edited one and its source, go on to the next time.

Notation   x (1 + M, B, C, h, w) the source's path and those of M attributes; P_edit, P the
           predictions of edit and source, as the model is sampled (clipped, if it is)
Steps      one at every time, as released; in the text that we have, line 18 of Alg. 2 stands below
           the loop over s, which would be one a path, of the last time's loss alone
Judged     P_edit beside P of the source's own path, as Alg. 2 prints it (the released code takes
           the real image in its place)
Together   M attributes have M losses, whose sum has each one's gradient: under plain gradient
           descent they are what they would be alone
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from latentgeo.core import asyrp
from latentgeo.core.ddim import step_from_x_0
from latentgeo.core.schedule import batch_time
from latentgeo.infer.semantic.editing import Attribute, Editing, edit
from latentgeo.infer.semantic.layers import shiftable, shifted_eps
from latentgeo.models.bundles.delta_h import embedding
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.formats.delta_file import Learned, Purpose, write_direction
from latentgeo.train.data.draws import Draws
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.task import Batch, Terms
from latentgeo.train.semantic.settings import TrainAsyrp
from latentgeo.train.semantic.trajectories import OnPaths, Paths


@dataclass(frozen=True, kw_only=True, eq=False)
class Learning:
    """One attribute that is learned."""

    direction: Learned
    purpose: Purpose
    texts: Tensor  # (2, K), E_T of source and target
    t_edit: int
    clip_weight: float
    recon_weight: float


class AsyrpTask(OnPaths):
    """What the loop trains: the directions; the model and the judge are frozen."""

    def __init__(
        self,
        model: ImageModel,
        judge: asyrp.Judge,
        learnings: Sequence[Learning],
        visited: tuple[int, ...],
        settings: TrainAsyrp,
        shown: Tensor,
    ) -> None:
        """Learn at `visited`, times from T to 0; `shown` (N, C, h, w) are the grid's x_T."""
        self.model, self.judge, self.learnings = model, judge, learnings
        self.visited, self.settings, self.shown = visited, settings, shown
        self.places = sum(t >= min(one.t_edit for one in learnings) for t in visited[:-1])
        self.paths = Paths(1 + len(learnings), settings.batch, self.places)
        self.device = model.device

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the weights of all directions."""
        return {
            f"{one.purpose.name}.{name}": weight
            for one in self.learnings
            for name, weight in one.direction.named_parameters()
        }

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        """Return the sum over attributes of mean losses of x_T (B, C, h, w), at its next time.

        Asyrp Alg. 2   its second step, lines 12 to 17
        """
        place, x = self.paths.at(draws.first, batch[0].to(self.model.device))
        t, t_prev = self.visited[place : place + 2]
        acting = [i for i, one in enumerate(self.learnings) if t >= one.t_edit]
        ways = [0, *(1 + i for i in acting)]
        total, terms, x[ways] = self._step(x[ways], acting, t, t_prev)
        return total, terms

    def _step(
        self, x: Tensor, acting: Sequence[int], t: int, t_prev: int
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Return the loss, its terms, and where x (1 + A, B, ...) of A attributes is at t_prev."""
        model, flat, (ways, count) = self.model, x.flatten(0, 1), x.shape[:2]
        layer = self.settings.layer
        now, prev = batch_time(t, flat), batch_time(t_prev, flat)
        with torch.no_grad():
            h, skips = shiftable(model, flat, now, layer=layer)
            eps = shifted_eps(model, flat, h, skips, now, layer=layer)
            P = asyrp.predicted(model.schedule, flat[:count], eps[:count], now[:count])
            source = self.judge.images(model.decode(P))
            temb = embedding(model, now[count:])
        each = zip(acting, h[count:].split(count), temb.split(count), strict=True)
        deltas = [
            self.learnings[i].direction(own, time, now[:count]).expand_as(own)
            for i, own, time in each
        ]
        shifted = h[count:] + torch.cat(deltas)
        rest = tuple(skip[count:] for skip in skips)
        found = shifted_eps(model, flat[count:], shifted, rest, now[count:], layer=layer)
        P_edit = asyrp.predicted(model.schedule, flat[count:], found, now[count:])
        seen = self.judge.images(model.decode(P_edit))
        total, terms = self._judged(acting, P_edit.split(count), seen.split(count), P, source)
        with torch.no_grad():
            both = torch.cat([P, P_edit.detach()])
            x_prev = step_from_x_0(model.schedule, both, eps, now, prev)
        return total, terms, x_prev.unflatten(0, (ways, count))

    def _judged(
        self,
        acting: Sequence[int],
        edits: Sequence[Tensor],
        seen: Sequence[Tensor],
        P: Tensor,
        source: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum of the attributes' losses, and the parts of each.

        Asyrp Eq. 7   L^(t) = λ_CLIP L_direction + λ_recon |P_edit - P_source|
        """
        total, terms = P.new_zeros(()), {}
        for i, P_edit, image in zip(acting, edits, seen, strict=True):
            one = self.learnings[i]
            direction = asyrp.directional_loss(source, image, *one.texts)
            weights = one.clip_weight, one.recon_weight
            total = total + asyrp.training_loss(direction, P_edit, P, *weights).mean()
            terms[f"{one.purpose.name}.direction"] = direction.detach().mean()
            terms[f"{one.purpose.name}.recon"] = (P_edit.detach() - P).abs().mean()
        return total, terms

    def sample_grid(self) -> Tensor:
        """Return each shown image before its edits by every attribute: (N (1 + M), 3, H, W)."""
        attributes = [self.attribute(one) for one in self.learnings]
        width = 1 + len(attributes)
        scales = torch.eye(width)[:, 1:].repeat(len(self.shown), 1)
        x_T = self.shown.repeat_interleave(width, 0).to(self.model.device)
        editing = Editing(attributes=attributes, scales=scales)
        return self.model.decode(edit(self.model, x_T, editing, self.visited)).float().cpu()

    def attribute(self, one: Learning) -> Attribute:
        """Return what is learned in the form that it is used in."""
        S, layer = self.settings.trained_steps, self.settings.layer
        return Attribute(direction=one.direction, t_edit=one.t_edit, S=S, layer=layer)

    def save(self, folder: Path) -> None:
        """Write a file per attribute."""
        for one in self.learnings:
            path = folder / f"{one.purpose.name}.safetensors"
            print(f"wrote {write_direction(path, one.direction, one.purpose)}", flush=True)


class Descent(Loop):
    """The loop with plain gradient descent, as released: no momentum, no decay."""

    def new_optimizer(self) -> torch.optim.Optimizer:
        """Return it, at the settings' rate."""
        return torch.optim.SGD(self.weights.values(), lr=self.settings.rate)
