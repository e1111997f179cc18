"""The commands that train the judges of edits; no torch until one of them runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.cli import option, required
from latentgeo.core.limits import at_least
from latentgeo.train.settings import Training


@dataclass(frozen=True, kw_only=True)
class TrainJudge(Training):
    """Train a small CLIP on captioned images, which judges directions of edits.

    CLIP Sec. 2.3   the loss: a symmetric cross entropy over all pairs of a batch
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

    def run(self) -> None:
        """Train, and write judge.safetensors."""
        from latentgeo.train.judge import train

        train(self)


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

    def run(self) -> None:
        """Train, and write segmenter.safetensors."""
        from latentgeo.train.segmenter import train

        train(self)


@dataclass(frozen=True, kw_only=True)
class RenderMasks:
    """Render the exact part masks of the faces that render-avatars draws."""

    out: Path = required("folder to write: 000000.png and so on, a pixel is its part's number")
    count: int = option(4000, "faces")
    first: int = option(0, "number of the first face")
    seed: int = option(0, "seed of the faces")
    size: int = option(64, "side of the square masks in pixels")
    workers: int = option(1, "processes that render")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "count", "workers")
        at_least(self, 0, "first")
        at_least(self, 8, "size")

    def run(self) -> None:
        """Render, and print what share of the pixels each part has."""
        from latentgeo.train.avatar_masks import render_masks

        faces = range(self.first, self.first + self.count)
        pixels = render_masks(self.out, faces, self.seed, self.size, self.workers)
        for part, found in pixels.most_common():
            print(f"{part:12s} {found / pixels.total():.4f}")


@dataclass(frozen=True, kw_only=True)
class RenderPairs:
    """Render pairs of faces that differ in one attribute alone, to measure a judge with."""

    out: Path = required("folder to write: images, and pairs.jsonl with their texts")
    count: int = option(100, "pairs of each of the five changes")
    seed: int = option(0, "seed of the faces")
    size: int = option(64, "side of the square images in pixels")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "count")
        at_least(self, 8, "size")

    def run(self) -> None:
        """Render."""
        from latentgeo.train.avatar_pairs import render_pairs

        render_pairs(self.out, self.count, self.seed, self.size)
