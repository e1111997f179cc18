"""Inversion of images: the noise, and with null-text inversion the ∅_t, that lead back to them.

Papers: Smooth Diffusion Eq. 4 and its supplement A.4; Null-text Inversion (arXiv 2211.09794).

Notation  z (B, C, h, w) latents of images; ξ one prompt per image; w the guidance scale on the way
          back, w_up on the way up (1 in both papers); nulls (S, G, L, D) as in core/null_text.py
Precision latents, embeddings and ∅_t are float32 whatever the networks compute in: an update of ∅_t
          is a thousandth of its size, which bfloat16 would round away
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from latentgeo.core import ddim, null_text
from latentgeo.core.guidance import guided
from latentgeo.core.run.limits import at_least
from latentgeo.infer.inversion.settings import Method, Times
from latentgeo.infer.sampling.pipeline import network, sampling_times
from latentgeo.models.bundles.text_to_image import TextToImage

INVERT: dict[Times, null_text.Invert] = {"released": ddim.invert_official, "printed": ddim.invert}


@dataclass(frozen=True, kw_only=True)
class Inverting:
    """How images are inverted, whatever they show; checked when made."""

    method: Method
    steps: int  # of DDIM, each way
    guidance: float  # w on the way back
    guidance_up: float = 1.0  # w on the way up
    times: Times = "released"  # the time that ε is asked at on the way up: the upper, or as printed
    inner: int = null_text.INNER  # updates of each ∅_t at most
    fit_from: Times = "released"  # where a ∅_t is fitted from: x̄_t, or x̃_t as printed

    def __post_init__(self) -> None:
        """Refuse values that no inversion could use, each by its name."""
        at_least(self, 1, "steps", "inner")
        for name in ("guidance", "guidance_up"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite, not negative, got {getattr(self, name)}")
        if self.method == "null-text" and self.guidance == 1:
            raise ValueError(
                "guidance: got 1, which leaves the null text out; wanted another, or ddim"
            )

    def plain(self) -> dict[str, object]:
        """Return what decides the result, for records and hashes."""
        found = asdict(self)
        if self.fit_from == "released":
            del found["fit_from"]  # what was found without the choice keeps its name
        return found if self.method == "null-text" else {**found, "inner": None}


@dataclass(frozen=True, eq=False)
class Texts:
    """What the text encoder makes of the prompts, in float32."""

    context: Tensor  # (B, L, D)
    null: Tensor  # (1, L, D), of the empty prompt

    def of(self, rows: slice) -> "Texts":
        """Return those of some of the images."""
        return Texts(self.context[rows], self.null)


@torch.no_grad()
def encode(bundle: TextToImage, prompts: Sequence[str]) -> Texts:
    """Return the embeddings of one prompt per image, and of the empty one."""
    found = bundle.encode_text([*prompts, ""]).float()
    return Texts(found[:-1], found[-1:])


def ascend(bundle: TextToImage, z: Tensor, texts: Texts, how: Inverting) -> Tensor:
    """Return the pivot (S + 1, B, C, h, w), the noise first, of latents z (B, C, h, w).

    Smooth Eq. 4, with ε guided by w_up
    """
    predict = guided(network(bundle), texts.context, texts.null, how.guidance_up)
    visited = sampling_times(bundle, how.steps)
    return null_text.pivots(INVERT[how.times], predict, bundle.schedule, z.float(), visited)


def null_texts(
    bundle: TextToImage,
    pivot: Tensor,
    texts: Texts,
    how: Inverting,
    shared: bool = False,
    nulls: Tensor | None = None,
    x: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ∅_t (G, L, D) and where it leads (B, C, h, w), step by step; all images share if asked.

    SmoothS Eq. 4, or SmoothS Eq. 5 where all images share ∅_t, from x̄_t, or as printed from x̃_t

    `nulls` (k, G, L, D) and `x`, what the first k steps found, are gone on from.
    """
    groups = 1 if shared else len(texts.context)
    done = 0 if nulls is None else len(nulls)
    null = texts.null.expand(groups, -1, -1) if nulls is None or not done else nulls[-1]
    yield from null_text.descend(
        network(bundle),
        bundle.schedule,
        pivot,
        sampling_times(bundle, how.steps),
        texts.context,
        null,
        how.guidance,
        how.inner,
        done,
        x if done else None,
        how.fit_from == "printed",
    )


@torch.no_grad()
def back(
    bundle: TextToImage, noise: Tensor, texts: Texts, nulls: Tensor | None, how: Inverting
) -> Tensor:
    """Return the latents (B, C, h, w) that noise (B, C, h, w) leads to, with ∅_t where given.

    Smooth Eq. 5, its ∅ the empty prompt where there is no ∅_t
    """
    visited = sampling_times(bundle, how.steps)
    if nulls is None:
        predict = guided(network(bundle), texts.context, texts.null, how.guidance)
        return ddim.sample(predict, bundle.schedule, noise, visited)
    return null_text.sample(
        network(bundle), bundle.schedule, noise, visited, texts.context, nulls, how.guidance
    )
