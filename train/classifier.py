"""Train the attribute classifier on captioned faces: `python -m latentgeo.train.classifier`.

The loss is the mean cross-entropy of all attributes, without those an image cannot show: no hair
has no colour. Images are shifted by up to 3 pixels and slightly blurred or noised in training, so
that the classifier reads samples of a diffusion model as well as crisp renders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.core.cli import option, run_command
from latentgeo.core.device import pick_device
from latentgeo.core.progress import progress
from latentgeo.core.seeds import generator, seed_everything
from latentgeo.models.classifier import (
    EMBEDDED,
    AttributeClassifier,
    ClassifierConfig,
    save_classifier,
)
from latentgeo.train.data import Source, collate, open_source
from latentgeo.train.folder import Folder, Zipped
from latentgeo.train.shards import Shards

SIZE = 64  # side of the faces in pixels
SHIFT = 3  # pixels
BLURRED = 0.25  # share of the batches
NOISE = 0.03  # standard deviation, of values in [-1, 1]

Labels = Sequence[Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class TrainClassifier:
    """Train the attribute classifier and write it as one safetensors file."""

    data: str = option("avatars", "avatars, or a folder or zip of faces with their attributes")
    limit: int = option(14_000, "faces used, the first ones of the data")
    out: Path = option(EMBEDDED, "file for the weights; replaced")
    steps: int = option(2200, "optimiser steps")
    batch: int = option(64, "images per step")
    rate: float = option(2e-3, "highest learning rate of AdamW (one cycle)")
    seed: int = option(0, "seed of weights, order and augmentation")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")

    def run(self) -> None:
        """Train, write, and print the accuracy on the held-out half."""
        images, labels = load_faces(open_source(self.data, SIZE), self.limit)
        seed_everything(self.seed)
        device = pick_device(self.device)
        model = AttributeClassifier(ClassifierConfig(size=SIZE)).to(device)
        train(model, images, labels, self.steps, self.batch, self.rate, self.seed)
        save_classifier(model, self.out, torch.float16)
        held_images, held_labels = load_faces(open_source("avatars:test", SIZE))
        for name, value in accuracy(model.eval(), held_images, held_labels).items():
            print(f"{name:16s} {value:.3f}")


def load_faces(source: Source | Shards, limit: int | None = None) -> tuple[Tensor, Labels]:
    """Return images (N, 3, SIZE, SIZE) in [-1, 1] and each one's attributes.

    Raises ValueError for shards, and for images without attributes.
    """
    if not isinstance(source, Folder | Zipped):
        raise ValueError("data: got shards, wanted a folder or a zip file")
    labels = [entry.attributes for entry in source.entries[:limit]]
    if not all(labels):
        raise ValueError("data: got images without attributes, wanted them in metadata.jsonl")
    images, _ = collate([source.read(i) for i in range(len(labels))])
    return images, labels


def targets(model: AttributeClassifier, labels: Labels) -> dict[str, Tensor]:
    """Return class indices (N,) by attribute; -100, which the loss ignores, where nothing shows."""
    return {
        name: torch.tensor([_index(row, name, values) for row in labels])
        for name, values in model.config.attributes.items()
    }


def _index(row: Mapping[str, str], name: str, values: tuple[str, ...]) -> int:
    hidden = name == "hair_colour" and row.get("hair") == "no"
    return -100 if hidden or name not in row else values.index(row[name])


def train(
    model: AttributeClassifier,
    images: Tensor,
    labels: Labels,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
) -> float:
    """Train in place on images (N, 3, H, W) in [-1, 1]; return the last step's loss.

    It is the mean over attributes of cross-entropies, in nats.
    """
    device = next(model.parameters()).device
    wanted = targets(model, labels)
    draw = generator(seed, "classifier")
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps + 1)
    loss = torch.zeros(())
    for _ in progress(range(steps), label="classifier"):
        chosen = torch.randint(len(images), (batch,), generator=draw)
        logits = model(augment(images[chosen], draw).to(device))
        loss = torch.stack(
            [F.cross_entropy(logits[k], v[chosen].to(device)) for k, v in wanted.items()]
        ).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        cycle.step()
    return loss.item()


def augment(images: Tensor, draw: torch.Generator) -> Tensor:
    """Return the images (B, 3, H, W) shifted together, noised, and now and then blurred."""
    dx, dy = torch.randint(-SHIFT, SHIFT + 1, (2,), generator=draw).tolist()
    x = F.pad(images, [SHIFT] * 4, mode="replicate")
    height, width = images.shape[-2:]
    return roughened(
        x[..., SHIFT + dy : SHIFT + dy + height, SHIFT + dx : SHIFT + dx + width], draw
    )


def roughened(x: Tensor, draw: torch.Generator) -> Tensor:
    """Return images (B, 3, H, W) noised, and now and then blurred."""
    if torch.rand((), generator=draw) < BLURRED:
        x = 0.5 * x + 0.5 * F.avg_pool2d(F.pad(x, [1] * 4, mode="replicate"), 3, stride=1)
    return x + NOISE * torch.randn(x.shape, generator=draw)


def accuracy(model: AttributeClassifier, images: Tensor, labels: Labels) -> dict[str, float]:
    """Return the share of right answers by attribute, over the images (N, 3, H, W) showing it."""
    found, wanted = model.read(images), targets(model, labels)
    right = {}
    for name, indices in wanted.items():
        shown = [i for i, index in enumerate(indices.tolist()) if index >= 0]
        hits = [found[i][name] == labels[i][name] for i in shown]
        right[name] = sum(hits) / max(1, len(hits))
    return right


if __name__ == "__main__":
    raise SystemExit(run_command(TrainClassifier))
