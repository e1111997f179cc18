"""A small segmenter of faces: which part of the drawing each pixel shows.

It measures whether an edit keeps what it should (segmentation consistency), where no published
segmenter is at hand. It was trained on exact masks of the drawings (train/sets/avatar_masks.py).
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.models.bundles.text_to_image import from_plain
from latentgeo.models.judges.headed import load_headed
from latentgeo.models.judges.trunk import convolution, halving
from latentgeo.models.layers import check_groups
from latentgeo.models.zoo.places import ZOO

EMBEDDED = ZOO / "avatars" / "segmenter.safetensors"
PARTS = ("background", "skin", "hair", "eyes", "brows", "mouth", "glasses", "beard", "clothes")


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """Shape of the segmenter. The defaults are the embedded one's."""

    parts: tuple[str, ...] = PARTS  # class names, in the order of their numbers
    channels: tuple[int, ...] = (16, 32, 64, 64)  # per resolution, the images' own first
    groups: int = 8  # of every GroupNorm

    def __post_init__(self) -> None:
        """Refuse shapes that no layer could have."""
        check_groups(self.channels, self.groups)

    @property
    def factor(self) -> int:
        """What the sides of an image must be multiples of."""
        return int(2 ** (len(self.channels) - 1))


class Segmenter(nn.Module):
    """A convolutional encoder and decoder with a bridge at each resolution."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        self.stem = convolution(3, widths[0], config.groups)
        self.down = nn.ModuleList(halving(a, b, config.groups) for a, b in pairwise(widths))
        self.up = nn.ModuleList(convolution(a + b, a, config.groups) for a, b in pairwise(widths))
        self.head = nn.Conv2d(widths[0], len(config.parts), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, parts, H, W) of images x (B, 3, H, W) in [-1, 1].

        Raises ValueError for images of another shape, or sides that do not halve often enough.
        """
        factor = self.config.factor
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % factor or x.shape[3] % factor:
            raise ValueError(
                f"x: got {tuple(x.shape)}, wanted (B, 3, H, W), H and W multiples of {factor}"
            )
        kept = [self.stem(x)]
        for level in self.down:
            kept.append(level(kept[-1]))
        hidden = kept.pop()
        for level, beside in zip(reversed(self.up), reversed(kept), strict=True):
            hidden = level(torch.cat([F.interpolate(hidden, scale_factor=2.0), beside], dim=1))
        return self.head(hidden)

    @torch.no_grad()
    def read(self, x: Tensor, batch: int = 64) -> Tensor:
        """Return the most likely part's number (N, H, W), int64, of images (N, 3, H, W)."""
        weight = self.head.weight
        found = [self(part.to(weight.device, weight.dtype)).argmax(1) for part in x.split(batch)]
        return torch.cat(found).cpu()


def load_segmenter(path: Path | None = None) -> Segmenter:
    """Return a saved segmenter, by default the embedded one, frozen, float32 on the CPU.

    Raises FileNotFoundError, or ValueError where the file holds something else.
    """
    return load_headed(path or EMBEDDED, "a segmenter", _built)


def _built(data: dict[str, Any]) -> Segmenter:
    """Return the network of a plain configuration, with fresh weights."""
    return Segmenter(from_plain(SegmenterConfig, data, "the configuration"))
