"""The settings of the benchmarks of models and steps."""

from dataclasses import dataclass
from typing import Literal

from latentgeo.core.run.cli import option
from latentgeo.core.run.limits import at_least
from latentgeo.models.bundles.settings import Dtype, Preset

Route = Literal["double-backward", "reverse-over-forward", "central-difference"]


@dataclass(frozen=True, kw_only=True)
class BenchUnet:
    """Time the UNet's forward pass beside diffusers' in the same process."""

    preset: Preset = option("sd15", "shape of the UNet")
    latent_size: int = option(32, "side of the latents", was="size")
    batch: int = option(1, "samples at a time")
    rounds: int = option(10, "measurements of each contender, in turn")
    alone: Literal["ours", "diffusers"] | None = option(
        None,
        "run one contender alone, to see its peak memory",
        was="only",
    )

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "latent_size", "batch", "rounds")


@dataclass(frozen=True, kw_only=True)
class BenchStep:
    """Time a training step of Smooth Diffusion beside the published formulation."""

    preset: Preset = option("avatars", "shape of the UNet")
    latent_size: int = option(16, "side of the latents", was="size")
    batch: int = option(4, "samples at a time")
    rounds: int = option(5, "measurements of each contender, in turn")
    rank: int = option(8, "rank of the LoRA")
    device: str = option("auto", "cpu, cuda, cuda:N, or auto: cuda if there is one")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "latent_size", "batch", "rounds", "rank")


@dataclass(frozen=True, kw_only=True)
class BenchIsometric:
    """Time a training step of Isometric Diffusion beside the published formulation."""

    preset: str = option("avatars-ddpm", "shape of the model: avatars-ddpm, ddpm-cifar10, …")
    batch: int = option(4, "images at a time")
    rounds: int = option(5, "measurements of each contender, in turn")
    device: str = option("auto", "cpu, cuda, cuda:N, or auto: cuda if there is one")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "batch", "rounds")


@dataclass(frozen=True, kw_only=True)
class BenchNullText:
    """Time null-text inversion beside the published formulation; needs the package diffusers.

    --account counts one update at full size instead, in bfloat16 and without a GPU.
    """

    preset: Preset = option("avatars", "shape of the UNet")
    latent_size: int = option(16, "side of the latents", was="size")
    n_images: int = option(4, "images to invert", was="images")
    steps: int = option(2, "DDIM steps")
    inner: int = option(10, "updates of the null text at each step")
    rounds: int = option(3, "measurements of each contender, in turn")
    account: bool = option(False, "count memory, bytes and launches of one update instead")
    device: str = option("auto", "cpu, cuda, cuda:N, or auto: cuda if there is one")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "latent_size", "n_images", "steps", "inner", "rounds")
        if self.steps > 100:
            raise ValueError(
                f"steps must be at most 100, where the published rate ends, got {self.steps}"
            )


@dataclass(frozen=True, kw_only=True)
class BenchAccount:
    """Count what a training step of Smooth Diffusion launches, moves and holds; needs no GPU."""

    preset: Preset = option("sd15", "shape of the UNet")
    latent_size: int = option(64, "side of the latents", was="size")
    batch: int = option(1, "samples at a time")
    rank: int = option(8, "rank of the LoRA; 0 trains every weight")
    dtype: Literal["bf16", "all-bf16", "fp32"] = option(
        "bf16",
        "number formats: bf16 as trained, by autocast over fp32 weights; all-bf16, weights too; "
        "or fp32",
    )
    route: Route = option("double-backward", "how the regularizer's gradient is computed")
    variants: tuple[Literal["math", "reference", "fused-attention", "fused"], ...] = option(
        ("math", "reference", "fused-attention", "fused"),
        "what computes: PyTorch's own operators (math), our references, our kernels for "
        "attention alone, or for all",
    )
    top: int = option(
        0, "how many operations to list for each variant, those that move the most bytes"
    )

    def __post_init__(self) -> None:
        """Refuse what no step could be."""
        at_least(self, 1, "latent_size", "batch")
        for name in ("rank", "top"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class BenchLoad:
    """Time loading a folder of diffusers beside diffusers, and its peak memory."""

    model: str | None = option(None, "folder of diffusers to load; unset: one with random weights")
    preset: Preset = option("sd15", "shape of the random model")
    stored: Dtype = option("fp16", "number format that the random model is stored in")
    dtype: Dtype = option("fp16", "number format to load in")
    rounds: int = option(9, "loads by each contender, in turn, each in a process of its own")

    def __post_init__(self) -> None:
        """Refuse what has no interval."""
        at_least(self, 6, "rounds")


@dataclass(frozen=True, kw_only=True)
class BenchSample:
    """Time text to image beside diffusers in the same process, on the same random weights."""

    preset: Preset = option("sd15", "shape of the model")
    size: int = option(512, "side of the image in pixels")
    steps: int = option(20, "DDIM steps")
    rounds: int = option(3, "images by each contender, in turn")
    device: str = option("auto", "cpu, cuda, cuda:N, or auto: cuda if there is one")
    dtype: Dtype = option("fp32", "number format of the networks")

    def __post_init__(self) -> None:
        """Refuse what no run could use, and what has no interval."""
        at_least(self, 1, "size", "steps")
        at_least(self, 2, "rounds")


@dataclass(frozen=True, kw_only=True)
class BenchTransport:
    """Time exact couplings of clouds of tokens, beside POT's in the same process."""

    pairs: int = option(128, "pairs of clouds")
    tokens: int = option(77, "points in a cloud")
    width: int = option(768, "dimensions of a point")
    rounds: int = option(7, "measurements of each contender, in turn; the fastest counts")
    seed: int = option(0, "seed of the clouds")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "pairs", "tokens", "width", "rounds")
