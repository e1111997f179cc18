"""Training of the segmenter of faces, on the exact part masks of their drawings.

The loss is the mean cross-entropy over pixels, in nats. Images are noised and now and then blurred,
as the attribute classifier's are, so that it reads the samples of a diffusion model, too.

Batch   images with their mask as a fourth channel: (B, 4, H, W), part number k as k / 127.5 - 1
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.infer.data.items import BadItem, Example
from latentgeo.infer.data.shards import Shards
from latentgeo.infer.pictures.decoding import Unreadable, read_labels
from latentgeo.models.judges.headed import write_headed
from latentgeo.models.judges.segmenter import PARTS, Segmenter, SegmenterConfig
from latentgeo.train.data.draws import SEEDS, Draws
from latentgeo.train.data.stream import Source, open_source
from latentgeo.train.judges.classifier import roughened
from latentgeo.train.judges.settings import TrainSegmenter
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.session import channels_last, remembered, session, stream
from latentgeo.train.loop.task import Batch, Stateless, Terms


class Masked:
    """The first faces of a source, those with a mask, which becomes their fourth channel."""

    def __init__(self, source: Source | Shards, masks: Path) -> None:
        """Find the masks; no mask of the first face is a FileNotFoundError that names it."""
        if isinstance(source, Shards):
            raise ValueError("data: got shards, wanted a folder or a zip file")
        self.source, self.masks = source, masks
        self.rejects, self.framing = source.rejects, source.framing
        first = self._mask(source.read(0).name)
        if not first.is_file():
            raise FileNotFoundError(f"{first}: no such mask; latentgeo render-masks makes them")
        self.count = min(len(source), sum(1 for _ in masks.glob("*.png")))

    @property
    def bad(self) -> Counter[str]:
        """Items refused so far, by reason."""
        return self.source.bad

    def __len__(self) -> int:
        """Return the number of faces."""
        return self.count

    def read(self, i: int, draw: Random | None = None) -> Example:
        """Return face i with its mask, image (4, H, W) uint8.

        Raises `BadItem` where there is no mask, none that can be read, or one of another size.
        """
        example = self.source.read(i)
        path = self._mask(example.name)
        if not path.is_file():
            raise BadItem(str(path), "missing mask")
        try:
            with path.open("rb") as file:
                mask = torch.from_numpy(np.array(read_labels(file, str(path), len(PARTS))))
        except Unreadable as error:
            raise BadItem(error.name, error.reason, error.detail) from None
        if mask.shape != example.image.shape[1:]:
            raise BadItem(str(path), "mask of another size", str(tuple(mask.shape)))
        return replace(example, image=torch.cat([example.image, mask[None]]))

    def _mask(self, name: str) -> Path:
        return self.masks / f"{Path(name).stem}.png"


def parted(masked: Tensor) -> tuple[Tensor, Tensor]:
    """Return images (B, 3, H, W) and part numbers (B, H, W) of images with masks (B, 4, H, W)."""
    return masked[:, :3], ((masked[:, 3] + 1) * 127.5).round().long()


class SegmenterTask(Stateless):
    """What the loop trains: the segmenter."""

    def __init__(self, model: Segmenter, device: torch.device) -> None:
        self.model, self.device = model, device

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return all weights."""
        return dict(self.model.named_parameters())

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        """Return the mean cross-entropy () in nats of a batch, and the share of right pixels.

        Images with masks (B, 4, H, W), as the head of this file has them.
        """
        images, parts = parted(batch[0])
        drawn = torch.Generator().manual_seed(draws.integers(0, SEEDS).tolist()[0])
        logits = self.model(roughened(images, drawn).to(self.device)).float()
        parts = parts.to(self.device)
        right = (logits.detach().argmax(1) == parts).float().mean()
        return F.cross_entropy(logits, parts), {"right": right}

    def sample_grid(self) -> Tensor | None:
        """Return None: a segmenter draws nothing."""
        return None

    def save(self, folder: Path) -> None:
        """Write segmenter.safetensors, in float16."""
        path = write_headed(self.model, folder / "segmenter.safetensors", torch.float16)
        print(f"wrote {path}", flush=True)


def train(settings: TrainSegmenter) -> None:
    """Run `latentgeo train-segmenter`."""
    with session(settings) as device:
        source = Masked(open_source(settings.data, settings.size), settings.masks)
        model = Segmenter(SegmenterConfig()).to(device)
        channels_last(settings, device, model)
        batches = stream(remembered(source), settings)
        Loop(SegmenterTask(model, device), batches, settings, device).run()
