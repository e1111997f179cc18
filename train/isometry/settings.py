"""The settings of `train-isometric`."""

from dataclasses import dataclass
from typing import Literal

from latentgeo.core.run.cli import line, option
from latentgeo.core.run.limits import at_least, within
from latentgeo.train.settings import TrainDdpm


@dataclass(frozen=True, kw_only=True)
class TrainIsometric(TrainDdpm):
    """Train a model of images whose encoder is close to a scaled isometry of the noise sphere.

    Iso Sec. 4.1a   the defaults: Adam at 1e-4, batch 32, moving average 0.9999, p = 0.5, λ = 1e-4;
                   10 epochs of 14,342 images (CelebA-HQ) are 4,482 steps
    Iso Sec. 4.1e  images of a folder, of the size of the preset, mirrored or not (`flip`)
    Iso Tab. 3     p of 0, 0.5 and 1, λ_iso of 1e-3 and 1e-4, G of the sphere or I (`geometry`)
    Iso Tab. I     the same of latent diffusion (`vae`)
    """

    adapter: Literal["full", "lora"] = option("full", "what is trained: every weight, or a LoRA")
    rank: int = option(8, "rank of the LoRA")
    targets: tuple[str, ...] = option(
        ("*",), "layers that the LoRA adapts: names with wildcards; '*' is all"
    )
    drop_caption: float = option(0.1, "model with text: share of captions that are left empty")
    iso_weight: float = option(1e-4, "λ_iso, the weight of the isometry loss")
    p: float = option(0.5, "share of the times, the cleanest, that have no isometry loss")
    probes: int = option(1, "R, random directions per image")
    geometry: Literal["sphere", "plane"] = option(
        "sphere",
        "metric G of the noise: the sphere's, or plane: G = I, as the released code has it",
    )
    radius: Literal["norm", "marginal", "sqrt_n"] = option(
        "norm", "radius of the sphere at t: ‖x_t‖, √(n(1-ᾱ_t)) (the paper's), or √n"
    )
    ratio: Literal["batch", "sample"] = option(
        "batch",
        "the loss is a ratio of means over the batch (the paper's), or the mean of each image's"
        " ratio",
    )
    graph: bool = option(False, "on one GPU: record a step as a CUDA graph, and replay it")
    batch: int = option(
        32, "images per optimiser step, over all GPUs and all parts of --accumulate"
    )
    steps: int = option(4482, "optimiser steps of the whole run")
    rate: float = option(1e-4, "learning rate of AdamW after the warm-up")

    def following(self, recipe: str | None, captions: tuple[str, ...]) -> list[str]:
        """Return images of the model, or of the one it is an adapter of."""
        model = str(self.out) if self.adapter == "full" else f"{self.start}+{self.out}"
        drawn = {"prompts": captions[:1]} if captions else {"count": 16}
        return [line("sample", model=model, **drawn, out=self.beside("images"))]

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        at_least(self, 0, "iso_weight")
        at_least(self, 1, "probes", "rank")
        within(self, 0, 1, "p", "drop_caption")
        if self.adapter == "lora" and self.start is None:
            raise ValueError("start: got none, wanted the model that --adapter lora is for")
        if self.compile:
            raise ValueError(
                "compile: wanted without: the loss needs forward mode, compiled code has none"
            )
