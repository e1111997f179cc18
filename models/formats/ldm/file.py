"""Stable Diffusion 1.x in one file, with the names of Latent Diffusion's code: .safetensors, .ckpt.

The three networks lie side by side under `model.diffusion_model.`, `first_stage_model.` and
`cond_stage_model.transformer.`. The projections of the autoencoder's attention are 1 × 1
convolutions there, (C, C, 1, 1), and linear layers, (C, C), here.
Shape    such a file says nothing of heads or groups. It is taken for Stable Diffusion 1.5, unless
         it was written here: then its metadata hold the configuration. Whether it predicts ε or v
         is told by a marker or a .yaml (`prediction.py`)
Left out the running average `model_ema.`, the noise schedule, which is the same in all of 1.x, and
         what only training needs
"""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.run.files import atomic_write
from latentgeo.models.bundles.text_to_image import (
    BundleConfig,
    TextToImage,
    config_from,
    empty_bundle,
    plain_config,
    plain_state,
)
from latentgeo.models.formats.files.families import TEXT, UNET, VAE, looks_like
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.pickle import AVERAGE
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.files.source import Source, shapes
from latentgeo.models.formats.files.strict import Layout, Stored, fill, own_layout, problems, refuse
from latentgeo.models.formats.files.views import Renamed
from latentgeo.models.formats.ldm.names import TEXT_MODEL, renamed, unet_names, vae_names
from latentgeo.models.formats.ldm.prediction import prediction_of
from latentgeo.models.vae import VAEConfig

CONFIG = "latentgeo"  # key of our configuration in the file's metadata
FAMILY = "sd1-file"
ASSUMED = "it says nothing of its heads and groups, and was held against Stable Diffusion 1.5; "
CONVOLUTION = re.compile(r".*\.attentions\.0\.to_(q|k|v|out\.0)\.weight")  # in the autoencoder
IGNORED = re.compile(
    r"model_ema\..*"
    r"|first_stage_model\.loss\..*"
    r"|cond_stage_model\.transformer\.(text_model\.)?embeddings\.position_ids"
    r"|cond_stage_model\.(.+\.)?(logit_scale|text_projection(\.weight)?)"
    r"|(log_one_minus_|sqrt_|sqrt_recip_|sqrt_recipm1_|sqrt_one_minus_)?alphas_cumprod(_prev)?"
    r"|v_pred|betas|posterior_\w+|lvlb_weights|logvar"
)


def read_ldm(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> TextToImage:
    """Return the model in a single file, frozen; `dtype` None keeps that of the file.

    Raises ValueError that lists what does not fit, or says what else the file looks like.
    """
    source = open_source(path)
    family = looks_like(shapes(source))
    if family.name != FAMILY:
        raise ValueError(
            f"{path} looks like {family.title}, wanted Stable Diffusion 1.x in one file"
        )
    bundle = empty_bundle(config_of(source))
    found = layouts(bundle, text_prefix(source))
    source = with_average_alone(source, found["unet"])
    everything = {f"{part} {key}": at for part in found for key, at in found[part].items()}
    refuse(
        path, problems(source, everything, ignored), "" if CONFIG in source.metadata else ASSUMED
    )
    for part, module in bundle.modules.items():
        fill(module, source, found[part], device, dtype)
    return bundle.eval()


def write_ldm(bundle: TextToImage, path: Path, dtype: torch.dtype | None = None) -> Path:
    """Write a model as .safetensors, or as .ckpt if the path ends so, and return the path."""
    tensors: dict[str, Tensor] = {}
    for part, layout in layouts(bundle).items():
        state = plain_state(bundle, part, dtype)
        tensors |= {at.name: state[key].reshape(at.shape) for key, at in layout.items()}
    config = json.dumps(plain_config(bundle.config))
    if path.suffix == ".ckpt":
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        whole = {"state_dict": tensors, CONFIG: config}
        return atomic_write(path, lambda file: torch.save(whole, file))
    return write_safetensors(path, tensors, {"format": "pt", CONFIG: config})


def with_average_alone(source: Source, unet: Layout) -> Source:
    """Return a file that has the UNet's running average alone with that as its weights, and warn.

    A file with weights is as it is.
    """
    if any(name.startswith(UNET) for name in source.entries):
        return source
    found = {
        at.name: old
        for at in unet.values()
        if (old := average_name(at.name)) and old in source.entries
    }
    if not found:
        return source
    warnings.warn(f"{source.path} has the running average of the UNet alone: used", stacklevel=3)
    rest = {name: name for name in source.entries if name not in found.values()}
    return Renamed(source, rest | found)


def average_name(name: str) -> str | None:
    """Return what the running average of a UNet's weight is called."""
    if not name.startswith(UNET):
        return None
    return AVERAGE + name.removeprefix("model.").replace(".", "")


def layouts(bundle: TextToImage, text: str = TEXT + TEXT_MODEL) -> dict[str, Layout]:
    """Return how a single file has the tensors of each network."""
    config, state = bundle.config, plain_state(bundle, "unet")
    names = renamed(unet_names(config.unet), state)
    unet = {key: Stored(UNET + names[key], tuple(state[key].shape)) for key in state}
    vae = autoencoder_layout(config.vae, plain_state(bundle, "vae"), VAE)
    state = plain_state(bundle, "text")
    return {"unet": unet, "vae": vae, "text": own_layout(state, lambda key: text + key)}


def autoencoder_layout(config: VAEConfig, state: Mapping[str, Tensor], prefix: str) -> Layout:
    """Return how LDM's names have an autoencoder's tensors, its attention as convolutions."""
    names = renamed(vae_names(config), state)
    return {
        key: Stored(
            prefix + names[key],
            (*value.shape, 1, 1) if CONVOLUTION.fullmatch(key) else tuple(value.shape),
        )
        for key, value in state.items()
    }


def ignored(name: str) -> bool:
    """Whether a published file may have this tensor, which no network needs."""
    return IGNORED.fullmatch(name) is not None


def text_prefix(source: Source) -> str:
    """Return what the text encoder's names begin with; some merging programs drop a part."""
    whole = TEXT + TEXT_MODEL
    return whole if any(name.startswith(whole) for name in source.entries) else TEXT


def config_of(source: Source) -> BundleConfig:
    """Return the configuration that the file was written with, or Stable Diffusion 1.5's.

    Raises ValueError for a configuration that is none.
    """
    text = source.metadata.get(CONFIG)
    if text is None:
        return replace(BundleConfig(), name=source.path.stem, prediction=prediction_of(source))
    try:
        data: Mapping[str, object] = json.loads(text)
    except ValueError:
        raise ValueError(f"{source.path}: its configuration is no JSON") from None
    return config_from(data, str(source.path))
