"""A UNet alone in one file, in its authors' names: DDPM's .ckpt, improved DDPM's and ADM's .pt.

Names     those of our networks
Average   of the weights, where the file has it (DDIM's and SDEdit's trainers save it last in a
          list): it is what such models are sampled from, and taken unless `ema` is off
Shape     `models/formats/ldm/presets.py`; a .safetensors written here has the configuration in its
          metadata, a pickle has the state dict alone, as the authors' own programs want it
"""

import json
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from latentgeo.core.run.files import atomic_write
from latentgeo.models.bundles.image_config import ImageModelConfig, plain_config
from latentgeo.models.bundles.image_model import ImageModel, empty_image_model
from latentgeo.models.formats.files.families import looks_like
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.pickle import AVERAGE
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.files.source import Source, shapes
from latentgeo.models.formats.files.strict import Layout, fill, own_layout, problems
from latentgeo.models.formats.files.views import Averaged
from latentgeo.models.formats.ldm.file import CONFIG
from latentgeo.models.formats.ldm.presets import config_of

NETWORKS: dict[str, Literal["ddpm", "adm"]] = {  # family -> network, and layout
    "ddpm-original": "ddpm",
    "adm": "adm",
}


def read_unet_file(
    path: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
    config: ImageModelConfig | None = None,
    ema: bool = True,
) -> ImageModel:
    """Return the model in a file, frozen; `dtype` None keeps each tensor's own.

    Raises ValueError that lists what does not fit, or says what else the file looks like.
    """
    opened = open_source(path)
    family = looks_like(shapes(opened))
    if family.name not in NETWORKS:
        raise ValueError(f"{path} looks like {family.title}, wanted a UNet of DDPM or ADM alone")
    source = averaged(opened, ema)
    known = config_of(
        source,
        NETWORKS[family.name],
        lambda config: problems(source, unet_layout(config)),
        config,
    )
    model = empty_image_model(known)
    fill(model.unet, source, unet_layout(known), device, dtype)
    return model.eval()


def write_unet_file(model: ImageModel, path: Path, dtype: torch.dtype | None = None) -> Path:
    """Write a model's UNet as .safetensors, or pickled if the path ends in .pt or .ckpt.

    Raises ValueError for a model with an autoencoder, or of another network.
    """
    if model.autoencoder is not None or model.config.network not in NETWORKS.values():
        raise ValueError(f"{model.config.name} is not a UNet of DDPM or ADM alone")
    state = model.unet.state_dict()
    state = {key: value.to(dtype or value.dtype).contiguous() for key, value in state.items()}
    if path.suffix != ".safetensors":
        return atomic_write(path, lambda file: torch.save(state, file))
    config = json.dumps(plain_config(model.config))
    return write_safetensors(path, state, {"format": "pt", CONFIG: config})


def averaged(source: Source, ema: bool = True) -> Averaged:
    """Return a file with its average, if it has one, as its weights."""
    return Averaged(source, lambda name: AVERAGE + name, ema)


@cache
def unet_layout(config: ImageModelConfig) -> Layout:
    """Return how a file has the tensors of a configuration's UNet."""
    state = empty_image_model(config).unet.state_dict()
    return own_layout(state)
