"""Pix2Pix-Zero: the source's embedding moved along a direction, its attention maps kept.

Parmar et al., arXiv 2302.03027. Each step runs the source first, for its maps, and then the target
twice: once with a graph, for the gradient that leads x_t back to those maps, and once for ε. The
paper stores the source's maps of all steps instead.

The maps are written out by `attention_control.probabilities`: the fused kernel of
kernels/attention never has them in memory, which is what it is for.

Notation   Δc the direction; M_t the maps of cross-attention, (B, heads, N, L) per layer
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from latentgeo.core import ddim
from latentgeo.core import pix2pix_zero as zero
from latentgeo.core.pix2pix_zero import Whitening
from latentgeo.core.schedule import batch_time
from latentgeo.core.text_editing import Prompted
from latentgeo.infer.text_edits.editing import TextEdit
from latentgeo.models.attention_control import Site, controlled, probabilities, sites
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.judges.captions import ATTRIBUTES, caption, parse_caption


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """Sentences of one edit: with the source's word, and with the target's."""

    source: tuple[str, ...]
    target: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PixToPixZero:
    """How an edit is made. The defaults are the released ones."""

    sentences: tuple[Sentences, ...]  # of each edit
    map_weight: float = 0.1  # λ_xa, the length of a step towards the source's maps


def sentences_of(source: str, target: str, count: int) -> Sentences:
    """Return `count` captions of faces on either side that differ as the two prompts do.

    Of the avatars' grammar: what both prompts state alike is drawn anew for each pair, so that it
    has no part in the mean. Prompts in other words are their own only sentences.
    """
    said, wanted = parse_caption(source), parse_caption(target)
    if caption(said, set(said)) != source or caption(wanted, set(wanted)) != target:
        return Sentences(source=(source,), target=(target,))
    alike = [name for name in said if said[name] == wanted.get(name)]
    rng = random.Random(0)
    pairs = []
    for _ in range(count):
        drawn = {name: rng.choice([v for v in ATTRIBUTES[name] if v != "none"]) for name in alike}
        pairs.append([caption(side | drawn, set(side)) for side in (said, wanted)])
    return Sentences(source=tuple(p[0] for p in pairs), target=tuple(p[1] for p in pairs))


@torch.no_grad()
def directions(bundle: TextToImage, sentences: Sequence[Sentences]) -> Tensor:
    """Return Δc (B, L, D) of each edit's sentences.

    PixZero Sec. 3.2
    """
    found = [
        zero.edit_direction(bundle.encode_text(one.source), bundle.encode_text(one.target))
        for one in sentences
    ]
    return torch.cat(found)


def moved(edit: TextEdit, sentences: Sequence[Sentences]) -> TextEdit:
    """Return the edit whose targets are the sources' embeddings and their directions.

    PixZero Alg. 1   c_edit = c + Δc_edit
    """
    context = edit.source.context + directions(edit.bundle, sentences)
    return replace(edit, target=Prompted(context, edit.target.w))


@torch.no_grad()
def inverted(edit: TextEdit, z_0: Tensor, how: Whitening) -> Tensor:
    """Return x_T (B, C, h, w) by DDIM inversion at w = 1, every ε whitened on the way.

    PixZero Sec. 3.1b   as printed: once per step, without refinement; no round is plain inversion
    """
    plain = replace(edit, source=Prompted(edit.source.context, 1.0))
    predict = zero.whitening(plain.predict_source, how)
    return ddim.invert(predict, edit.bundle.schedule, z_0, edit.times)


@torch.no_grad()
def pix2pix_zero(edit: TextEdit, x_T: Tensor, how: PixToPixZero) -> Tensor:
    """Return z_0 (2B, C, h, w), reconstructed sources before their edits.

    PixZero Alg. 1   x_t ← x_t - λ_xa ∇ ‖M_t^edit - M_t^ref‖², then the step with ε(x_t, t, c_edit)
    """
    edit, schedule = moved(edit, how.sentences), edit.bundle.schedule
    source = target = x_T
    for t, t_prev in pairwise(edit.times):
        now, prev = batch_time(t, x_T), batch_time(t_prev, x_T)
        if how.map_weight:
            kept = maps(edit, source, now, edit.source.context)

            def seen(x: Tensor, now: Tensor = now) -> list[Tensor]:
                return maps(edit, x, now, edit.target.context)

            target = zero.guided_by_maps(seen, target, kept, how.map_weight)
        source = ddim.step(schedule, source, edit.predict_source(source, now), now, prev)
        target = ddim.step(schedule, target, edit.predict_target(target, now), now, prev)
    return torch.cat([source, target])


def maps(edit: TextEdit, x: Tensor, t: Tensor, context: Tensor) -> list[Tensor]:
    """Return the maps of cross-attention (B, heads, N, L) at x (B, C, h, w), layer by layer.

    PixZero Sec. 3.3   M_t = softmax(Q Kᵀ / √d)
    """
    found: list[Tensor] = []

    def control(site: Site, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found.append(probabilities(q, k))
        return (found[-1] @ v.to(found[-1].dtype)).to(v.dtype)

    with controlled([site for site in sites(edit.bundle.unet) if site.cross], control):
        edit.predict(x, t, context)
    return found
