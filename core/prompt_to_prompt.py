"""Edits of cross-attention maps by a change of words (Prompt-to-Prompt).

Hertz et al., arXiv 2208.01626. Everything here is a function of attention maps: how they are taken
out of a network and put back is not.

Notation  M_t `source`, M*_t `target`, probabilities (B, heads, N, L) of N pixels over L tokens;
          A `Alignment`: A(j) is the source's token behind the target's token j; c `weights`;
          α `mask`; k `threshold`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.core.precision import widened

THRESHOLD = 0.3  # k of the published code


class Word(NamedTuple):
    """A word of a prompt and its tokens' positions; what opens, ends and pads it are words too."""

    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Alignment:
    """Which tokens of the source stand behind which of the target.

    A row of `matrix` says how the attention on one token of the source is shared out: it sums to 1,
    or to 0 where nothing takes the token's place.
    """

    matrix: Tensor  # (B, L, L), from the source's tokens to the target's
    own: Tensor  # (B, L) bool, tokens of the target with none behind them

    def to(self, like: Tensor) -> Alignment:
        """Return it on the device of `like`, and `matrix` (B, L, L) in its dtype."""
        return Alignment(self.matrix.to(like), self.own.to(like.device))


def align(
    source: Sequence[Word], target: Sequence[Word], length: int, swap: bool = True
) -> Alignment:
    """Return the alignment (1, L, L) of two prompts' words, token by token.

    P2P Sec. 3.2a, P2P Sec. 3.2b
                   A(j): the tokens of words that both prompts have, in order, are each other's;
                   with `swap`, so are words that stand in the place of as many others (word swap).
                   Without it these keep their own maps, as do words that are added (refinement)

    Where a word has fewer tokens than its counterpart, its last one stands for the rest.
    """
    matrix = torch.zeros(length, length, dtype=torch.float64)
    for i, j in word_pairs([word.text for word in source], [word.text for word in target], swap):
        theirs, ours = source[i].tokens, target[j].tokens
        for k in range(max(len(theirs), len(ours))):
            matrix[theirs[min(k, len(theirs) - 1)], ours[min(k, len(ours) - 1)]] += 1
    own = matrix.sum(0) == 0
    return Alignment((matrix / matrix.sum(1, keepdim=True).clamp(min=1))[None], own[None])


def word_pairs(source: Sequence[str], target: Sequence[str], swap: bool) -> list[tuple[int, int]]:
    """Return the pairs (i, j) of places in the source and in the target that go together."""
    pairs: list[tuple[int, int]] = []
    for kind, i, i_end, j, j_end in SequenceMatcher(
        None, source, target, autojunk=False
    ).get_opcodes():
        if kind == "equal" or (swap and kind == "replace" and i_end - i == j_end - j):
            pairs += zip(range(i, i_end), range(j, j_end), strict=True)
    return pairs


def together(alignments: Sequence[Alignment]) -> Alignment:
    """Return the alignments of several pairs of prompts as one batch."""
    return Alignment(
        torch.cat([one.matrix for one in alignments]), torch.cat([one.own for one in alignments])
    )


def edited(source: Tensor, target: Tensor, alignment: Alignment) -> Tensor:
    """Return the target's new maps (B, heads, N, L) from the source's and its own.

    P2P Sec. 3.2a, P2P Sec. 3.2b
                   Edit(M_t, M*_t, t)_{i,j} = (M*_t)_{i,j} if A(j) = None, (M_t)_{i,A(j)} otherwise;
                   where no word is added this is the word swap, Edit(M_t, M*_t, t) = M_t
    """
    moved = source @ alignment.matrix[:, None]
    return torch.where(alignment.own[:, None, None], target, moved)


def reweighted(maps: Tensor, weights: Tensor) -> Tensor:
    """Return maps (B, heads, N, L), the attention on each token times its weight (B, L).

    P2P Sec. 3.2c   Edit(M_t, M*_t, t)_{i,j} = c (M_t)_{i,j} if j = j*, (M_t)_{i,j} otherwise

    The paper's c is in [-2, 2]; rows do not sum to 1 any more.
    """
    return maps * weights[:, None, None]


def word_map(maps: Tensor, words: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the attention (B, 1, h, w) of N = h w pixels on the tokens that words (B, L) marks.

    maps (B, heads, N, L); the mean over heads.
    """
    seen = (widened(maps) * words[:, None, None]).sum(-1).mean(1)
    return seen.to(maps.dtype).unflatten(-1, size)[:, None]


def region(word_maps: Tensor, size: tuple[int, int], threshold: float = THRESHOLD) -> Tensor:
    """Return where the attention on some words is high, bool (B, 1, H, W), from (B, 1, h, w).

    P2P Alg. 1   B(x) = x > k, of the map divided by its largest value, as released
    """
    scaled = word_maps / word_maps.amax(dim=(-2, -1), keepdim=True)  # of zeros NaN, not > k
    return F.interpolate(scaled, size=size, mode="bilinear") > threshold


def blended(x_source: Tensor, x_target: Tensor, mask: Tensor) -> Tensor:
    """Return the target inside the mask (B, 1, H, W) and the source outside, x (B, C, H, W).

    P2P Alg. 1   z*_{t-1} ← (1 - α) ⊙ z_{t-1} + α ⊙ z*_{t-1}, with α = B(M̄_{t,w}) ∪ B(M̄*_{t,w*})
    """
    return torch.where(mask, x_target, x_source)
