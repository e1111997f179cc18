"""The settings of `train-smooth` and `sweep-smooth`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import line, option
from latentgeo.core.run.limits import at_least, positive, within
from latentgeo.models.bundles.settings import PREDICTION, Prediction
from latentgeo.train.loop.settings import Training


@dataclass(frozen=True, kw_only=True)
class TrainSmooth(Training):
    """Train a Smooth-LoRA: the denoising loss plus Step-wise Variation Regularization.

    Smooth Sec. 4.1   the defaults: rank 8, λ = 1, AdamW at 1e-4 with decay 1e-4, batch 96,
                      30,000 steps
    """

    model: str = option("avatars", "model to smooth: a folder, a file or an embedded name")
    prediction: Prediction | None = option(None, PREDICTION)
    data: str = option(
        "avatars", "avatars, a folder, .zip or .tar shards of captioned images, or a cache"
    )
    size: int | None = option(None, "side of the square images in pixels; unset: the model's own")
    flip: bool = option(False, "mirror images left to right with probability 1/2")
    on_bad: Literal["skip", "fail"] = option(
        "skip", "what to do with a bad image or caption: skip and count it, or fail"
    )
    where: tuple[str, ...] = option(
        (), "take only images whose metadata meet these conditions, such as 'aesthetic>=6.5'"
    )
    cache_latents: bool = option(True, "encode all images once, before training")
    drop_caption: float = option(0.0, "probability of an empty caption")
    adapter: Literal["lora", "full"] = option(
        "lora", "what is trained: a LoRA, or every weight of the UNet, shared out over the GPUs"
    )
    rank: int = option(8, "rank of the LoRA")
    targets: tuple[str, ...] = option(
        ("attention",),
        "layers that the LoRA adapts: attention (as the paper), or names with wildcards; '*' is"
        " all",
    )
    lora: Path | None = option(
        None, "LoRA file to go on from, with its rank and layers; unset: a new LoRA"
    )
    alpha: float | None = option(
        None, "α of the LoRA, whose update is scaled by α / rank; unset: the rank"
    )
    reg_weight: float = option(1.0, "λ, the weight of the regularizer")
    route: Literal["double-backward", "reverse-over-forward", "central-difference"] = option(
        "double-backward", "how the regularizer's gradient is computed"
    )
    difference_step: float | None = option(
        None, "step of --route central-difference, as a share of ‖ε‖"
    )
    delta_length: Literal["unit", "official"] = option(
        "unit",
        "length of the random Δx̂_0: unit is exactly 1, official (as the authors' code) 1 on "
        "average",
        was="direction",
    )
    statistic: Literal["global", "per-timestep"] | None = option(
        None,
        "running means a: one for all t (global, the paper's) or one for each t; unset: as many"
        " as --ranges",
    )
    ranges: int = option(1, "how many ranges of t have a running mean a each; the paper has 1")
    decay: float = option(0.99, "decay of the running means a per optimiser step")
    checkpoint_activations: bool = option(
        False, "keep only the inputs of blocks and compute the rest again: less memory, more time"
    )
    graph: bool = option(False, "on one GPU: record a step as a CUDA graph, and replay it")
    samples: int = option(16, "images in a sample grid")
    batch: int = option(
        96, "images per optimiser step, over all GPUs and all parts of --accumulate"
    )
    accumulate: int = option(
        8, "parts that a batch is computed in, one after the other, for less memory"
    )
    weight_decay: float = option(1e-4, "decoupled weight decay of AdamW")
    ema: float = option(0.0, "decay of the weights' moving average; 0 keeps none")

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        at_least(self, 1, "rank", "ranges", "samples")
        at_least(self, 0, "reg_weight")
        positive(self, "size", "alpha", "difference_step")
        within(self, 0, 1, "drop_caption", "decay")
        if self.statistic is not None and self.ranges != 1:
            raise ValueError(
                f"ranges and statistic: got {self.ranges} and {self.statistic}, wanted one of the "
                "two: global is 1 range, per-timestep one for each t"
            )
        if self.adapter == "full" and self.lora is not None:
            raise ValueError(f"lora: got {self.lora} with --adapter full, which trains no LoRA")

    def following(self, recipe: str | None, captions: tuple[str, ...]) -> list[str]:
        """Return a walk of the model with the adapter and without, and its ISTD."""
        smooth = str(self.out) if self.adapter == "full" else f"{self.model}+{self.out}"
        models = (self.model, smooth)
        walk = {"models": models, "prompt": next(iter(captions), ""), "out": self.beside("walk")}
        istd = {"models": models, "data": self.data, "n_prompts": 16}
        return [
            line("interpolate", **walk),
            line("eval-istd", **istd, out=self.beside("istd")),
        ]

    def means(self, T: int) -> int:
        """Return how many running means a there are, each for as many of the T timesteps."""
        return T if self.statistic == "per-timestep" else self.ranges


@dataclass(frozen=True, kw_only=True)
class SweepSmooth(TrainSmooth):
    """Train as train-smooth does for several λ and several ranks, one after the other.

    Smooth Tab. 3, Smooth Tab. 4   each λ at rank 8, each rank at λ = 1, and all weights
    """

    reg_weights: tuple[float, ...] = option(
        (0.1, 1.0, 10.0), "values of λ to train, each at --rank"
    )
    ranks: tuple[int, ...] = option((4, 8, 16), "ranks of the LoRA to train, each at --reg-weight")
    full_unet: bool = option(
        False, "also train every weight of the UNet, at --reg-weight", was="full"
    )

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        if not all(0 <= weight < math.inf for weight in self.reg_weights):
            raise ValueError(f"reg_weights must be finite and at least 0, got {self.reg_weights}")
        if not all(rank >= 1 for rank in self.ranks):
            raise ValueError(f"ranks must be at least 1, got {self.ranks}")
        if not (self.reg_weights or self.ranks or self.full_unet):
            raise ValueError("reg_weights, ranks and full_unet: got none, wanted one at least")
        if self.adapter == "full" or self.lora is not None:
            got = f"{self.adapter} and {self.lora}"
            raise ValueError(
                f"adapter and lora: got {got}, wanted neither: a sweep trains new LoRAs, and with "
                "--full-unet every weight"
            )
