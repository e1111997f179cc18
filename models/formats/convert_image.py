"""`latentgeo convert` for models of images without text: bit for bit into any layout they have."""

from collections.abc import Callable
from pathlib import Path

import torch

from latentgeo.models.bundles.image_model import ImageModel, save_image_model
from latentgeo.models.formats.diffusers.image import write_image_folder
from latentgeo.models.formats.ldm.image_file import write_ldm_image
from latentgeo.models.formats.load_image import load_image_model
from latentgeo.models.formats.unet_file import write_unet_file

Writer = Callable[[ImageModel, Path, torch.dtype | None], Path]
FOLDERS: dict[str, Writer] = {"diffusers": write_image_folder, "latentgeo": save_image_model}
FILES: dict[str, Writer] = {
    "ddpm": write_unet_file,
    "adm": write_unet_file,
    "ldm": write_ldm_image,
}
SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth")


def convert_image(
    source: Path,
    target: Path,
    layout: str | None = None,
    dtype: torch.dtype | None = None,
    config: Path | None = None,
    ema: bool = True,
) -> str:
    """Write a model to `target` in a layout, and return in a line what was done.

    `layout` None is the network's own for a file, for a folder diffusers', or ours of an ADM.
    Raises ValueError for a layout that the network or the name does not have.
    """
    file = target.suffix in SUFFIXES
    model = load_image_model(source, dtype=dtype, config=config, ema=ema)
    network = model.config.network
    usual = network if file else ("latentgeo" if network == "adm" else "diffusers")
    wanted, writers = layout or usual, {**FOLDERS, network: FILES[network]}
    if wanted not in writers:
        raise ValueError(f"layout: got {wanted!r} for {source}, wanted {', '.join(writers)}")
    if file != (wanted in FILES):
        kind = f"a name in {', '.join(SUFFIXES)}" if wanted in FILES else "a folder"
        raise ValueError(f"to: {target} with layout {wanted!r}, wanted {kind}")
    writers[wanted](model, target, dtype)
    return f"{target}: {model.config.name} as {wanted}"
