"""A text-to-image latent diffusion model as one object: its networks, tokenizer and schedule.

A bundle on disk is a folder of `config.json` and `unet.safetensors`, `vae.safetensors`,
`text.safetensors`. "avatars" names the embedded one.

Time       `raw` and `predict` are called with the paper's t = 1 … T and call the UNet at τ = t - 1:
           here, and in `image_model.py` and `delta_h.py` for models without text, the two meet
Notation   z (B, 4, h, w) scaled latents; x (B, 3, H, W) images in [-1, 1]; ε predicted noise.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from latentgeo.core import schedule as schedules
from latentgeo.core.parameterization import Kind, Predict, check_kind, to_eps
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.text import read_text
from latentgeo.models.bundles.networks import Networks
from latentgeo.models.bundles.presets import merges
from latentgeo.models.clip import TextConfig, TextEncoder
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.runs import instead_of_model
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.files.strict import fill, own_layout, problems, refuse
from latentgeo.models.lora import adapter as loras
from latentgeo.models.tokenizer import Tokenizer
from latentgeo.models.unet import UNet, UNetConfig
from latentgeo.models.vae import VAE, VAEConfig
from latentgeo.models.zoo.places import ZOO

PARTS = ("unet", "vae", "text")
WITHOUT_TEXT = (
    "a model without text, wanted one with text; sample, directions, inject-content and "
    "edit-semantic take this one"
)
WITH_TEXT = (
    "a model with text, wanted one without; sample, interpolate, edit-text, drag and invert take "
    "this one"
)
TOKENS = "embeddings.token_embedding.weight"  # of the text encoder


@dataclass(frozen=True, kw_only=True)
class SamplingDefaults:
    """How a model is sampled where the user does not say. The defaults are Smooth Diffusion's.

    Smooth Sec. 4.1b   50 steps, w = 7.5
    """

    size: int = 512  # image side in pixels
    steps: int = 50  # network evaluations
    guidance: float = 7.5  # classifier-free guidance scale w; 1 is none
    spacing: schedules.Spacing = "leading"  # of the sampling times
    offset: int = 1  # of leading spacing
    final: schedules.Landing = "first"  # the last step lands on ᾱ_1 ("first") or ᾱ_0 = 1 ("zero")


@dataclass(frozen=True, kw_only=True)
class BundleConfig:
    """Everything but the weights."""

    name: str = "stable-diffusion-1.5"
    unet: UNetConfig = UNetConfig()
    vae: VAEConfig = VAEConfig()
    text: TextConfig = TextConfig()
    schedule: str = "scaled_linear"  # a name in core.schedule.SCHEDULES, with its defaults
    prediction: Kind = "eps"  # what the UNet returns: eps, x_0 or v
    sampling: SamplingDefaults = SamplingDefaults()


class TextToImage(Networks):
    """The model, on one device in one dtype.

    `lora` says which adapters are attached, if any, joined by +, and `learned` which tokens
    `learned_tokens` gave it beside its vocabulary, with how many vectors each.
    """

    def __init__(self, config: BundleConfig, unet: UNet, vae: VAE, text: TextEncoder) -> None:
        if config.schedule not in schedules.SCHEDULES:
            raise ValueError(
                f"schedule must be one of {sorted(schedules.SCHEDULES)}, got {config.schedule!r}"
            )
        check_kind(config.prediction)
        self.config, self.unet, self.vae, self.text = config, unet, vae, text
        self.schedule = schedules.SCHEDULES[config.schedule]()
        self.lora: str | None = None
        self.learned: dict[str, int] = {}

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that fits the text encoder's vocabulary and length."""
        text = self.config.text
        return Tokenizer(context=text.context, merges=merges(text), learned=self.learned)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The three networks by name."""
        return {"unet": self.unet, "vae": self.vae, "text": self.text}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.unet.conv_in.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' dtype."""
        return self.unet.conv_in.weight.dtype

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, h, w) of the latent of an image of the default size."""
        side = self.config.sampling.size // self.config.vae.factor
        return (self.config.vae.latent_channels, side, side)

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """Return the context (B, L, C) of the prompts."""
        return self.text(self.tokenizer(list(prompts)).to(self.device))

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return z_0 (B, 4, h, w) of images x in [-1, 1]: the mean, or a seeded sample."""
        return self.vae.encode(x.to(self.device, self.dtype), generator)

    def decode(self, z: Tensor) -> Tensor:
        """Return images (B, 3, H, W) in [-1, 1] of latents z, clamped."""
        return self.vae.decode(z.to(self.device, self.dtype)).clamp(-1, 1)

    def raw(self, context: Tensor) -> Predict:
        """Return the UNet under a context (B, L, K): of x_t (B, C, h, w) and the paper's t (B,).

        It returns `config.prediction` (B, C, h, w).
        """
        return lambda x_t, t: self.unet(x_t, t - 1, context)

    def predict(self, context: Tensor) -> Predict:
        """Return ε_θ under a context (B, L, K): of x_t (B, C, h, w) and the paper's t (B,).

        It returns ε (B, C, h, w), whatever the UNet itself does.
        """
        return to_eps(self.raw(context), self.schedule, self.config.prediction)


