"""The settings of training an autoencoder, a model on it, a model of images, and of a cache."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentgeo.core.run.cli import line, option, output, required
from latentgeo.core.run.limits import at_least, positive, within
from latentgeo.models.bundles.settings import Preset
from latentgeo.train.loop.settings import Training


@dataclass(frozen=True, kw_only=True)
class TrainVae(Training):
    """Train the KL autoencoder: L1 + LPIPS + KL, and a patch discriminator from some step on.

    The released runs have a discriminator of width 64 with 3 strided convolutions, weight 0.5.
    """

    data: str = option("avatars", "avatars, or a folder, .zip or .tar shards of captioned images")
    size: int = option(64, "side of the square images in pixels")
    flip: bool = option(False, "mirror images left to right with probability 1/2")
    on_bad: Literal["skip", "fail"] = option(
        "skip", "what to do with a bad image or caption: skip and count it, or fail"
    )
    where: tuple[str, ...] = option(
        (), "take only images whose metadata meet these conditions, such as 'aesthetic>=6.5'"
    )
    preset: Preset = option("avatars", "shape of the autoencoder")
    start: str | None = option(
        None, "autoencoder to start from: what train-vae wrote, or a model; unset: new weights"
    )
    decoder_only: bool = option(
        False, "train the decoder of --start alone: latents stay, and so do the models on them"
    )
    perceptual_weight: float = option(1.0, "weight of LPIPS")
    compile: bool = option(
        False, "compile the networks by torch.compile: some minutes first, then faster steps"
    )
    kl_weight: float = option(1e-6, "weight of the KL divergence in nats per image")
    adversarial_weight: float = option(
        0.0,
        "weight of the discriminator's loss, times its adaptive weight; 0 trains no discriminator",
    )
    adversarial_from: int = option(0, "optimiser steps before the discriminator's loss counts")
    patch_width: int = option(64, "channels of the discriminator's first layer")
    patch_strided: int = option(
        3, "strided layers of the discriminator: 3 judge patches of 70 pixels, 2 of 34"
    )
    scale_images: int = option(2048, "images on which the scale factor of the latents is measured")
    steps: int = option(20_000, "optimiser steps of the whole run")
    rate: float = option(4e-4, "learning rate of AdamW after the warm-up")
    weight_decay: float = option(0.0, "decoupled weight decay of AdamW")
    beta_1: float = option(0.5, "decay of AdamW's first moment")
    beta_2: float = option(0.9, "decay of AdamW's second moment")
    ema: float = option(0.999, "decay of the weights' moving average; 0 keeps none")

    def following(self, recipe: str | None, captions: tuple[str, ...]) -> list[str]:
        """Return the training of a model on this autoencoder."""
        given = recipe and f"{recipe}-diffusion"
        size = None if given or self.size == 64 else self.size
        more = {"vae": self.out, "data": self.data, "size": size, "out": self.beside("model")}
        return [line("train-diffusion", config=given, **more)]

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        at_least(
            self, 0, "perceptual_weight", "kl_weight", "adversarial_weight", "adversarial_from"
        )
        at_least(self, 1, "size", "scale_images", "patch_width", "patch_strided")
        if self.decoder_only and self.start is None:
            raise ValueError(
                "decoder_only: got no --start, wanted the autoencoder that keeps its encoder"
            )


@dataclass(frozen=True, kw_only=True)
class TrainDiffusion(Training):
    """Train a latent diffusion model on a trained autoencoder; the text encoder with it."""

    data: str = option(
        "avatars", "avatars, a folder, .zip or .tar shards of captioned images, or a cache"
    )
    size: int = option(64, "side of the square images in pixels")
    flip: bool = option(False, "mirror images left to right with probability 1/2")
    on_bad: Literal["skip", "fail"] = option(
        "skip", "what to do with a bad image or caption: skip and count it, or fail"
    )
    where: tuple[str, ...] = option(
        (), "take only images whose metadata meet these conditions, such as 'aesthetic>=6.5'"
    )
    preset: Preset = option("avatars", "shape of the UNet and the text encoder")
    vae: str = required("autoencoder: the folder that train-vae wrote, or a model's folder or name")
    start: str | None = option(None, "model to start from, a folder or a name; unset: new weights")
    compile: bool = option(
        False, "compile the networks by torch.compile: some minutes first, then faster steps"
    )
    train_text: bool = option(True, "train the text encoder too")
    cache_latents: bool = option(True, "encode all images once, before training")
    drop_caption: float = option(0.1, "probability of an empty caption, which guidance needs")
    noise_schedule: Literal["scaled_linear", "linear", "cosine"] = option(
        "scaled_linear", "noise schedule: how β_t grows with t"
    )
    prediction: Literal["eps", "v"] = option("eps", "what the UNet predicts: the noise ε, or v")
    min_snr: float | None = option(None, "γ of min-SNR weighting, usually 5; unset: no weighting")
    guidance: float = option(3.0, "guidance scale of the sample grids, and the model's default")
    sample_steps: int = option(50, "DDIM steps of the sample grids")
    samples: int = option(16, "images in a sample grid")
    warm_up: int = option(500, "warm-up: steps over which the learning rate rises from 0")
    ema: float = option(0.999, "decay of the weights' moving average; 0 keeps none")

    def following(self, recipe: str | None, captions: tuple[str, ...]) -> list[str]:
        """Return the training that makes this model smooth, and an image of it."""
        given = recipe and f"{recipe}-smooth"
        more = {"model": self.out, "data": self.data, "out": self.beside("smooth")}
        drawn = {"model": self.out, "prompts": captions[:1], "out": self.beside("images")}
        return [line("train-smooth", config=given, **more), line("sample", **drawn)]

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        within(self, 0, 1, "drop_caption")
        at_least(self, 1, "size", "sample_steps", "samples")
        at_least(self, 0, "guidance")
        positive(self, "min_snr")


@dataclass(frozen=True, kw_only=True)
class TrainDdpm(Training):
    """Train a diffusion model of images without text, of pixels or of an autoencoder's latents.

    DDPM App. B   the defaults: Adam at 2e-4, batch 128, moving average 0.9999, flips, on CIFAR-10
    """

    data: str = option("avatars", "avatars, or a folder, .zip, .tar shards of images, or CIFAR-10")
    preset: str = option(
        "avatars-ddpm", "network, size and schedule by name: avatars-ddpm, ddpm-cifar10, …"
    )
    start: str | None = option(
        None, "model to start from, a folder, a file or a name; unset: new weights"
    )
    prediction: Literal["eps", "v", "x_0"] | None = option(
        None, "what the network learns to predict; unset: as in the preset or in --start"
    )
    vae: str | None = option(None, "autoencoder whose latents are diffused; unset: pixels are")
    flip: bool = option(True, "mirror images left to right with probability 1/2")
    on_bad: Literal["skip", "fail"] = option(
        "skip", "what to do with a bad image: skip and count it, or fail"
    )
    where: tuple[str, ...] = option(
        (), "take only images whose metadata meet these, such as 'aesthetic>=6.5'"
    )
    compile: bool = option(
        False, "compile the network by torch.compile: some minutes first, then faster steps"
    )
    samples: int = option(16, "images in a sample grid")
    sample_steps: int = option(50, "DDIM steps of the sample grids, and the model's default")
    batch: int = option(
        128, "images per optimiser step, over all GPUs and all parts of --accumulate"
    )
    rate: float = option(2e-4, "learning rate of AdamW after the warm-up")
    weight_decay: float = option(0.0, "decoupled weight decay of AdamW; 0 makes it Adam")

    def following(self, recipe: str | None, captions: tuple[str, ...]) -> list[str]:
        """Return images of this model."""
        return [line("sample", model=self.out, count=16, out=self.beside("images"))]

    def __post_init__(self) -> None:
        """Refuse values that no run could use, each by its name."""
        super().__post_init__()
        at_least(self, 1, "samples", "sample_steps")


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Encode images and captions once, for training with `--data`; started again, it goes on."""

    out: Path = output("folder for the cache")
    model: str = option("avatars", "model whose autoencoder and text encoder are used")
    data: str = option("avatars", "avatars, or a folder, .zip or .tar shards of captioned images")
    size: int | None = option(None, "side of the square images in pixels; unset: the model's own")
    on_bad: Literal["skip", "fail"] = option(
        "skip", "what to do with a bad image or caption: skip and count it, or fail"
    )
    where: tuple[str, ...] = option(
        (), "take only images whose metadata meet these conditions, such as 'aesthetic>=6.5'"
    )
    store: Literal["fp32", "bf16"] = option(
        "fp32", "number format on disk; bf16 takes half the space"
    )
    batch: int = option(16, "images encoded at a time")
    part: int = option(1024, "images in each file of the cache")
    device: str = option("auto", "cpu, cuda, cuda:N, mps, or auto: cuda if there is one")

    def __post_init__(self) -> None:
        """Refuse what no run could use."""
        at_least(self, 1, "batch", "part")
        positive(self, "size")
