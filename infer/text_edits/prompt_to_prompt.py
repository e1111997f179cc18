"""Prompt-to-Prompt: the source's attention maps, put into the target by the words they share.

Hertz et al., arXiv 2208.01626. Only the rows under a prompt are edited, never those under ∅_t.

Where to stop depends on the model. In the embedded one, maps over words and padding carry content
as well as layout: of 16 edits of the background's colour, 6 took it with the published 0.8 of the
steps, 14 with 0.2, at the same rate of other attributes kept (avatars-smooth, 12 steps).

Self-attention is taken from the source by computing it from the source's Q and K; only edited
cross-attention is ever written out as a matrix of probabilities.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.core import prompt_to_prompt as maps
from latentgeo.core.prompt_to_prompt import THRESHOLD, Alignment
from latentgeo.core.text_editing import check_share
from latentgeo.infer.text_edits.editing import TextEdit, side_by_side
from latentgeo.infer.text_edits.prompt_words import alignment_of, marked, weights_of
from latentgeo.kernels.attention.op import attention
from latentgeo.models.attention_control import Site, controlled, probabilities, sites


@dataclass(frozen=True, kw_only=True)
class PromptToPrompt:
    """How much is taken from the source. The defaults are the published code's."""

    cross: float = 0.8  # share of the steps, from the first, with the source's cross-attention
    self_: float = 0.4  # the same for self-attention
    pixels: int = 16**2  # of the largest maps of self-attention that are taken, and of local blend
    swap: bool = True  # a word in the place of another takes its attention; else it keeps its own
    reweight: tuple[str, ...] = ()  # WORD=C of the target: its attention times C
    blend: tuple[tuple[str, ...], ...] = ()  # per edit, words outside of which the source stays
    threshold: float = THRESHOLD  # k, of the attention on those words, over its largest value
    blend_from: float = 0.2  # share of the steps before the first blend

    def __post_init__(self) -> None:
        """Refuse shares outside [0, 1]."""
        for name in ("cross", "self_", "blend_from"):
            check_share(name.rstrip("_"), getattr(self, name))


def prompt_to_prompt(edit: TextEdit, x_T: Tensor, how: PromptToPrompt) -> Tensor:
    """Return z_0 (2B, C, h, w), reconstructed sources before their edits.

    P2P Alg. 1   z_{t-1}, M_t ← DM(z_t, P, t); M*_t ← DM(z*_t, P*, t);
                 z*_{t-1} ← DM(z*_t, P*, t) with Edit(M_t, M*_t, t) for its maps
                 (rearranged: one call of the network for both, the maps edited layer by layer)
    """
    run = _Run(edit, len(x_T), how, (int(x_T.shape[-2]), int(x_T.shape[-1])))
    return side_by_side(edit, x_T, run.intervene, run.settle if how.blend else None)


@dataclass(eq=False)
class _Run:
    """The maps and the settings of one run."""

    edit: TextEdit
    count: int  # B
    how: PromptToPrompt
    latent: tuple[int, int]
    seen: Tensor | None = None  # the word maps so far, summed (2B, 1, h, w)

    def __post_init__(self) -> None:
        edit, how = self.edit, self.how
        tokenizer, context = edit.bundle.tokenizer, edit.source.context
        like = context.to(torch.promote_types(context.dtype, torch.float32))  # as probabilities are
        found = alignment_of(tokenizer, edit.sources, edit.targets, how.swap)
        self.alignment: Alignment = found.to(like)
        weights = [weights_of(tokenizer, target, how.reweight) for target in edit.targets]
        self.weights = torch.cat(weights).to(like)
        self.words = blend_words(edit, how.blend).to(like) if how.blend else None
        steps = (round(x * edit.steps) for x in (how.cross, how.self_, how.blend_from))
        self.cross_steps, self.self_steps, self.blend_step = steps
        self.sites = sites(edit.bundle.unet)
        small = [site.level for site in self.sites if site.cross and self._small(site)]
        self.blend_level = min(small, default=None)
        if how.blend and self.blend_level is None:
            raise ValueError(f"pixels: no map of cross-attention has {how.pixels} or fewer")

    def intervene(self, i: int) -> AbstractContextManager[None]:
        """Take over the layers that step i edits or looks at."""
        places = [site for site in self.sites if self._wanted(site, i)]

        def control(site: Site, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            attend = self._cross if site.cross else self._self
            return attend(i, site, q, k, v)

        return controlled(places, control) if places else nullcontext()

    def settle(self, i: int, x: Tensor) -> Tensor:
        """Put the source's latents back where neither prompt's words are looked at."""
        if i < self.blend_step or self.seen is None:
            return x
        high = maps.region(self.seen, self.latent, self.how.threshold)
        source, target = high.chunk(2)
        x_source, x_target = x.chunk(2)
        return torch.cat([x_source, maps.blended(x_source, x_target, source | target)])

    def _small(self, site: Site) -> bool:
        height, width = site.size(self.latent)
        return height * width <= self.how.pixels

    def _wanted(self, site: Site, i: int) -> bool:
        if not site.cross:
            return i < self.self_steps and self._small(site)
        watched = self.words is not None and site.level == self.blend_level
        return i < self.cross_steps or bool(self.how.reweight) or watched

    def _self(self, i: int, site: Site, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Self-attention with the source's maps for the target."""
        b = self.count
        q, k = (torch.cat([x[:b], x[:b], x[2 * b :]]) for x in (q, k))
        return attention(q, k, v)

    def _cross(self, i: int, site: Site, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Cross-attention with edited maps for the target."""
        b = self.count
        source, target = probabilities(q[: 2 * b], k[: 2 * b]).chunk(2)
        if i < self.cross_steps:
            target = maps.edited(source, target, self.alignment)
        target = maps.reweighted(target, self.weights)
        if self.words is not None and site.level == self.blend_level:
            both = torch.cat([source, target])
            found = maps.word_map(both, self.words, site.size(self.latent))
            self.seen = found if self.seen is None else self.seen + found
        new = (target @ v[b : 2 * b].to(target.dtype)).to(v.dtype)
        q, k, v = (torch.cat([x[:b], x[2 * b :]]) for x in (q, k, v))
        plain = attention(q, k, v)
        return torch.cat([plain[:b], new, plain[b:]])


def blend_words(edit: TextEdit, words: Sequence[Sequence[str]]) -> Tensor:
    """Return the tokens (2B, L) of each edit's words, in the sources and then in the targets.

    Raises ValueError unless there are words for each edit, each in one of its prompts at least.
    """
    if len(words) != len(edit.sources):
        raise ValueError(f"blend: got words for {len(words)} of {len(edit.sources)} edits")
    tokenizer = edit.bundle.tokenizer
    rows = [
        [marked(tokenizer, prompt, said) for prompt, said in zip(prompts, words, strict=True)]
        for prompts in (edit.sources, edit.targets)
    ]
    for source, target, said in zip(*rows, words, strict=True):
        if not (source.any() or target.any()):
            raise ValueError(f"blend: neither prompt has any of the words {list(said)}")
    return torch.cat([*rows[0], *rows[1]])
