"""The commands of `infer`; importing them imports no torch."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.cli import option, required, word
from latentgeo.core.limits import at_least

Dtype = Literal["fp32", "bf16", "fp16", "fp64"]
Coupling = Literal["index", "optimal", "partial", "random", "worst"]  # of core/couplings.py
Sampler = Literal["ddim", "ddpm"]
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
MODEL_CONFIG = "preset's name or JSON file of a model without text, where its file does not tell"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Draw images, of prompts if the model takes any: a PNG for each seed of each, and a grid."""

    out: Path = required("folder for the images; files of the same name are replaced")
    prompts: tuple[str, ...] = option((), "what to draw")
    prompt_file: Path | None = option(None, "UTF-8 text file with more prompts, one to a line")
    model: str = option(
        "avatars", "embedded name, folder (also of diffusers) or single file; +LORA@SCALE adds one"
    )
    model_config: Path | None = option(None, MODEL_CONFIG)
    lora: Path | None = option(
        None, "adapter file of any grammar, or the name of one beside the model"
    )
    lora_scale: float = option(1.0, "strength of the adapter")
    embeddings: tuple[Path, ...] = option((), "files of learned tokens (textual inversion)")
    seed: int = option(0, "seed of each prompt's first image; the next count up from it")
    count: int = option(1, "images per prompt")
    steps: int | None = option(None, "DDIM steps; the model's own default if unset")
    guidance: float | None = option(None, "guidance scale w (1: none); the model's own if unset")
    eta: float = option(0.0, "share of fresh noise per step, 0 (DDIM) to 1 (DDPM)")
    sampler: Sampler = option("ddim", "or ddpm, of a model without text: with its own variance")
    classes: tuple[int, ...] = option((), "what to draw with a model of classes, by number")
    negative: str = option("", "prompt to steer away from")
    size: int | None = option(None, "side of the images in pixels; the model's default if unset")
    batch: int = option(16, "images at a time; changes speed and memory alone")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        at_least(self, 1, "count")

    def run(self) -> None:
        """Draw, and print the folder's grid."""
        from latentgeo.infer.sample import sample_images
        from latentgeo.infer.sample_unprompted import is_unprompted, sample_unprompted

        draw = sample_unprompted if is_unprompted(self.model) else sample_images
        print(draw(self)[-1])


