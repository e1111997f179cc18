"""CLIP score: how well an image goes with its prompt, by CLIP's cosine of the two.

Hessel et al., CLIPScore, arXiv 2104.08718, for captions; text-to-image papers report it of samples
and their prompts, times 100 and without the words that it puts before a caption. Its value is that
of one network alone: ViT-L/14's and ViT-B/32's do not compare, so results name it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from latentgeo.models.clip_vision import CLIP
from latentgeo.models.formats.clip.file import tokenizer_of
from latentgeo.models.formats.encoders import clip_name
from latentgeo.models.tokenizer import Tokenizer

WEIGHT = 100.0  # w as text-to-image papers have it; CLIPScore's own is 2.5


def clip_score(images: Tensor, texts: Tensor) -> Tensor:
    """Return the score (N,) in [0, 100] of features of images (N, C) with their texts' (N, C).

    CLIPScore Sec. 3   CLIP-S(c, v) = w max(cos(c, v), 0); here w is 100

    Raises ValueError unless both have one shape.
    """
    if images.shape != texts.shape:
        got = f"{tuple(images.shape)} and {tuple(texts.shape)}"
        raise ValueError(f"images and texts: got features {got}, wanted one shape (N, C)")
    return WEIGHT * F.cosine_similarity(images, texts, dim=-1).clamp(min=0)


@dataclass(frozen=True)
class ClipJudge:
    """CLIP and its tokenizer."""

    model: CLIP
    tokenizer: Tokenizer

    @property
    def metric(self) -> str:
        """The score's name, with the network's."""
        return f"CLIP score ({clip_name(self.model.config)})"

    @torch.no_grad()
    def scores(self, images: Tensor, prompts: Sequence[str], batch: int = 64) -> Tensor:
        """Return the score (N,) of images (N, 3, H, W) in [-1, 1], each with its prompt.

        Raises ValueError unless there is a prompt for each.
        """
        if len(images) != len(prompts):
            raise ValueError(f"prompts: got {len(prompts)} for {len(images)} images")
        weight = self.model.visual_projection.weight
        found = []
        for i in range(0, len(images), batch):
            x = images[i : i + batch].to(weight.device, weight.dtype)
            tokens = self.tokenizer(prompts[i : i + batch]).to(weight.device)
            features = self.model.image_features(x), self.model.text_features(tokens)
            found.append(clip_score(*(one.double().cpu() for one in features)))
        return torch.cat(found)


def clip_judge(model: CLIP) -> ClipJudge:
    """Return the judge that a network makes."""
    return ClipJudge(model, tokenizer_of(model.config))
