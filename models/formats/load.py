"""A text-to-image model from whatever holds it: our folder, diffusers' folder, or a single file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from latentgeo.models.bundles.learned_tokens import add_tokens
from latentgeo.models.bundles.settings import Prediction
from latentgeo.models.bundles.text_to_image import TextToImage, find, load_bundle
from latentgeo.models.formats.diffusers.folder import INDEX, read_folder
from latentgeo.models.formats.files.runs import left_in
from latentgeo.models.formats.ldm.file import read_ldm
from latentgeo.models.formats.lora.adapter import attach_lora, places_of
from latentgeo.models.formats.lora.files import lora_path, read_lora_file
from latentgeo.models.formats.textual_inversion import read_embeddings
from latentgeo.models.lora.adapter import DEFAULT, adapters
from latentgeo.models.zoo.places import ZOO

DIRECTIONS = "directions"  # folder of directions in h-space beside a model
LayoutName = Literal["latentgeo", "diffusers", "ldm"]


def load_text_to_image(
    source: str | Path,
    lora: str | Path | None = None,
    lora_scale: float = 1.0,
    embeddings: Sequence[Path] = (),
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
    prediction: Prediction | None = None,
) -> TextToImage:
    """Return a model, frozen, with a LoRA of any grammar and with learned tokens if given.

    `source` is an embedded name, a folder or a file; `dtype` None keeps that of the weights.
    `prediction` is what the UNet returns, if not what the files say.
    Raises FileNotFoundError that names what is missing, ValueError where something does not fit.
    """
    readers = {"latentgeo": load_bundle, "diffusers": read_folder, "ldm": read_ldm}
    place = find_model(source)
    bundle = readers[layout_of(place)](place, device, dtype)
    if prediction is not None:
        bundle.config = replace(bundle.config, prediction=prediction)
    if lora is not None:
        add_lora(bundle, find_lora(lora, place), lora_scale)
    for path in embeddings:
        add_tokens(bundle, read_embeddings(path))
    return bundle


def add_lora(bundle: TextToImage, path: Path, scale: float = 1.0) -> None:
    """Attach a LoRA file of any grammar to a frozen model, beside those that it has: they add up.

    Raises ValueError that names the file, where it does not fit.
    """
    known = {*adapters(bundle.unet), *adapters(bundle.text)}
    name = f"{DEFAULT}{len(known) + 1}" if known else DEFAULT
    found, _ = read_lora_file(path, places_of(bundle))
    try:
        attach_lora(bundle, found, scale, name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    bundle.lora = path.name if bundle.lora is None else f"{bundle.lora}+{path.name}"
    bundle.eval()


def find_model(source: str | Path) -> Path:
    """Return where a model is: an embedded name's folder, or the path; raises if there is none."""
    path = Path(source)
    if (ZOO / str(source) / "config.json").is_file():
        return ZOO / str(source)
    return path if path.is_file() or (path / INDEX).is_file() else find(source)


def layout_of(place: Path) -> LayoutName:
    """Return which layout a model that `find_model` found is in."""
    if place.is_file():
        return "ldm"
    return "diffusers" if (place / INDEX).is_file() else "latentgeo"


def find_lora(name: str | Path, model: Path) -> Path:
    """Return the file of a LoRA: a path, a training's folder, or the name of one beside the model.

    Raises FileNotFoundError if there is none at either place, ValueError for a folder of several.
    """
    folder = model.parent if model.is_file() else model
    beside = folder / f"{name}.safetensors"
    path = beside if beside.is_file() else lora_path(Path(name))
    if not path.is_file():
        own = ", ".join(sorted(one.stem for one in folder.glob("*lora*.safetensors"))) or "none"
        raise FileNotFoundError(
            f"no LoRA at {path}, nor {beside}; wanted a file, the folder of a training, or "
            f"one beside the model: {own}"
        )
    return path


def find_direction(name: str | Path, model: Path) -> Path:
    """Return the file of a direction in h-space: a path, or the name of one of the model's own.

    A folder of train-asyrp is its one direction. Raises FileNotFoundError that lists those of the
    model, ValueError for a folder of several.
    """
    own = (model.parent if model.is_file() else model) / DIRECTIONS
    path = own / f"{name}.safetensors"
    if not path.is_file() and Path(name).is_dir():
        return left_in(Path(name), ("*.safetensors",), "direction")
    if not path.is_file() and not Path(name).is_file():
        known = sorted(file.stem for file in own.glob("*.safetensors"))
        raise FileNotFoundError(
            f"no direction at {name}; wanted a file of train-asyrp, or one of the model's own: "
            f"{', '.join(known) or 'it has none'}"
        )
    return path if path.is_file() else Path(name)
