"""The settings of `train-judge`, `train-segmenter` and `train-classifier`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output, required
from latentgeo.core.run.limits import at_least, positive
from latentgeo.train.loop.settings import Training


@dataclass(frozen=True, kw_only=True)
class TrainJudge(Training):
    """Train a small CLIP on captioned images, which judges directions of edits.

    CLIP Sec. 2.3b   the loss: a symmetric cross entropy over all pairs of a batch
    """

    data: str = option("avatars", "avatars, or a folder, .zip or .tar shards of captioned images")
    size: int = option(64, "side of the square images in pixels")
    predictions: str | None = option(
        None, "model without text, as whose predictions from noise half of the images are seen"
    )
    on_bad: Literal["skip", "fail"] = option(
        "skip", "a bad image or caption: skip and count, or stop"
    )
    where: tuple[str, ...] = option((), "conditions on metadata, such as 'aesthetic>=6.5'")
    steps: int = option(2400, "optimiser steps in all")
    batch: int = option(128, "images per optimiser step, over all ranks and accumulated parts")
    rate: float = option(2e-3, "learning rate of AdamW after the warm-up")
    schedule: Literal["constant", "cosine"] = option("cosine", "learning rate after the warm-up")
    warm_up: int = option(100, "steps over which the learning rate rises linearly")
    weight_decay: float = option(5e-2, "decoupled weight decay of AdamW")
    beta_2: float = option(0.98, "decay of AdamW's second moment")
    ema: float = option(0.99, "decay of the weights' moving average; 0 keeps none")
    sample_every: int = option(0, "steps per sample grid; a judge draws none")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        at_least(self, 16, "size")
        if self.batch // self.accumulate < 2:
            raise ValueError(
                f"batch: got parts of {self.batch // self.accumulate}, wanted 2 or more"
            )


@dataclass(frozen=True, kw_only=True)
class TrainSegmenter(Training):
    """Train a small segmenter of faces on their exact part masks."""

    data: str = option("faces", "folder or .zip of faces")
    masks: Path = required("folder of their masks: a .png of part numbers for each face")
    size: int = option(64, "side of the square images in pixels, and of the masks")
    steps: int = option(1000, "optimiser steps in all")
    batch: int = option(16, "images per optimiser step, over all ranks and accumulated parts")
    rate: float = option(3e-3, "learning rate of AdamW after the warm-up")
    schedule: Literal["constant", "cosine"] = option("cosine", "learning rate after the warm-up")
    warm_up: int = option(50, "steps over which the learning rate rises linearly")
    ema: float = option(0.98, "decay of the weights' moving average; 0 keeps none")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        at_least(self, 8, "size")


@dataclass(frozen=True, kw_only=True)
class TrainClassifier:
    """Train the attribute classifier and write it as one safetensors file."""

    data: str = option("avatars", "avatars, or a folder or zip of faces with their attributes")
    limit: int = option(14_000, "faces used, the first ones of the data")
    to: Path = output("file for the weights; replaced", "", was="out")
    steps: int = option(2200, "optimiser steps")
    batch: int = option(64, "images per step")
    rate: float = option(2e-3, "highest learning rate of AdamW (one cycle)")
    seed: int = option(0, "seed of weights, order and augmentation")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "limit", "steps", "batch")
        positive(self, "rate")
