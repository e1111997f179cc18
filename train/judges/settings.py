"""The settings of `train-judge`, `train-segmenter` and `train-classifier`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import line, option, output, required
from latentgeo.core.run.limits import at_least
from latentgeo.train.loop.settings import Training

HELD_OUT = 1024  # the embedded faces from here on
WEIGHTS = "classifier.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainJudge(Training):
    """Train a small CLIP on captioned images, which judges directions of edits.

    CLIP Sec. 2.3b   the loss: a symmetric cross entropy over all pairs of a batch
    """

    data: str = option("avatars", "avatars, or a folder, .zip or .tar shards of captioned images")
    size: int = option(64, "side of the square images in pixels")
    predictions: str | None = option(
        None, "model without text: half of the images are shown as it predicts them from noise"
    )
    on_bad: Literal["skip", "fail"] = option(
        "skip", "what to do with a bad image or caption: skip and count it, or fail"
    )
    where: tuple[str, ...] = option(
        (), "take only images whose metadata meet these, such as 'aesthetic>=6.5'"
    )
    steps: int = option(2400, "optimiser steps of the whole run")
    batch: int = option(
        128, "images per optimiser step, over all GPUs and all parts of --accumulate"
    )
    rate: float = option(2e-3, "learning rate of AdamW after the warm-up")
    schedule: Literal["constant", "cosine"] = option(
        "cosine", "learning rate after the warm-up: constant, or down to 0 along a cosine"
    )
    warm_up: int = option(100, "warm-up: steps over which the learning rate rises from 0")
    weight_decay: float = option(5e-2, "decoupled weight decay of AdamW")
    beta_2: float = option(0.98, "decay of AdamW's second moment")
    ema: float = option(0.99, "decay of the weights' moving average; 0 keeps none")
    sample_every: int = option(0, "steps from one grid of samples to the next; a judge draws none")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        at_least(self, 16, "size")
        if self.batch // self.accumulate < 2:
            raise ValueError(
                f"batch: got {self.batch} in {self.accumulate} parts, wanted 2 or more in each"
            )

    def following(self, recipe: str | None, captions: tuple[str, ...]) -> list[str]:
        """Return what measures the judge."""
        return [line("eval-judge", judge=self.out, out=self.beside("judged"))]


@dataclass(frozen=True, kw_only=True)
class TrainSegmenter(Training):
    """Train a small segmenter of faces on their exact part masks."""

    data: str = option("faces", "folder or .zip of faces")
    masks: Path = required(
        "folder of the faces' masks: for each a .png whose pixels are numbers of parts"
    )
    size: int = option(64, "side of the square images and masks in pixels")
    steps: int = option(1000, "optimiser steps of the whole run")
    batch: int = option(
        16, "images per optimiser step, over all GPUs and all parts of --accumulate"
    )
    rate: float = option(3e-3, "learning rate of AdamW after the warm-up")
    schedule: Literal["constant", "cosine"] = option(
        "cosine", "learning rate after the warm-up: constant, or down to 0 along a cosine"
    )
    warm_up: int = option(50, "warm-up: steps over which the learning rate rises from 0")
    ema: float = option(0.98, "decay of the weights' moving average; 0 keeps none")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        at_least(self, 8, "size")

    def following(self, recipe: str | None, captions: tuple[str, ...]) -> list[str]:
        """Return what measures the segmenter, on faces of the embedded set that are held out."""
        masks = self.beside("held-out-masks")
        measure = {"segmenter": self.out, "masks": masks, "out": self.beside("segmented")}
        return [
            line("render-masks", first=HELD_OUT, count=200, out=masks),
            line("eval-segmenter", **measure),
        ]


@dataclass(frozen=True, kw_only=True)
class TrainClassifier(Training):
    """Train the classifier of a face's attributes."""

    out: Path = output(
        "folder of the run: run.toml, log.jsonl, checkpoints, samples and weights", was="to"
    )
    data: str = option("avatars", "avatars, or a folder or zip of faces with their attributes")
    limit: int = option(14_000, "how many faces are used, from the first on")
    steps: int = option(2200, "optimiser steps of the whole run")
    batch: int = option(
        64, "images per optimiser step, over all GPUs and all parts of --accumulate"
    )
    rate: float = option(2e-3, "learning rate of AdamW after the warm-up")
    schedule: Literal["constant", "cosine"] = option(
        "cosine", "learning rate after the warm-up: constant, or down to 0 along a cosine"
    )
    warm_up: int = option(660, "warm-up: steps over which the learning rate rises from 0")
    weight_decay: float = option(5e-2, "decoupled weight decay of AdamW")
    ema: float = option(0.0, "decay of the weights' moving average; 0 keeps none")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        at_least(self, 1, "limit")

    def following(self, recipe: str | None, captions: tuple[str, ...]) -> list[str]:
        """Return what measures a model with the classifier."""
        measure = {"classifier": self.out / WEIGHTS, "out": self.beside("quality")}
        return [line("eval-quality", **measure)]
