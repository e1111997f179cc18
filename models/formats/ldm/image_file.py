"""Latent diffusion without text in one file, in its authors' names: .ckpt, .safetensors.

The UNet lies under `model.diffusion_model.`, the autoencoder under `first_stage_model.`, or alone
in a file of its own. Attentions of the UNet have q, k and v in one `qkv`, head by head.
Average   `model_ema.`, of the UNet alone, its names without their dots: what the authors sample
          from, and taken unless `ema` is off
Schedule  `betas` has it and must be the configuration's; `scale_factor` is the latents' scale
Left out  what only training needs, and what follows from β
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.run.files import atomic_write
from latentgeo.models.bundles.image_config import ImageModelConfig, plain_config
from latentgeo.models.bundles.image_model import (
    Autoencoder,
    ImageModel,
    empty_image_model,
    new_autoencoder,
)
from latentgeo.models.formats.files.families import UNET, VAE, looks_like
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.files.source import Source, shapes
from latentgeo.models.formats.files.strict import Layout, Stored, fill, problems, refuse
from latentgeo.models.formats.files.views import Averaged, Unpacked
from latentgeo.models.formats.ldm.file import CONFIG, autoencoder_layout, average_name, ignored
from latentgeo.models.formats.ldm.names import Names, renamed, unet_names
from latentgeo.models.formats.ldm.presets import config_of
from latentgeo.models.unet import UNetConfig
from latentgeo.models.vae import VAEConfig

FAMILIES = ("ldm-vq", "ldm-kl")
FIRST_STAGES = ("vq", "vae-ldm")
SCALE, BETAS = "scale_factor", "betas"
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def read_ldm_image(
    path: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
    config: ImageModelConfig | None = None,
    ema: bool = True,
) -> ImageModel:
    """Return the model in a single file, frozen; `dtype` None keeps that of the file.

    Raises ValueError that lists what does not fit, or says what else the file looks like.
    """
    opened = open_source(path)
    family = looks_like(shapes(opened))
    if family.name not in FAMILIES:
        raise ValueError(f"{path} looks like {family.title}, wanted latent diffusion without text")
    plain = Averaged(opened, average_name, ema)

    def misfits(config: ImageModelConfig) -> list[str]:
        everything = {f"{part} {key}": at for part, key, at in _flat(layouts(config))}
        return problems(view(plain, config), everything, passed)

    known = with_scale(config_of(plain, "ldm", misfits, config), plain)
    check_schedule(known, plain)
    model, source = empty_image_model(known), view(plain, known)
    for part, layout in layouts(known).items():
        fill(model.modules[part], source, layout, device, dtype)
    return model.eval()


def write_ldm_image(model: ImageModel, path: Path, dtype: torch.dtype | None = None) -> Path:
    """Write a model as .safetensors, or as .ckpt if the path ends so, and return the path.

    Raises ValueError for a model without an autoencoder, or of another network.
    """
    unet = model.config.unet
    if model.autoencoder is None or not isinstance(unet, UNetConfig):
        raise ValueError(f"{model.config.name} is not latent diffusion, with an autoencoder")
    tensors: dict[str, Tensor] = {}
    for part, layout in layouts(model.config).items():
        state = model.modules[part].state_dict()
        stored = {at.name: state[key].reshape(at.shape) for key, at in layout.items()}
        tensors |= packed(stored, unet) if part == "unet" else stored
    tensors = {name: tensor.to(dtype or tensor.dtype) for name, tensor in tensors.items()}
    config = json.dumps(plain_config(model.config))
    if path.suffix == ".safetensors":
        return write_safetensors(path, tensors, {"format": "pt", CONFIG: config})
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return atomic_write(
        path, lambda file: torch.save({"state_dict": tensors, CONFIG: config}, file)
    )


def read_first_stage(
    path: Path,
    config: VAEConfig,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> Autoencoder:
    """Return the autoencoder in a file of its own, frozen; what its training needs is left out.

    Raises ValueError that lists what does not fit, or says what else the file looks like.
    """
    source = open_source(path)
    family = looks_like(shapes(source))
    if family.name not in FIRST_STAGES:
        raise ValueError(f"{path} looks like {family.title}, wanted an autoencoder with LDM names")
    with torch.device("meta"):
        model = new_autoencoder(config)
    layout = autoencoder_layout(config, model.state_dict(), "")
    refuse(path, problems(source, layout, lambda name: name.startswith("loss.")))
    fill(model, source, layout, device, dtype)
    return model.eval().requires_grad_(False)


def layouts(config: ImageModelConfig) -> dict[str, Layout]:
    """Return how a file has the tensors of each network, q, k and v apart."""
    model = empty_image_model(config)
    assert isinstance(config.unet, UNetConfig)
    state = model.unet.state_dict()
    names = renamed(image_unet_names(config.unet), state)
    found: dict[str, Layout] = {
        "unet": {key: Stored(UNET + names[key], _shape(key, state[key])) for key in state}
    }
    if model.autoencoder is not None and config.autoencoder is not None:
        state = model.autoencoder.state_dict()
        found["autoencoder"] = autoencoder_layout(config.autoencoder, state, VAE)
    return found


def image_unet_names(config: UNetConfig) -> Names:
    """Return the names of the UNet's modules, of its attentions' parts too."""
    names = unet_names(config)
    blocks = {ours: theirs for ours, theirs in names.items() if ".attentions." in ours}
    return names | {
        f"{ours}.{part}": f"{theirs}.{name}"
        for ours, theirs in blocks.items()
        for part, name in ATTENTION.items()
    }


def packed(tensors: Mapping[str, Tensor], config: UNetConfig) -> dict[str, Tensor]:
    """Return a UNet's tensors with q, k and v of every attention in one, head by head."""
    found = dict(tensors)
    for name in tensors:
        head, queries, kind = name.rpartition(".q.")
        if queries:
            parts = torch.stack([found.pop(f"{head}.{letter}.{kind}") for letter in "qkv"])
            split = parts.unflatten(1, (config.heads_of(parts.shape[1]), -1))  # (3, heads, d, ...)
            found[f"{head}.qkv.{kind}"] = split.transpose(0, 1).flatten(0, 2)
    return found


