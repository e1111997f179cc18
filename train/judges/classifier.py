"""Training of the reader of a face's attributes, on faces with theirs.

The loss is the mean cross-entropy of all attributes, without those an image cannot show: no hair
has no colour. Images are shifted by up to 3 pixels and slightly blurred or noised in training, so
that the classifier reads samples of a diffusion model as well as crisp renders.

Batch   images (B, 3, H, W), and each one's attributes in JSON for its caption
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.infer.data.folder import Folder, Zipped
from latentgeo.infer.data.items import Example
from latentgeo.infer.data.shards import Shards
from latentgeo.models.judges.classifier import (
    AttributeClassifier,
    ClassifierConfig,
    load_classifier,
)
from latentgeo.models.judges.headed import write_headed
from latentgeo.train.data.draws import SEEDS, Draws
from latentgeo.train.data.stream import Source, collate, open_source
from latentgeo.train.judges.settings import WEIGHTS, TrainClassifier
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.session import channels_last, remembered, session, stream
from latentgeo.train.loop.task import Batch, Stateless, Terms

SIZE = 64  # side of the faces in pixels
SHIFT = 3  # pixels
BLURRED = 0.25  # share of the batches
NOISE = 0.03  # standard deviation, of values in [-1, 1]

Labels = Sequence[Mapping[str, str]]


class Attributed:
    """The first faces of a source; their captions are their attributes in JSON."""

    def __init__(self, source: Source | Shards, limit: int | None = None) -> None:
        """Raise ValueError for shards, and for images without attributes."""
        if not isinstance(source, Folder | Zipped):
            raise ValueError("data: got shards, wanted a folder or a zip file")
        self.labels = [entry.attributes for entry in source.entries[:limit]]
        if not all(self.labels):
            raise ValueError("data: got images without attributes, wanted them in metadata.jsonl")
        self.source, self.rejects, self.framing = source, source.rejects, source.framing

    @property
    def bad(self) -> Counter[str]:
        """Items refused so far, by reason."""
        return self.source.bad

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.labels)

    def read(self, i: int, draw: Random | None = None) -> Example:
        """Return face i; one that cannot be used raises `BadItem`."""
        return replace(self.source.read(i, draw), caption=json.dumps(self.labels[i]))


class ClassifierTask(Stateless):
    """What the loop trains: the classifier."""

    def __init__(self, model: AttributeClassifier, device: torch.device) -> None:
        self.model, self.device = model, device

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return all weights."""
        return dict(self.model.named_parameters())

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        """Return the mean over attributes of cross-entropies () in nats, and nothing to log."""
        drawn = torch.Generator().manual_seed(draws.integers(0, SEEDS).tolist()[0])
        logits = self.model(augment(batch[0], drawn).to(self.device))
        wanted = targets(self.model, [json.loads(text) for text in batch[1]])
        losses = [
            F.cross_entropy(logits[name].float(), indices.to(self.device))
            for name, indices in wanted.items()
        ]
        return torch.stack(losses).mean(), {}

    def sample_grid(self) -> Tensor | None:
        """Return None: a classifier draws nothing."""
        return None

    def save(self, folder: Path) -> None:
        """Write classifier.safetensors, in float16; print its accuracy on held-out faces."""
        path = write_headed(self.model, folder / WEIGHTS, torch.float16)
        held = Attributed(open_source("avatars:test", SIZE))
        images, _ = collate([held.read(i) for i in range(len(held))])
        for name, value in accuracy(load_classifier(path), images, held.labels).items():
            print(f"{name:16s} {value:.3f}")
        print(f"wrote {path}", flush=True)


def train(settings: TrainClassifier) -> None:
    """Run `latentgeo train-classifier`."""
    with session(settings) as device:
        source = Attributed(open_source(settings.data, SIZE), settings.limit)
        model = AttributeClassifier(ClassifierConfig(size=SIZE)).to(device)
        channels_last(settings, device, model)
        batches = stream(remembered(source), settings)
        Loop(ClassifierTask(model, device), batches, settings, device).run()


def targets(model: AttributeClassifier, labels: Labels) -> dict[str, Tensor]:
    """Return class indices (N,) by attribute; -100, which the loss ignores, where nothing shows."""
    return {
        name: torch.tensor([_index(row, name, values) for row in labels])
        for name, values in model.config.attributes.items()
    }


def _index(row: Mapping[str, str], name: str, values: tuple[str, ...]) -> int:
    hidden = name == "hair_colour" and row.get("hair") == "no"
    return -100 if hidden or name not in row else values.index(row[name])


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
