"""A directional judge: any pair of encoders that put images and texts into one space.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), Sec. 3.2 and App. K.2, measures and trains edits by the
direction from one image to another beside that from one text to another.

Names      "avatars" is the embedded pair (models/judges/small_clip.py), which reads the captions of
           the avatars' grammar and short forms of them; anything else is a path of CLIP's weights,
           such as OpenAI's ViT-B/16, or of a small CLIP that `train-judge` wrote
Templates  a text's embedding is the mean over sentences around it, of unit length before and after
Or         "a sad face | a serious face" is either: the mean over what stands between the bars
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.models.bundles.presets import merges
from latentgeo.models.clip_vision import CLIP
from latentgeo.models.formats.clip.file import read_clip, tokenizer_of
from latentgeo.models.formats.encoders import clip_name
from latentgeo.models.judges.headed import is_headed
from latentgeo.models.judges.small_clip import SmallClip, load_small_clip
from latentgeo.models.judges.templates import IMAGENET, PLAIN
from latentgeo.models.tokenizer import Tokenizer

AVATARS = "avatars"


class Pair(Protocol):
    """Two encoders with one space; features need not have unit length."""

    def image_features(self, x: Tensor) -> Tensor:
        """Return (B, K) of images x (B, 3, H, W) in [-1, 1]."""

    def text_features(self, tokens: Tensor) -> Tensor:
        """Return (N, K) of token ids (N, L)."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Both encoders as functions to unit vectors."""

    name: str  # as results state it
    pair: Pair
    tokenizer: Tokenizer
    device: torch.device
    templates: tuple[str, ...] = PLAIN  # each with a {} for the text

    def images(self, x: Tensor) -> Tensor:
        """Return unit vectors (B, K), float32, of images x (B, 3, H, W); differentiable in x."""
        return F.normalize(self.pair.image_features(x.to(self.device).float()), dim=-1)

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors (N, K), float32, of texts, each the mean over all that it says.

        Raises ValueError for a text that is not in a list.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts is the str {texts[:40]!r}, wanted a list of str")
        said = [self._said(text) for text in texts]
        with torch.no_grad():
            tokens = self.tokenizer([one for each in said for one in each]).to(self.device)
            features = F.normalize(self.pair.text_features(tokens).float(), dim=-1)
        of_each = features.split([len(each) for each in said])
        return F.normalize(torch.stack([each.mean(0) for each in of_each]), dim=-1)

    def _said(self, text: str) -> list[str]:
        """Return the sentences of a text: every template around each of its alternatives."""
        either = text.split(" | ")
        return [template.format(one) for one in either for template in self.templates]


def load_judge(
    source: str | Path = AVATARS,
    device: torch.device | str = "cpu",
    *,
    templates: bool = False,
) -> Judge:
    """Return the judge of a name or a path, frozen; with `templates` over the 79 sentences.

    Raises FileNotFoundError or ValueError that says what does not fit.
    """
    sentences = IMAGENET if templates else PLAIN
    place = torch.device(device)
    if str(source) == AVATARS or is_headed(Path(source)):
        embedded = str(source) == AVATARS
        pair = load_small_clip(None if embedded else Path(source)).to(place)
        return of_small_clip(
            AVATARS if embedded else f"small CLIP {Path(source).name}", pair, sentences
        )
    return of_clip(read_clip(Path(source), place), sentences)


def of_small_clip(name: str, pair: SmallClip, templates: tuple[str, ...] = PLAIN) -> Judge:
    """Return the judge that a small CLIP makes."""
    text = pair.config.text
    tokenizer = Tokenizer(context=text.context, merges=merges(text))
    device = pair.logit_scale.device
    return Judge(name=name, pair=pair, tokenizer=tokenizer, device=device, templates=templates)


def of_clip(pair: CLIP, templates: tuple[str, ...] = PLAIN) -> Judge:
    """Return the judge that a CLIP makes."""
    return Judge(
        name=clip_name(pair.config),
        pair=pair,
        tokenizer=tokenizer_of(pair.config),
        device=pair.logit_scale.device,
        templates=templates,
    )
