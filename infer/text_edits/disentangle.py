"""Disentangled edits: a weight per step and image that mixes the source's text with the target's.

Wu et al., arXiv 2212.08698. The weights are found for each image by a directional judge and LPIPS,
through all steps of the sampler and the decoder; nothing of any network is trained.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.core import disentangle as core
from latentgeo.core.asyrp import directional_loss
from latentgeo.core.guidance import guided
from latentgeo.core.text_editing import nulls_by_time
from latentgeo.infer.text_edits.editing import TextEdit, reconstruct
from latentgeo.models.judges.judge import Judge
from latentgeo.models.perceptual import Lpips


@dataclass(frozen=True, kw_only=True)
class Disentangle:
    """How the weights are found. The defaults are the released ones."""

    judge: Judge  # of L_CLIP
    perceptual: Lpips  # of L_perc
    rounds: int = 10  # of Adam
    rate: float = 0.05
    beta: float = 0.05  # of L_perc
    kept: int = 1  # last steps whose graph is kept


def disentangle(edit: TextEdit, x_T: Tensor, how: Disentangle) -> Tensor:
    """Return z_0 (B, C, h, w) of the edits.

    Disentangle Sec. 4b   x^(λ) at the λ found
    """
    like = edit.source.context
    start = core.first_weights(edit.steps, len(x_T), like.to(x_T.dtype))
    judge = judging(edit, x_T, how)

    def draw(weights: Tensor) -> Tensor:
        return drawn(edit, x_T, weights, how.kept)

    found = core.fit(draw, judge, start, how.rounds, how.rate)
    with torch.no_grad():
        return drawn(edit, x_T, found)


def drawn(edit: TextEdit, x_T: Tensor, weights: Tensor, kept: int = 1) -> Tensor:
    """Return z_0 (B, C, h, w) of texts mixed by weights λ (N, B), guided as the target is.

    Disentangle Sec. 4a
    """
    null_at = nulls_by_time(edit.null, edit.times)

    def predict(x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        mixture = context.to(edit.null.dtype)
        return guided(edit.predict, mixture, null_at(t), edit.target.w)(x, t)

    texts = edit.source.context, edit.target.context
    schedule = edit.bundle.schedule
    return core.sample_mixed(predict, schedule, x_T, edit.times, *texts, weights, kept)


def judging(edit: TextEdit, x_T: Tensor, how: Disentangle) -> Callable[[Tensor], Tensor]:
    """Return z_0 (B, C, h, w) -> the loss (B,), by which an edit is compared with its source.

    Disentangle Sec. 4b
    """
    with torch.no_grad():
        source = edit.bundle.decode(reconstruct(edit, x_T)).float()
        before = how.judge.images(source)
    texts = how.judge.texts(edit.sources), how.judge.texts(edit.targets)

    def loss(z: Tensor) -> Tensor:
        image = edit.bundle.decode(z).float()
        direction = directional_loss(before, how.judge.images(image), *texts)
        return core.loss(direction, how.perceptual(image, source), how.beta)

    return loss
