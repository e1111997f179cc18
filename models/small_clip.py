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

from latentgeo.models.bundle import ZOO, from_plain
from latentgeo.models.classifier import trunk
from latentgeo.models.clip import TextConfig, TextEncoder
from latentgeo.models.clip_vision import standardize, text_ends
from latentgeo.models.headed import read_headed, write_headed

EMBEDDED = ZOO / "avatars" / "judge.safetensors"


@dataclass(frozen=True, kw_only=True)
class SmallClipConfig:
    """Shape of the pair. The defaults are the embedded one's."""

    size: int = 64  # side of the images it sees, in pixels
    channels: tuple[int, ...] = (32, 48, 64, 64)  # per resolution, finest first; each halves
    groups: int = 8  # of every GroupNorm
    text: TextConfig = TextConfig(vocabulary=4514, context=64, width=80, layers=2, heads=4)
    projection: int = 96  # width of the space that images and texts share

    def __post_init__(self) -> None:
        """Refuse shapes that no layer could have."""
        if self.size % 2 ** len(self.channels):
            raise ValueError(
                f"size must be a multiple of {2 ** len(self.channels)}, got {self.size}"
            )
        if any(width % self.groups for width in self.channels):
            raise ValueError(f"channels must be multiples of groups ({self.groups})")

    @property
    def end(self) -> int:
        """The id of the end-of-text token, the vocabulary's last."""
        return self.text.vocabulary - 1


class SmallClip(nn.Module):
    """Both encoders, their projections and the temperature."""

    def __init__(self, config: SmallClipConfig) -> None:
        super().__init__()
        self.config = config
        cells = (config.size // 2 ** len(config.channels)) ** 2
        self.vision_model = nn.Sequential(
            *trunk(config.channels, config.groups),
            nn.Flatten(),
        )
        self.text_model = TextEncoder(config.text)
        self.visual_projection = nn.Linear(
            cells * config.channels[-1], config.projection, bias=False
        )
        self.text_projection = nn.Linear(config.text.width, config.projection, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def image_features(self, x: Tensor) -> Tensor:
        """Return the features (B, projection) of images x (B, 3, H, W) in [-1, 1], of any size.

        CLIP Sec. 2.3   a linear projection of the encoder's representation
        """
        return self.visual_projection(self.vision_model(standardize(x, self.config.size)))

    def text_features(self, tokens: Tensor) -> Tensor:
        """Return the features (B, projection) of token ids (B, L).

        CLIP Sec. 2.4   the state at the end-of-text token, normalized and linearly projected

        No token sees a later one, so what follows the last end is left out.
        Raises ValueError if a row has no end-of-text token.
        """
        ends = text_ends(tokens, self.config.end)
        states = self.text_model(tokens[:, : int(ends.max()) + 1])
        return self.text_projection(states[torch.arange(len(tokens), device=tokens.device), ends])


def save_small_clip(model: SmallClip, path: Path, dtype: torch.dtype) -> Path:
    """Write weights in a dtype, and the configuration in the file's header, atomically."""
    return write_headed(model, model.config, path, dtype)


def load_small_clip(path: Path | None = None) -> SmallClip:
    """Return a saved pair, by default the embedded one, frozen, float32 on the CPU."""
    source = EMBEDDED if path is None else path
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file, wanted a small CLIP's weights")
    try:
        data, state = read_headed(source)
        model = SmallClip(_config(data, str(source)))
        model.load_state_dict(state)
    except Exception as error:  # safetensors, KeyError, JSON and shape errors all mean a wrong file
        raise ValueError(f"{source}: not a small CLIP: {error}") from None
    return model.eval().requires_grad_(False)


def _config(data: dict[str, Any], where: str) -> SmallClipConfig:
    text = from_plain(TextConfig, data["text"], f"{where}: text")
    config = from_plain(SmallClipConfig, {**data, "text": text}, where)
    assert isinstance(config, SmallClipConfig)
    return config
