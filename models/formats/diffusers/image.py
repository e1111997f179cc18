"""A model of images as a folder of diffusers: DDPM, or latent diffusion with its autoencoder.

Layouts   model_index.json with unet/, scheduler/ and vqvae/; the same without folders of their own,
          as DDPM's published models are; the UNet's folder alone, which has DDPM's schedule then
Names     latent diffusion's are our own; DDPM's are in `ddpm_names.py`; attentions had other names
          up to diffusers 0.17
Weights   as in `folder.py`
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentgeo.models.bundles.image_config import ImageDefaults, ImageModelConfig
from latentgeo.models.bundles.image_model import ImageModel, empty_image_model
from latentgeo.models.ddpm_unet import DDPMConfig
from latentgeo.models.formats.diffusers import config as diffusers_config
from latentgeo.models.formats.diffusers import image_config as diffusers_image_config
from latentgeo.models.formats.diffusers.ddpm_names import diffusers_layout
from latentgeo.models.formats.diffusers.folder import (
    INDEX,
    find_weights,
    old_name,
)
from latentgeo.models.formats.files.families import looks_like
from latentgeo.models.formats.files.json_object import read_json, write_json
from latentgeo.models.formats.files.json_settings import Reader
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.files.source import Source, shapes
from latentgeo.models.formats.files.strict import Layout, Stored, fill, own_layout, problems, refuse
from latentgeo.models.unet import UNetConfig
from latentgeo.models.vae import VAEConfig
from latentgeo.models.vqvae import VQConfig

CONFIG, STEM = "config.json", "diffusion_pytorch_model"
SCHEDULER = "scheduler_config.json"
UNET = "UNet2DModel"
FOLDERS = {"unet": "unet", "autoencoder": "vqvae"}
FAMILIES = {"unet": "ddpm-diffusers", "autoencoder": "vq-diffusers"}


def is_image_folder(folder: Path) -> bool:
    """Whether a folder is of diffusers, and of a model of images without text."""
    if (folder / INDEX).is_file():
        found = read_json(folder / INDEX).get("unet")
        return isinstance(found, list) and found[-1:] == [UNET]
    path = folder / CONFIG
    return path.is_file() and read_json(path).get("_class_name") == UNET


def read_image_folder(
    folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> ImageModel:
    """Return the model in a folder, frozen; `dtype` None keeps that of the files.

    Raises FileNotFoundError that names what is missing, ValueError that lists what does not fit.
    """
    model = empty_image_model(read_image_config(folder))
    for part, module in model.modules.items():
        source = open_source(find_weights(part_folder(folder, part), STEM, STEM))
        layout = _layout(model.config, part, module.state_dict(), source)
        said, family = problems(source, layout), looks_like(shapes(source))
        other = said and family.name not in (FAMILIES[part], "unknown")
        refuse(source.path, said, f"it looks like {family.title}; " if other else "")
        fill(module, source, layout, device, dtype)
    return model.eval()


def write_image_folder(model: ImageModel, folder: Path, dtype: torch.dtype | None = None) -> Path:
    """Write a model as a folder, each file atomically, and return the folder.

    Raises ValueError for ADM's networks, which diffusers has with other tensors.
    """
    config = model.config
    tables: dict[str, Any] = {"unet": write_unet_config(config)}
    if config.autoencoder is not None:
        tables["autoencoder"] = _write_autoencoder(config.autoencoder, config.sampling.size)
    for part, module in model.modules.items():
        inside, state = folder / FOLDERS[part], module.state_dict()
        stored = {
            at.name: state[key].reshape(at.shape).to(dtype or state[key].dtype)
            for key, at in _names(config, part, state).items()
        }
        write_safetensors(inside / f"{STEM}.safetensors", stored, {"format": "pt"})
        write_json(inside / CONFIG, tables[part])
    write_json(folder / "scheduler" / SCHEDULER, diffusers_image_config.write_scheduler(config))
    write_json(folder / INDEX, _index(config, tables))
    return folder


def read_image_config(folder: Path) -> ImageModelConfig:
    """Return the configuration of the model in a folder.

    Raises FileNotFoundError, or ValueError for a setting that ours does not have.
    """
    inside = part_folder(folder, "unet")
    unet, side = diffusers_image_config.read_unet(read_json(inside / CONFIG), str(inside / CONFIG))
    autoencoder = read_autoencoder_config(folder) if (folder / INDEX).is_file() else None
    size = side * (autoencoder.factor if autoencoder else 1)
    places = [folder / "scheduler" / SCHEDULER, folder / SCHEDULER]
    scheduler = next((place for place in places if place.is_file()), None)
    if scheduler is None and (folder / INDEX).is_file():
        raise FileNotFoundError(f"{places[0]} does not exist; a diffusers folder has it")
    how: dict[str, Any] = {"sampling": ImageDefaults(size=size)}
    if scheduler is not None:
        data = read_json(scheduler)
        how = diffusers_image_config.read_scheduler(data, str(scheduler), size)
        if autoencoder and how["sampling"].clip:
            raise ValueError(f"{scheduler}: clip_sample is on, wanted it off for latents")
    name = folder.resolve().name
    try:
        return ImageModelConfig(name=name, unet=unet, autoencoder=autoencoder, **how)
    except ValueError as error:  # each file is right, and they do not go together
        raise ValueError(f"{inside / CONFIG} and {scheduler or folder}: {error}") from None


def read_autoencoder_config(folder: Path) -> VAEConfig | None:
    """Return the autoencoder's configuration, None where the index has none."""
    if Reader(str(folder / INDEX), read_json(folder / INDEX)).part("vqvae") is None:
        return None
    path = folder / FOLDERS["autoencoder"] / CONFIG
    data = read_json(path)
    if data.get("_class_name") == "AutoencoderKL":
        return diffusers_config.read_vae(data, str(path))
    return diffusers_image_config.read_vq(data, str(path))


