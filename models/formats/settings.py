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

    from_: Path = required(
        "what to convert: a model's name, or a folder or file of a model, CLIP, Inception, LoRA"
        " or learned tokens"
    )
    to: Path = output(
        "what to write: a folder, or a file in .safetensors, .ckpt, .pt or .bin",
        ".safetensors",
        ".ckpt",
        ".pt",
        ".bin",
    )
    layout: Layout | None = option(
        None,
        "program whose layout is written; a LoRA needs one; unset: a model's follows from the "
        "name in --to",
    )
    model: str | None = option(None, "model that a LoRA is for; unset: Stable Diffusion 1.5")
    dtype: Dtype | None = option(None, "number format of the weights; unset: each keeps its own")
    model_config: Path | None = option(None, MODEL_CONFIG)
    ema_weights: bool = option(
        True,
        "model without text: take the running average (EMA) of the weights where a file has both",
        was="ema",
    )
    fold: bool = option(
        False, "multiply a LoRA's α / rank into its factors, for a layout that has no α"
    )
    shard_size: float | None = option(
        None, "largest size of a file in a folder of diffusers, in GB (10^9 bytes); unset: one file"
    )
    variant: str | None = option(
        None,
        "word in the file names of a folder of diffusers, such as fp16; it does not change the "
        "number format",
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
        None,
        "model that a LoRA is compared with; unset: Stable Diffusion 1.5 and the embedded ones",
    )
    model_config: Path | None = option(None, MODEL_CONFIG)