@dataclass(frozen=True, kw_only=True)
class Interpolate:
    """Walk between two seeds, between prompts, or between two images; one or several models.

    Images are inverted first, with one null text for both (see invert); --baseline compares.
    """

    prompt: str | None = option(None, "what every image of the walk shows")
    prompts: tuple[str, ...] = option(
        (), "two or more prompts to walk between, from one seed; with images, what each shows"
    )
    coupling: tuple[Coupling, ...] = option(
        ("index", "optimal"), "between prompts: how their tokens are paired, a strip for each"
    )
    noise_too: bool = option(False, "between prompts: walk from seed to seed_b at once")
    out: Path = required("folder for the strip, the GIFs and the distances; files are replaced")
    images: tuple[Path, ...] = option((), "two images to walk between, instead of seeds")
    models: tuple[str, ...] = option(
        ("avatars", "avatars-smooth"), "models to compare: NAME, NAME+LORA or NAME+LORA@SCALE"
    )
    baseline: tuple[Literal["vae", "anid"], ...] = option(
        (),
        "between images also: straight lines of the autoencoder's latents; noising and denoising",
    )
    seed: int = option(0, "seed of the walk's first image, and of the noise of anid")
    seed_b: int = option(1, "seed of its last image")
    frames: int = option(11, "images of the walk, or from prompt to prompt, both ends included")
    steps: int | None = option(None, "DDIM steps; the model's own default if unset")
    guidance: float | None = option(None, "guidance scale w (1: none); the model's own if unset")
    size: int | None = option(None, "side in pixels; the model's or the images' own if unset")
    batch: int = option(16, "images at a time; changes speed and memory alone")
    mp4: bool = option(False, "write MP4 videos too; needs the program ffmpeg")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto")
    dtype: Dtype = option("fp32", "of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, before torch is imported."""
        at_least(self, 2, "frames")
        if self.images:
            self._check_images()
            return
        if self.baseline:
            got = f"{' '.join(self.baseline)} for a walk between seeds or prompts"
            raise ValueError(f"baseline: got {got}, wanted two --images")
        if self.seed == self.seed_b:
            raise ValueError(f"seed_b must differ from seed, got {self.seed_b} for both")
        if (self.prompt is None) == (not self.prompts):
            got = f"{self.prompt!r} and {list(self.prompts)}"
            raise ValueError(
                f"prompt or prompts: got {got}, wanted the one of a walk between seeds, or several"
            )
        if len(self.prompts) == 1:
            raise ValueError(f"prompts: got {self.prompts[0]!r} alone, wanted two or more")
        if not self.coupling or len(set(self.coupling)) != len(self.coupling):
            raise ValueError(f"coupling: got {list(self.coupling)}, wanted one or more, each once")

    def _check_images(self) -> None:
        """Refuse a number of images or prompts that makes no pair."""
        if len(self.images) != 2:
            raise ValueError(f"images: got {len(self.images)}, wanted the two ends of the walk")
        if len(self.prompts) not in (0, 2) or (self.prompt is None) == (not self.prompts):
            got = f"{self.prompt!r} and {list(self.prompts)}"
            raise ValueError(
                f"prompts: got {got} between images, wanted one --prompt, or two --prompts"
            )
        at_least(self, 1, "batch")

    def run(self) -> None:
        """Walk, and print the files written."""
        from latentgeo.infer.between import interpolate_photos
        from latentgeo.infer.interpolate import check_walk, interpolate_images
        from latentgeo.infer.interpolate_prompts import interpolate_prompts

        check_walk(self)
        between_seeds = interpolate_prompts if self.prompts else interpolate_images
        for path in interpolate_photos(self) if self.images else between_seeds(self):
            print(path)


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Write a model, encoder, LoRA or learned tokens in another program's layout, bit for bit."""

    from_: Path = required("model (name, folder, file), CLIP, Inception, LoRA, or learned tokens")
    to: Path = required("what to write: a folder, or a file in .safetensors, .ckpt, .pt or .bin")
    layout: Layout | None = option(
        None, "how to write it; a model's follows from the name if unset, a LoRA's must be given"
    )
    model: Path | None = option(
        None, "model whose layers a LoRA is on; Stable Diffusion 1.5 if unset"
    )
    dtype: Dtype | None = option(None, "of the weights; each keeps its own if unset")
    model_config: Path | None = option(None, MODEL_CONFIG)
    ema: bool = option(True, "an image model's running average where a file has weights and that")
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

    def run(self) -> None:
        """Convert, and print what was written."""
        from latentgeo.core.device import pick_dtype
        from latentgeo.models.formats.convert import convert
        from latentgeo.models.formats.shards import Packing

        dtype = None if self.dtype is None else pick_dtype(self.dtype)
        size = None if self.shard_size is None else int(self.shard_size * 1e9)
        packing = Packing(variant=self.variant, shard_size=size)
        more = (self.model_config, self.ema, packing)
        print(convert(self.from_, self.to, self.layout, self.model, dtype, self.fold, *more))


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Say what a file or folder of weights is: family, shape, size, hash, and what it fits."""

    file: Path = word("file or folder of weights")
    model: Path | None = option(
        None, "model to hold a LoRA against; Stable Diffusion 1.5 and the embedded ones if unset"
    )
    model_config: Path | None = option(None, MODEL_CONFIG)

    def run(self) -> None:
        """Inspect, and print a line per finding."""
        from latentgeo.models.formats.inspection import inspect

        rows = inspect(self.file, self.model, self.model_config)
        width = max(len(name) for name, _ in rows)
        for name, text in rows:
            print(f"{name:<{width}}  {text}")