def part_folder(folder: Path, part: str) -> Path:
    """Return where a part's files are: in a folder of its own, or, of a UNet, beside all else."""
    inside = folder / FOLDERS[part]
    return folder if part == "unet" and not inside.is_dir() else inside


def write_unet_config(config: ImageModelConfig) -> dict[str, Any]:
    """Return the UNet's JSON; ValueError for a network that diffusers has with other tensors."""
    if not isinstance(config.unet, DDPMConfig | UNetConfig):
        raise ValueError(
            f"{config.name}: a folder of diffusers has q, k and v of ADM apart, and no order of "
            "its heads; wanted the layout adm or latentgeo"
        )
    return diffusers_image_config.write_unet(config.unet, config.shape[-1])


def _write_autoencoder(config: VAEConfig, size: int) -> dict[str, Any]:
    if isinstance(config, VQConfig):
        return diffusers_image_config.write_vq(config, size)
    return diffusers_config.write_vae(config, size)


def _layout(
    config: ImageModelConfig, part: str, state: Mapping[str, Tensor], source: Source
) -> Layout:
    """Return how a file has a part's tensors: by the names in use when it was written."""
    layout = _names(config, part, state)
    if not any(".query." in name for name in source.entries):
        return layout
    return {key: Stored(old_name(at.name), at.shape) for key, at in layout.items()}


def _names(config: ImageModelConfig, part: str, state: Mapping[str, Tensor]) -> Layout:
    """Return how diffusers has a part's tensors today."""
    if part == "unet" and isinstance(config.unet, DDPMConfig):
        return diffusers_layout(config.unet, state)
    return own_layout(state)


def _index(config: ImageModelConfig, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    parts = {FOLDERS[part]: ["diffusers", table["_class_name"]] for part, table in tables.items()}
    return {
        "_class_name": "DDPMPipeline" if config.autoencoder is None else "LDMPipeline",
        **parts,
        "scheduler": ["diffusers", diffusers_image_config.scheduler_class(config)],
    }
