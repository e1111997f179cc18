"""A small CLIP: a convolutional image encoder and a small text encoder with one space for both.

Paper: Learning Transferable Visual Models From Natural Language Supervision (CLIP), arXiv
2103.00020, Sec. 2.3 and 2.4; the image encoder is a plain convolutional network, whose last cells
keep their places, as faces are laid out.

Notation   x images (B, 3, H, W) in [-1, 1]; features (B, projection), not normalized
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentgeo.models.bundles.text_to_image import from_plain
from latentgeo.models.clip import TextConfig, TextEncoder
from latentgeo.models.clip_vision import standardize, text_ends
from latentgeo.models.judges.headed import load_headed
from latentgeo.models.judges.trunk import TrunkConfig, trunk
from latentgeo.models.zoo.places import ZOO

EMBEDDED = ZOO / "avatars" / "judge.safetensors"


@dataclass(frozen=True, kw_only=True)
class SmallClipConfig(TrunkConfig):
    """Shape of the pair. The defaults are the embedded one's."""

    text: TextConfig = TextConfig(vocabulary=4514, context=64, width=80, layers=2, heads=4)
    projection: int = 96  # width of the space that images and texts share

    @property
    def end(self) -> int:
        """The id of the end-of-text token, the vocabulary's last."""
        return self.text.vocabulary - 1


class SmallClip(nn.Module):
    """Both encoders, their projections and the temperature."""

    def __init__(self, config: SmallClipConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = nn.Sequential(*trunk(config), nn.Flatten())
        self.text_model = TextEncoder(config.text)
        self.visual_projection = nn.Linear(config.features, config.projection, bias=False)
        self.text_projection = nn.Linear(config.text.width, config.projection, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def image_features(self, x: Tensor) -> Tensor:
        """Return the features (B, projection) of images x (B, 3, H, W) in [-1, 1], of any size.

        CLIP Sec. 2.3a   a linear projection of the encoder's representation
        """
        return self.visual_projection(self.vision_model(standardize(x, self.config.size)))

    def text_features(self, tokens: Tensor) -> Tensor:
        """Return the features (B, projection) of token ids (B, L).

        CLIP Sec. 2.4b   the state at the end-of-text token, normalized and linearly projected

        No token sees a later one, so what follows the last end is left out.
        Raises ValueError if a row has no end-of-text token.
        """
        ends = text_ends(tokens, self.config.end)
        states = self.text_model(tokens[:, : int(ends.max()) + 1])
        return self.text_projection(states[torch.arange(len(tokens), device=tokens.device), ends])


def load_small_clip(path: Path | None = None) -> SmallClip:
    """Return a saved pair, by default the embedded one, frozen, float32 on the CPU.

    Raises FileNotFoundError, or ValueError where the file holds something else.
    """
    return load_headed(path or EMBEDDED, "a small CLIP", _built)


def _built(data: dict[str, Any]) -> SmallClip:
    """Return the pair of a plain configuration, with fresh weights."""
    text = from_plain(TextConfig, data["text"], "the configuration: text")
    return SmallClip(from_plain(SmallClipConfig, {**data, "text": text}, "the configuration"))