def new_bundle(config: BundleConfig) -> TextToImage:
    """Return a model of this shape with fresh weights from torch's global generator."""
    return TextToImage(config, UNet(config.unet), VAE(config.vae), TextEncoder(config.text))


def load_bundle(
    source: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> TextToImage:
    """Return the model in a folder, or the embedded one of that name, frozen.

    `dtype` None keeps that of the files. Raises FileNotFoundError naming the file that is missing,
    ValueError where a file does not fit.
    """
    folder = find(source)
    bundle = empty_bundle(read_config(folder / "config.json"))
    for name, module in bundle.modules.items():
        load_weights(module, _existing(folder / f"{name}.safetensors"), device, dtype)
    return bundle.eval()


def empty_bundle(config: BundleConfig) -> TextToImage:
    """Return a model of this shape without weights, on the meta device, for an importer to fill."""
    with torch.device("meta"), Undrawn():
        networks = UNet(config.unet), VAE(config.vae), TextEncoder(config.text)
    return TextToImage(config, *networks)


class Undrawn(TorchFunctionMode):
    """Leaves out the drawing of first weights, which on the meta device draws nothing slowly."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run a function, unless it is one of `torch.nn.init`."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def save_bundle(
    bundle: TextToImage, folder: Path, dtype: torch.dtype | None = torch.float32
) -> None:
    """Write config.json and the three weight files, each atomically, without adapters.

    `dtype` None keeps that of the weights.
    """
    for name in PARTS:
        write_safetensors(folder / f"{name}.safetensors", plain_state(bundle, name, dtype))
    atomic_write(folder / "config.json", json.dumps(plain_config(bundle.config), indent=2) + "\n")


def plain_state(
    bundle: TextToImage, name: str, dtype: torch.dtype | None = None
) -> dict[str, Tensor]:
    """Return a network's weights without adapters and learned tokens, which have their own files.

    `dtype` None keeps that of each.
    """
    kept = loras.base_state(bundle.modules[name])
    if name == "text" and bundle.learned:
        known = bundle.config.text.vocabulary
        kept[TOKENS] = kept[TOKENS][:known]
    return {key: value.to(dtype or value.dtype) for key, value in kept.items()}


def find(source: str | Path) -> Path:
    """Return the folder of a bundle: an embedded name or a path."""
    embedded = ZOO / str(source)
    folder = embedded if (embedded / "config.json").is_file() else Path(source)
    _existing(folder / "config.json" if folder.exists() else folder)
    return folder


def load_weights(
    module: nn.Module,
    path: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> None:
    """Load a safetensors file into a module (also one on the meta device), strictly.

    Raises ValueError that lists missing and unexpected tensors, and shapes that differ.
    """
    source, layout = open_source(path), own_layout(module.state_dict())
    refuse(path, problems(source, layout))
    fill(module, source, layout, device, dtype)


def read_config(path: Path) -> BundleConfig:
    """Return the configuration in a JSON file; an unknown key is a ValueError that names it."""
    return config_from(json.loads(read_text(_existing(path))), str(path))


def plain_config(config: BundleConfig) -> dict[str, Any]:
    """Return a configuration as tables of plain values, for JSON."""
    return asdict(config)


def config_from(data: Mapping[str, Any], where: str) -> BundleConfig:
    """Return the configuration that `plain_config` made plain; ValueError names an unknown key."""
    if "network" in data:  # models/bundles/image_config.py
        raise ValueError(f"{where}: {WITHOUT_TEXT}")
    parts = {
        "unet": UNetConfig,
        "vae": VAEConfig,
        "text": TextConfig,
        "sampling": SamplingDefaults,
    }
    made = {
        name: from_plain(cls, data[name], f"{where}: {name}")
        for name, cls in parts.items()
        if name in data
    }
    return from_plain(BundleConfig, {**data, **made}, where)


def from_plain(cls: type[Any], data: Mapping[str, Any], where: str) -> Any:
    """Return the dataclass with these values, lists as tuples; ValueError names an unknown key."""
    known = {field.name for field in fields(cls)}
    if unknown := sorted(set(data) - known):
        raise ValueError(
            f"{where}: unknown key {unknown[0]!r}, wanted some of {', '.join(sorted(known))}"
        )
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})


def embedded() -> list[str]:
    """Return the names of the models that are inside the package."""
    return sorted(path.parent.name for path in ZOO.glob("*/config.json"))


def _existing(path: Path) -> Path:
    if not path.is_file():
        instead = instead_of_model(path.parent)
        raise FileNotFoundError(
            f"{path} does not exist{instead}; wanted a model: an embedded one "
            f"({', '.join(embedded())}), a folder with config.json and "
            f"{', '.join(f'{name}.safetensors' for name in PARTS)}, a folder of diffusers, or "
            "Stable Diffusion 1.x in one file"
        )
    return path
