"""What benchmarks run beside: the networks of diffusers and transformers, on our own weights.

They are the package's extra `parity`. A peer's weights are ours, not a copy: a full-size model and
its peer fit into the memory of one.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from latentgeo.models.bundles.image_config import ImageDefaults
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.bundles.text_to_image import TextToImage, Undrawn
from latentgeo.models.clip import TextEncoder
from latentgeo.models.ddpm_unet import DDPMConfig
from latentgeo.models.formats.diffusers import config as configs
from latentgeo.models.formats.diffusers.image import write_image_folder
from latentgeo.models.formats.diffusers.tokenizer import write_tokenizer
from latentgeo.models.unet import UNet
from latentgeo.models.vae import VAE


def diffusers_unet(unet: UNet) -> Any:
    """Return diffusers' UNet of the same shape with the same weights."""
    table = configs.write_unet(unet.config, size=64)  # a default that its forward does not read
    with Undrawn():
        peer = diffusers().UNet2DConditionModel.from_config(table)
    return _sharing(peer, unet.state_dict())


def diffusers_vae(vae: VAE) -> Any:
    """Return diffusers' autoencoder of the same shape with the same weights."""
    table = configs.write_vae(vae.config, size=512)
    with Undrawn():
        peer = diffusers().AutoencoderKL.from_config(table)
    return _sharing(peer, vae.state_dict())


def diffusers_image_unet(model: ImageModel) -> Any:
    """Return diffusers' UNet of a DDPM with the same weights; of patches it takes the cells.

    Raises ValueError for another network.
    """
    unet, config = model.unet, model.config.unet
    if not isinstance(config, DDPMConfig):
        raise ValueError(f"{model.config.name}: the network is {model.config.network}, not ddpm")
    cell, side = config.patch**2, model.shape[-1] // config.patch
    inputs, outputs = cell * config.in_channels, cell * config.out_channels
    shape = replace(config, patch=1, in_channels=inputs, out_channels=outputs)
    same = ImageModel(replace(model.config, unet=shape, sampling=ImageDefaults(size=side)), unet)
    with TemporaryDirectory() as folder:
        write_image_folder(same, Path(folder))
        return diffusers().UNet2DModel.from_pretrained(Path(folder) / "unet")


def transformers_text(text: TextEncoder) -> Any:
    """Return transformers' text encoder of the same shape with the same weights."""
    table = configs.write_text(text.config)
    with Undrawn():
        peer = transformers().CLIPTextModel(transformers().CLIPTextConfig(**table))
    state = text.state_dict()
    prefix = (
        "text_model." if any(key.startswith("text_model.") for key in peer.state_dict()) else ""
    )
    return _sharing(peer, {prefix + key: value for key, value in state.items()})


def diffusers_pipeline(bundle: TextToImage) -> Any:
    """Return diffusers' pipeline on a model's weights, with DDIM at the same times, silent."""
    with TemporaryDirectory() as folder:
        write_tokenizer(bundle.tokenizer, Path(folder))
        tokenizer = transformers().CLIPTokenizer.from_pretrained(folder)
    scheduler = diffusers().DDIMScheduler.from_config(configs.write_scheduler(bundle.config))
    pipe = diffusers().StableDiffusionPipeline(
        unet=diffusers_unet(bundle.unet),
        vae=diffusers_vae(bundle.vae),
        text_encoder=transformers_text(bundle.text),
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def loaded_pipeline(folder: str, dtype: torch.dtype) -> Any:
    """Return diffusers' pipeline as it loads a folder on its own, without a network."""
    how = {"torch_dtype": dtype, "local_files_only": True, "safety_checker": None}
    return diffusers().StableDiffusionPipeline.from_pretrained(folder, **how)


def diffusers() -> Any:
    """Return the package diffusers; RuntimeError says how to get it."""
    try:
        import diffusers
    except ImportError:
        raise _missing("diffusers") from None
    return diffusers


def transformers() -> Any:
    """Return the package transformers; RuntimeError says how to get it."""
    try:
        import transformers
    except ImportError:
        raise _missing("transformers") from None
    return transformers


def _missing(name: str) -> RuntimeError:
    return RuntimeError(f"benchmarks need the package {name}: pip install 'latentgeo[parity]'")


def _sharing(peer: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Give a network the tensors themselves, and freeze it."""
    peer.load_state_dict(dict(state), assign=True)
    return peer.eval().requires_grad_(False)
