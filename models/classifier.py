"""A small CNN that reads a face's attributes: one softmax per attribute over shared features.

It judges whether samples show what their caption says, where no CLIP weights are at hand. Its own
mistakes bound that measure, so its accuracy on real images is always reported beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentgeo.models.avatars import ATTRIBUTES
from latentgeo.models.bundle import ZOO
from latentgeo.models.headed import read_headed, refuse_unknown, write_headed

EMBEDDED = ZOO / "avatars" / "classifier.safetensors"
FINE = 16  # channels at full resolution, where an eye is a few pixels
DROPOUT = 0.2  # share of the last features that a training step leaves out


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Shape of the classifier. The defaults are the embedded one's."""

    size: int = 64  # side of the images it sees, in pixels
    channels: tuple[int, ...] = (32, 48, 64, 64)  # per resolution, finest first; each halves
    groups: int = 8  # of every GroupNorm
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(ATTRIBUTES))

    def __post_init__(self) -> None:
        """Refuse shapes that no layer could have."""
        if self.size % 2 ** len(self.channels):
            raise ValueError(
                f"size must be a multiple of {2 ** len(self.channels)}, got {self.size}"
            )
        if any(width % self.groups for width in self.channels):
            raise ValueError(f"channels must be multiples of groups ({self.groups})")


class AttributeClassifier(nn.Module):
    """Images to one set of logits per attribute."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = trunk(config.channels, config.groups)
        cells = (config.size // 2 ** len(config.channels)) ** 2  # kept apart: faces are laid out
        self.body = nn.Sequential(nn.Flatten(), nn.Dropout(DROPOUT))
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(cells * config.channels[-1], len(values))
                for name, values in config.attributes.items()
            }
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return logits (B, values) by attribute of images x (B, 3, size, size) in [-1, 1]."""
        size = self.config.size
        if x.ndim != 4 or x.shape[1:] != (3, size, size):
            raise ValueError(f"x: got {tuple(x.shape)}, wanted (B, 3, {size}, {size})")
        hidden = self.body(self.stem(x))
        return {name: head(hidden) for name, head in self.heads.items()}

    @torch.no_grad()
    def read(self, x: Tensor, batch: int = 64) -> list[dict[str, str]]:
        """Return the most likely value of every attribute for each image (N, 3, size, size)."""
        device = next(self.parameters()).device
        found: list[dict[str, str]] = []
        for part in x.split(batch):
            logits = self(part.to(device, torch.float32))
            best = {name: scores.argmax(1).tolist() for name, scores in logits.items()}
            found += [
                {name: self.config.attributes[name][rows[i]] for name, rows in best.items()}
                for i in range(len(part))
            ]
        return found


def save_classifier(model: AttributeClassifier, path: Path, dtype: torch.dtype) -> Path:
    """Write weights in a dtype, and the configuration in the file's header, atomically."""
    return write_headed(model, model.config, path, dtype)


def load_classifier(path: Path | None = None) -> AttributeClassifier:
    """Return a saved classifier, by default the embedded one, frozen, float32 on the CPU."""
    source = EMBEDDED if path is None else path
    if not source.is_file():
        raise FileNotFoundError(f"{source}: no such file, wanted an attribute classifier's weights")
    try:
        data, state = read_headed(source)
        model = AttributeClassifier(_config(data))
        model.load_state_dict(state)
    except Exception as error:  # safetensors, KeyError, JSON and shape errors all mean a wrong file
        raise ValueError(f"{source}: not an attribute classifier: {error}") from None
    return model.eval().requires_grad_(False)


def _config(data: dict[str, Any]) -> ClassifierConfig:
    """Return the configuration in a file's header; an unknown key is a ValueError."""
    refuse_unknown(data, ClassifierConfig)
    attributes = {name: tuple(values) for name, values in data.pop("attributes").items()}
    return ClassifierConfig(
        size=data["size"],
        channels=tuple(data["channels"]),
        groups=data["groups"],
        attributes=attributes,
    )


def trunk(channels: Sequence[int], groups: int) -> nn.Sequential:
    """Return the convolutions of an encoder of faces: one at full resolution, then halvings."""
    return nn.Sequential(
        nn.Conv2d(3, FINE, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(FINE, FINE, 3, padding=1),
        nn.GroupNorm(groups, FINE),
        nn.ReLU(),
        *(halving(inp, out, groups) for inp, out in pairwise((FINE, *channels))),
    )


def halving(inp: int, out: int, groups: int) -> nn.Sequential:
    """A strided and a plain 3×3 convolution, each normalised and rectified."""
    return nn.Sequential(
        nn.Conv2d(inp, out, 3, stride=2, padding=1),
        nn.GroupNorm(groups, out),
        nn.ReLU(),
        nn.Conv2d(out, out, 3, padding=1),
        nn.GroupNorm(groups, out),
        nn.ReLU(),
    )
