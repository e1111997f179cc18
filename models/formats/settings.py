"""The settings of `convert` and `inspect`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import option, output, required, word
from latentgeo.models.bundles.settings import MODEL_CONFIG, Dtype

Layout = Literal[
    "latentgeo",  # the first five are of models
    "diffusers",  # of a LoRA, too
    "ldm",
    "ddpm",
    "adm",
    "attn-procs",  # these are of a LoRA
    "peft",
    "kohya",
    "kohya-ldm",
    "cloneofsimo",
    "transformers",  # of CLIP
    "openai",
    "pytorch-fid",  # of FID's Inception
]


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Write a model, encoder, LoRA or learned tokens in another program's layout, bit for bit."""

    from_: Path = required("model (name, folder, file), CLIP, Inception, LoRA, or learned tokens")
    to: Path = output(
        "what to write: a folder, or a file in .safetensors, .ckpt, .pt or .bin",
        ".safetensors",
        ".ckpt",
        ".pt",
        ".bin",
    )
    layout: Layout | None = option(
        None, "how to write it; a model's follows from the name if unset, a LoRA's must be given"
    )
    model: str | None = option(
        None, "model whose layers a LoRA is on; Stable Diffusion 1.5 if unset"
    )
    dtype: Dtype | None = option(None, "of the weights; each keeps its own if unset")
    model_config: Path | None = option(None, MODEL_CONFIG)
    ema_weights: bool = option(
        True, "an image model's running average where a file has weights and that", was="ema"
    )
    fold: bool = option(False, "multiply a LoRA's α / rank into its factors, where there is no α")
    shard_size: float | None = option(
        None, "largest file in a folder of diffusers, in GB (10^9 bytes); one file if unset"
    )
    variant: str | None = option(
        None, "word in the names of a folder's weights, such as fp16; it does not change the dtype"
    )

    def __post_init__(self) -> None:
        """Refuse shards of nothing, before torch is imported."""
        if self.shard_size is not None and not 1e-9 <= self.shard_size < math.inf:
            raise ValueError(f"shard_size must be positive and finite, got {self.shard_size}")


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Say what a file or folder of weights is: family, shape, size, hash, and what it fits."""

    file: Path = word("file or folder of weights")
    model: str | None = option(
        None, "model to hold a LoRA against; Stable Diffusion 1.5 and the embedded ones if unset"
    )
    model_config: Path | None = option(None, MODEL_CONFIG)