def view(source: Source, config: ImageModelConfig) -> Unpacked:
    """Return a file with q, k and v of the UNet's attentions apart."""
    unet = config.unet
    assert isinstance(unet, UNetConfig)
    return Unpacked(source, unet.heads_of)


def passed(name: str) -> bool:
    """Whether a file may have this tensor, which is no weight."""
    return ignored(name) or name == SCALE


def with_scale(config: ImageModelConfig, source: Source) -> ImageModelConfig:
    """Return the configuration with the latents' scale of the file, if it has one."""
    if SCALE not in source.entries or config.autoencoder is None:
        return config
    scale = float(source.read(SCALE))
    return replace(config, autoencoder=replace(config.autoencoder, scale=scale))


def check_schedule(config: ImageModelConfig, source: Source) -> None:
    """Raise ValueError if the file's β are not those of the configuration."""
    if BETAS not in source.entries:
        return
    found, wanted = source.read(BETAS).double(), config.schedule.build().beta[1:]
    if found.shape != wanted.shape or not torch.allclose(found, wanted, rtol=1e-3):
        raise ValueError(
            f"{source.path}: betas are {len(found)} from {found[0]:.6g} to {found[-1]:.6g}, "
            f"wanted {len(wanted)} from {wanted[0]:.6g} to {wanted[-1]:.6g}"
        )


def _flat(found: Mapping[str, Layout]) -> list[tuple[str, str, Stored]]:
    return [(part, key, at) for part, layout in found.items() for key, at in layout.items()]


def _shape(key: str, value: Tensor) -> tuple[int, ...]:
    """Return a tensor's shape in the file: projections of attentions have a third dimension, 1."""
    shape = tuple(value.shape)
    return (*shape, 1) if ".attentions." in key and len(shape) == 2 else shape
