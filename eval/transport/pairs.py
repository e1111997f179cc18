"""Pairs of prompts at several levels of similarity, for the comparison of couplings.

The similarity of two prompts is the cosine between their embeddings at the first end token, which
is what CLIP itself compares. Pairs are spread evenly over the similarities that a set of prompts
has, a prompt being in one pair at most, so that pairs are independent observations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.infer.walks.prompt_walk import Clouds, clouds_of
from latentgeo.models.bundles.text_to_image import TextToImage

BINS = 5


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two prompts to walk between."""

    first: str
    second: str
    similarity: float  # cosine, -1 to 1
    bin: int  # fifth of the similarities, 0 the least similar


def pooled(clouds: Clouds) -> Tensor:
    """Return the embeddings (K, D) at each cloud's first end token, of norm 1."""
    ends = clouds.points[torch.arange(len(clouds.real)), clouds.real - 1]
    return torch.nn.functional.normalize(ends.double(), dim=1)


def prompt_pairs(bundle: TextToImage, prompts: Sequence[str], count: int) -> list[Pair]:
    """Return `count` pairs of the prompts, any first few of them balanced over the bins.

    Prompts that are the same to the model count once. Raises ValueError for too few prompts.
    """
    tokens = [tuple(bundle.tokenizer.encode(prompt)) for prompt in prompts]
    distinct = list(dict(zip(reversed(tokens), reversed(prompts), strict=True)).values())[::-1]
    if len(distinct) < 2 * count:
        raise ValueError(
            f"prompts: got {len(distinct)} different ones, wanted 2 for each of {count} pairs"
        )
    features = pooled(clouds_of(bundle, distinct))
    cosine = (features @ features.T).cpu()
    chosen = sorted(spread_pairs(cosine, count), key=lambda pair: (float(cosine[pair]), pair))
    levels = [rank * BINS // count for rank in range(count)]
    ordered = sorted(range(count), key=lambda rank: (rank - levels.index(levels[rank]), rank))
    return [
        Pair(
            first=distinct[chosen[rank][0]],
            second=distinct[chosen[rank][1]],
            similarity=float(cosine[chosen[rank]]),
            bin=levels[rank],
        )
        for rank in ordered
    ]


def spread_pairs(similarity: Tensor, count: int) -> list[tuple[int, int]]:
    """Return `count` pairs (i, j), i < j, no member twice, of a matrix (K, K), K >= 2 count.

    Their similarities are as near as the matrix allows to `count` even steps from its least to its
    most; the rare ones at both ends are chosen first.
    """
    left, right = torch.triu_indices(len(similarity), len(similarity), offset=1)
    values = similarity[left, right]
    targets = torch.linspace(float(values.min()), float(values.max()), count, dtype=values.dtype)
    order = (targets - values.median()).abs().argsort(descending=True, stable=True)
    found = []
    for target in targets[order]:
        best = int((values - target).abs().argmin())
        i, j = int(left[best]), int(right[best])
        found.append((i, j))
        free = ~((left == i) | (left == j) | (right == i) | (right == j))
        left, right, values = left[free], right[free], values[free]
    return found
