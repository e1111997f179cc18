"""What Smooth Diffusion trains: a LoRA on the UNet, or the whole of it; and the files of each.

Guo et al., Smooth Diffusion (arXiv 2312.04410), Sec. 3.1, 4.1 and 4.5.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.ranks import is_main
from latentgeo.models.bundles.text_to_image import TextToImage, save_bundle
from latentgeo.models.formats.load import find_lora, find_model
from latentgeo.models.lora.adapter import ATTENTION, attach, load_lora, save_lora
from latentgeo.models.unet import UNet
from latentgeo.train.loop.sharded import gathered
from latentgeo.train.smoothing.settings import TrainSmooth

METHOD = "Smooth-LoRA, arXiv 2312.04410"


def adapt(unet: nn.Module, settings: TrainSmooth) -> None:
    """Attach the LoRA to train, a new one or that of a file; or have all weights trained.

    Smooth Sec. 4.1   rank 8 on the query, key, value and output projections of all attentions
    Smooth Tab. 4     "full": a fully fine-tuned UNet

    Raises ValueError that names the targets where one matches no layer.
    """
    if settings.adapter == "full":
        unet.requires_grad_(True)
        return
    if settings.lora is not None:
        load_lora(unet, find_lora(settings.lora, find_model(settings.model)))
        return
    targets = [ATTENTION if target == "attention" else target for target in settings.targets]
    try:
        attach(unet, settings.rank, settings.alpha, targets)
    except ValueError as error:
        raise ValueError(f"targets: {error}") from error


def save_adapter(
    bundle: TextToImage, settings: TrainSmooth, folder: Path, more: Mapping[str, object]
) -> None:
    """Write smooth_lora.safetensors, or a model's folder, and a .json that says how it was made.

    A UNet that is cut over ranks is gathered here: then all ranks have to call this.
    """
    made = json.dumps({**settings.plain(), **more}, indent=2) + "\n"
    if settings.adapter == "full":
        save_full(bundle, folder, made)
        return
    notes = {"method": METHOD, "base": bundle.config.name}
    path = save_lora(folder / "smooth_lora.safetensors", bundle.unet, notes=notes)
    atomic_write(folder / "smooth_lora.json", made)
    print(f"wrote {path}", flush=True)


def save_full(bundle: TextToImage, folder: Path, made: str) -> None:
    """Write the model with its trained UNet, as `--model` takes it, and smooth.json."""
    state = gathered(dict(bundle.unet.state_dict()))
    if not is_main():
        return
    with torch.device("meta"):
        unet = UNet(bundle.unet.config)
    unet.load_state_dict(state, assign=True)
    config = replace(bundle.config, name=f"{bundle.config.name}-smooth")
    save_bundle(TextToImage(config, unet, bundle.vae, bundle.text), folder)
    atomic_write(folder / "smooth.json", made)
    print(f"wrote the model {folder}", flush=True)
