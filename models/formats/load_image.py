"""A model of images without text from whatever holds it: our folder, diffusers', or one file."""

import json
from pathlib import Path
from typing import Literal

import torch

from latentgeo.core.run.text import read_text
from latentgeo.models.bundles.image_model import CONFIG, ImageModel, load_own_folder
from latentgeo.models.bundles.text_to_image import WITH_TEXT
from latentgeo.models.formats.diffusers.image import is_image_folder, read_image_folder
from latentgeo.models.formats.files.families import looks_like
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.source import shapes
from latentgeo.models.formats.ldm.image_file import FAMILIES, read_ldm_image
from latentgeo.models.formats.ldm.presets import named_config
from latentgeo.models.formats.load import find_lora, find_model
from latentgeo.models.formats.unet_file import NETWORKS, read_unet_file
from latentgeo.models.lora.adapter import DEFAULT, fuse, load_lora, set_scale

ImageLayout = Literal["latentgeo", "diffusers", "ddpm", "adm", "ldm"]


def load_image_model(
    source: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
    config: str | Path | None = None,
    ema: bool = True,
    lora: str | Path | None = None,
    lora_scale: float = 1.0,
) -> ImageModel:
    """Return a model, frozen; `dtype` None keeps that of each weight.

    `source` is an embedded name, a folder or a file; `config` a preset's name or a JSON file, where
    a single file does not tell what it is; `ema` takes the running average of the weights where a
    file has both. `lora` is a file of `save_lora`, or the name of one beside the model; it becomes
    part of the weights, times `lora_scale`. Raises FileNotFoundError that names what is missing,
    ValueError where something does not fit.
    """
    place = find_model(source)
    path = None if lora is None else find_lora(lora, place)
    layout = image_layout(place)
    if layout is None:
        if place.is_file():
            title = looks_like(shapes(open_source(place))).title
            raise ValueError(f"{source} looks like {title}, wanted a model without text")
        raise ValueError(f"{source}: {WITH_TEXT}")
    model = _read(place, layout, device, dtype, config, ema)
    if path is not None:
        fuse_lora(model, path, lora_scale)
    return model


def fuse_lora(model: ImageModel, path: Path, scale: float = 1.0) -> None:
    """Make a file of `save_lora` part of the UNet's weights, times a scale."""
    load_lora(model.unet, path)
    set_scale(model.unet, DEFAULT, scale)
    fuse(model.unet)


def _read(
    place: Path,
    layout: str,
    device: torch.device | str,
    dtype: torch.dtype | None,
    config: str | Path | None,
    ema: bool,
) -> ImageModel:
    if layout in ("latentgeo", "diffusers"):
        if config is not None:
            raise ValueError(f"model_config: {place} has its own, leave it out")
        read_folder = load_own_folder if layout == "latentgeo" else read_image_folder
        return read_folder(place, device, dtype)
    given = None if config is None else named_config(config)
    read_file = read_ldm_image if layout == "ldm" else read_unet_file
    return read_file(place, device, dtype, given, ema)


def image_layout(source: str | Path) -> ImageLayout | None:
    """Return the layout of a model of images without text, None of anything else.

    `source` is an embedded name, a folder or a file. Raises FileNotFoundError if there is nothing,
    ValueError for a file of no weights.
    """
    place = find_model(source)
    if place.is_file():
        return _file_layout(place)
    if is_image_folder(place):
        return "diffusers"
    return "latentgeo" if _own(place / CONFIG) else None


def _file_layout(path: Path) -> ImageLayout | None:
    family = looks_like(shapes(open_source(path))).name
    if family in FAMILIES:
        return "ldm"
    return NETWORKS.get(family)


def _own(path: Path) -> bool:
    """Whether a configuration is of an image model of ours, and not of a text-to-image model."""
    if not path.is_file():
        return False
    try:
        found = json.loads(read_text(path))
    except ValueError:
        return False
    return isinstance(found, dict) and "network" in found
