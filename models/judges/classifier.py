"""A small CNN that reads a face's attributes: one softmax per attribute over shared features.

It judges whether samples show what their caption says, where no CLIP weights are at hand. Its own
mistakes bound that measure, so its accuracy on real images is always reported beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentgeo.models.bundles.text_to_image import from_plain
from latentgeo.models.judges.captions import ATTRIBUTES
from latentgeo.models.judges.headed import load_headed
from latentgeo.models.judges.trunk import TrunkConfig, trunk
from latentgeo.models.zoo.places import ZOO

EMBEDDED = ZOO / "avatars" / "classifier.safetensors"
DROPOUT = 0.2  # share of the last features that a training step leaves out


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(TrunkConfig):
    """Shape of the classifier. The defaults are the embedded one's."""

    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(ATTRIBUTES))


class AttributeClassifier(nn.Module):
    """Images to one set of logits per attribute."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = trunk(config)
        self.body = nn.Sequential(nn.Flatten(), nn.Dropout(DROPOUT))
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(config.features, len(values))
                for name, values in config.attributes.items()
            }
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return logits (B, values) by attribute of images x (B, 3, size, size) in [-1, 1].

        Raises ValueError for images of another shape.
        """
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


def load_classifier(path: Path | None = None) -> AttributeClassifier:
    """Return a saved classifier, by default the embedded one, frozen, float32 on the CPU.

    Raises FileNotFoundError, or ValueError where the file holds something else.
    """
    return load_headed(path or EMBEDDED, "an attribute classifier", _built)


def _built(data: dict[str, Any]) -> AttributeClassifier:
    """Return the network of a plain configuration, with fresh weights."""
    attributes = {name: tuple(values) for name, values in data["attributes"].items()}
    plain = {**data, "attributes": attributes}
    return AttributeClassifier(from_plain(ClassifierConfig, plain, "the configuration"))
