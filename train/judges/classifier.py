"""`latentgeo train-classifier`: the reader of a face's attributes, trained on captioned faces.

The loss is the mean cross-entropy of all attributes, without those an image cannot show: no hair
has no colour. Images are shifted by up to 3 pixels and slightly blurred or noised in training, so
that the classifier reads samples of a diffusion model as well as crisp renders.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.core.run.cli import line
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.progress import progress
from latentgeo.core.run.seeds import generator, seed_everything
from latentgeo.infer.data.folder import Folder, Zipped
from latentgeo.infer.data.shards import Shards
from latentgeo.models.judges.classifier import (
    AttributeClassifier,
    ClassifierConfig,
)
from latentgeo.models.judges.headed import write_headed
from latentgeo.train.data.stream import Source, collate, open_source
from latentgeo.train.judges.settings import TrainClassifier

SIZE = 64  # side of the faces in pixels
SHIFT = 3  # pixels
BLURRED = 0.25  # share of the batches
NOISE = 0.03  # standard deviation, of values in [-1, 1]

Labels = Sequence[Mapping[str, str]]


def train_classifier(cmd: TrainClassifier) -> None:
    """Train, write, and print the accuracy on the held-out half."""
    images, labels = load_faces(open_source(cmd.data, SIZE), cmd.limit)
    print(f"found {len(images)} faces with attributes, {SIZE} x {SIZE}", flush=True)
    seed_everything(cmd.seed)
    model = AttributeClassifier(ClassifierConfig(size=SIZE)).to(pick_device(cmd.device))
    train(model, images, labels, cmd.steps, cmd.batch, cmd.rate, cmd.seed)
    write_headed(model, cmd.to, torch.float16)
    held_images, held_labels = load_faces(open_source("avatars:test", SIZE))
    for name, value in accuracy(model.eval(), held_images, held_labels).items():
        print(f"{name:16s} {value:.3f}")
    print("next:")
    print(f"    {line('eval-quality', classifier=cmd.to, out=cmd.to.parent / 'quality')}")


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
