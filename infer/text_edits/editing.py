"""What every text edit needs: the prompts as the network has them, the noise behind an image.

Notation   x_T (B, C, h, w) the noise of the sources; z_0 the latents of images. A source and its
           target are row i and row B + i where both are denoised at once.
Guidance   The source has a scale of its own: an image that was inverted at w = 1 is reconstructed
           at w = 1, or at any w with the null embeddings ∅_t that null-text inversion found for it.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from latentgeo.core import cycle_diffusion as dpm_encoder
from latentgeo.core import ddim, text_editing
from latentgeo.core.guidance import PredictWithContext
from latentgeo.core.parameterization import Predict
from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import batch_time, late_times
from latentgeo.core.text_editing import Prompted, guided_by_time, guided_pair
from latentgeo.infer.sampling.pipeline import network, sampling_times
from latentgeo.models.bundles.text_to_image import TextToImage

Intervene = Callable[[int], AbstractContextManager[object]]  # around the network, at step i
Settle = Callable[[int, Tensor], Tensor]  # after step i, of x (2B, C, h, w)
Draw = Callable[[int], Tensor]  # of n: standard normal noises (n, B, C, h, w), the same each time


@dataclass(frozen=True, eq=False, kw_only=True)
class TextEdit:
    """B edits by one model: what each image shows and what it shall show."""

    bundle: TextToImage
    sources: tuple[str, ...]  # B prompts
    targets: tuple[str, ...]  # B prompts
    source: Prompted
    target: Prompted
    null: Tensor  # ∅_t (N, L, D), one per step, or (1, L, D) for all
    times: tuple[int, ...]  # N + 1

    @property
    def steps(self) -> int:
        """N, the steps of a whole run."""
        return len(self.times) - 1

    @property
    def predict(self) -> PredictWithContext:
        """The network as (x_t, t, context) -> ε (B, C, h, w), in x_t's dtype."""
        return network(self.bundle)

    @property
    def predict_source(self) -> Predict:
        """ε of the sources, (x_t (B, C, h, w), t (B,)) -> (B, C, h, w), guided as they are."""
        return self._guided(self.source)

    @property
    def predict_target(self) -> Predict:
        """ε of the targets, (x_t (B, C, h, w), t (B,)) -> (B, C, h, w), guided as they are."""
        return self._guided(self.target)

    def _guided(self, side: Prompted) -> Predict:
        return guided_by_time(self.predict, side.context, self.null, self.times, side.w)


@torch.no_grad()
def editing(
    bundle: TextToImage,
    sources: Sequence[str],
    targets: Sequence[str],
    steps: int,
    guidance: float,
    source_guidance: float,
    null: Tensor | None = None,
) -> TextEdit:
    """Return the edits of B prompts into B others; `null` is the empty prompt if not given.

    `null` is ∅_t (N, L, D), one for each of N = `steps`, or (1, L, D) for all. Raises ValueError
    unless there are as many targets as sources, and some.
    """
    if len(sources) != len(targets) or not sources:
        raise ValueError(f"targets: got {len(targets)} for {len(sources)} sources, wanted as many")
    return TextEdit(
        bundle=bundle,
        sources=tuple(sources),
        targets=tuple(targets),
        source=Prompted(bundle.encode_text(sources), source_guidance),
        target=Prompted(bundle.encode_text(targets), guidance),
        null=bundle.encode_text([""]) if null is None else null.to(bundle.device, bundle.dtype),
        times=sampling_times(bundle, steps),
    )


@torch.no_grad()
def invert(
    bundle: TextToImage, z_0: Tensor, prompts: Sequence[str], times: tuple[int, ...], refine: int
) -> Tensor:
    """Return x_T (B, C, h, w) that denoises to z_0 at w = 1, by DDIM inversion.

    Smooth Eq. 4
    """
    context, eps = bundle.encode_text(prompts), network(bundle)
    return ddim.invert(lambda x_t, t: eps(x_t, t, context), bundle.schedule, z_0, times, refine)


@torch.no_grad()
def reconstruct(edit: TextEdit, x_T: Tensor) -> Tensor:
    """Return z_0 (B, C, h, w) of the sources themselves."""
    return ddim.sample(edit.predict_source, edit.bundle.schedule, x_T, edit.times)


@torch.no_grad()
def smooth(edit: TextEdit, x_T: Tensor, release: float) -> Tensor:
    """Return z_0 (B, C, h, w) of the edits.

    Smooth Eq. 15   the source's prompt for t > T r, the target's for t ≤ T r
    """
    schedule = edit.bundle.schedule
    predict = text_editing.switched(edit.predict_source, edit.predict_target, schedule, release)
    return ddim.sample(predict, schedule, x_T, edit.times)


@torch.no_grad()
def sdedit(edit: TextEdit, z_0: Tensor, noise: Tensor, strength: float) -> Tensor:
    """Return z_0 (B, C, h, w) of the edits: noised as far as the strength says, and denoised.

    SDEdit Alg. 1
    """
    return text_editing.sdedit(
        edit.predict_target, edit.bundle.schedule, z_0, noise, edit.times, strength
    )


@torch.no_grad()
def cycle_diffusion(edit: TextEdit, z_0: Tensor, draw: Draw, strength: float, eta: float) -> Tensor:
    """Return z_0 (B, C, h, w) of the edits: encoded as the sources, decoded as the targets.

    Cycle Alg. 1   T_es is the time that leaves the last round(strength N) steps
    """
    visited = late_times(edit.times, strength)
    return dpm_encoder.cycle_diffusion(
        edit.predict_source,
        edit.predict_target,
        edit.bundle.schedule,
        z_0,
        draw(len(visited) - 1),
        visited,
        eta,
    )


def drawing(seeds: Sequence[int], like: Tensor) -> Draw:
    """Return what draws noises for images `like` (B, C, h, w), each from a seed of its own."""

    def draw(count: int) -> Tensor:
        each = [
            [torch.randn(like.shape[1:], generator=source) for _ in range(count)]
            for source in map(generator, seeds)
        ]
        return torch.stack([torch.stack(rows) for rows in each], dim=1).to(like)

    return draw


@torch.no_grad()
def side_by_side(
    edit: TextEdit, x_T: Tensor, intervene: Intervene, settle: Settle | None = None
) -> Tensor:
    """Return z_0 (2B, C, h, w), sources before targets, from one noise x_T (B, C, h, w) for both.

    The network of step i runs inside `intervene(i)`; `settle(i, x)` then changes what it reached.
    Its rows are those of `guided_pair`.
    """
    predict = guided_pair(edit.predict, edit.source, edit.target, edit.null, edit.times)
    x = torch.cat([x_T, x_T])
    for i, (t, t_prev) in enumerate(pairwise(edit.times)):
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        with intervene(i):
            eps = predict(x, now)
        x = ddim.step(edit.bundle.schedule, x, eps, now, prev)
        x = x if settle is None else settle(i, x)
    return x
