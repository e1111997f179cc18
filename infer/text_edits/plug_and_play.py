"""Plug-and-Play: the source's features and self-attention, put into the target.

Tumanyan et al., arXiv 2211.12572. What is injected keeps the layout; the target's prompt, under
guidance, decides the rest.

Notation   f the features of one residual block of the decoder; A = softmax(Q Kᵀ / √d) the
           self-attention of the decoder from that block on; τ_f, τ_A the shares of the steps, from
           the first, in which each is injected
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.core.text_editing import check_share
from latentgeo.infer.text_edits.editing import TextEdit, side_by_side
from latentgeo.kernels.attention.op import attention
from latentgeo.models.attention_control import Site, controlled, sites
from latentgeo.models.decoder_features import decoder_blocks, features_changed
from latentgeo.models.unet import UNet

SHARE = 3  # the published block, 4 of 0 to 11, is a third of the way up


@dataclass(frozen=True, kw_only=True)
class PlugAndPlay:
    """How much is injected. The defaults are the published ones: 40 and 25 of 50 steps."""

    features: float = 0.8  # τ_f
    attention: float = 0.5  # τ_A
    block: int | None = None  # of the decoder, 0 the coarsest; a third of the way up if None

    def __post_init__(self) -> None:
        """Refuse shares outside [0, 1]."""
        check_share("features", self.features)
        check_share("attention", self.attention)


def plug_and_play(edit: TextEdit, x_T: Tensor, how: PlugAndPlay) -> Tensor:
    """Return z_0 (2B, C, h, w), reconstructed sources before their edits.

    PnP Alg. 1   z*_{t-1} ← ε̂_θ(x*_t, P, t; f, {A}) with f of the source for t > τ_f and its A
                 for t > τ_A; in both halves of guidance, and as Q and K, as released. The sources
                 follow their own prompts (printed: none), at the paper's w = 1 if theirs is 1
    """
    unet, count = edit.bundle.unet, len(x_T)
    layer = feature_block(unet, how.block)
    block = decoder_blocks(unet)[layer]
    decoder = [(s.decoder, s) for s in sites(unet) if not s.cross]
    places = [s for stage, s in decoder if stage is not None and stage >= layer]
    feature_steps, attention_steps = (round(x * edit.steps) for x in (how.features, how.attention))

    def attend(site: Site, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(injected(q, count), injected(k, count), v)

    @contextmanager
    def intervene(i: int) -> Iterator[None]:
        with ExitStack() as stack:
            if i < feature_steps:
                stack.enter_context(features_changed(block, lambda f: injected(f, count)))
            if i < attention_steps:
                stack.enter_context(controlled(places, attend))
            yield

    return side_by_side(edit, x_T, intervene)


def injected(x: Tensor, count: int) -> Tensor:
    """Return rows x (R B, ...) of `guided_pair` with the source's in the target's place, B = count.

    PnP Alg. 1   f* ← f and A* ← A

    Those are the second B rows, and the third, where the network runs them under ∅_t.
    """
    source, *others = x.split(count)
    return torch.cat([source, *[source] * min(len(others), 2), *others[2:]])


def feature_block(unet: UNet, block: int | None) -> int:
    """Return the decoder's block whose features are injected, by default a third of the way up.

    PnP Alg. 1   f^4, of Stable Diffusion's blocks 0 to 11. ValueError if there is none such.
    """
    blocks = len(decoder_blocks(unet))
    if block is None:
        return blocks // SHARE
    if not 0 <= block < blocks:
        raise ValueError(f"block must lie in 0..{blocks - 1} of this model's decoder, got {block}")
    return block
