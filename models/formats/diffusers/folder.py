"""Stable Diffusion 1.x as a folder of diffusers: model_index.json and a folder per part.

Weights   unet and vae: `diffusion_pytorch_model`; text_encoder: `model`, as .bin `pytorch_model`.
          safetensors before .bin, whole before in shards, the plain file before a variant (`fp16`);
          a variant is taken only where it is the only one
Names     the networks' own, but for the autoencoder's attention, which had other names up to
          diffusers 0.17, and the text encoder's `text_model.`, which transformers 5 dropped
Sampler   whatever the folder names, sampling is DDIM on its schedule, at its times
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from latentgeo.models.bundles.text_to_image import (
    PARTS,
    WITHOUT_TEXT,
    BundleConfig,
    SamplingDefaults,
    TextToImage,
    empty_bundle,
    plain_state,
)
from latentgeo.models.formats.diffusers import config as configs
from latentgeo.models.formats.diffusers.tokenizer import check_tokenizer, write_tokenizer
from latentgeo.models.formats.files.families import looks_like
from latentgeo.models.formats.files.json_object import read_json, write_json
from latentgeo.models.formats.files.json_settings import Reader
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.shards import PLAIN, Packing, write_weights
from latentgeo.models.formats.files.source import Source, shapes
from latentgeo.models.formats.files.strict import Layout, fill, own_layout, problems, refuse
from latentgeo.models.formats.ldm.names import TEXT_MODEL

INDEX = "model_index.json"
FOLDERS = {"unet": "unet", "vae": "vae", "text": "text_encoder"}
STEMS = {  # what a part's weights are called, as safetensors and as .bin
    "unet": ("diffusion_pytorch_model", "diffusion_pytorch_model"),
    "vae": ("diffusion_pytorch_model", "diffusion_pytorch_model"),
    "text": ("model", "pytorch_model"),
}
CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
BESIDE = re.compile(  # the text encoder: counts, and what compares its texts with images
    r"(text_model\.)?embeddings\.position_ids|logit_scale|text_projection(\.weight)?"
)
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
ATTENTION = re.compile(r"(\.attentions\.\d+\.)(to_q|to_k|to_v|to_out\.0)(?=\.)")
FAMILIES = {"unet": "sd-unet", "vae": "vae", "text": "clip-text"}


def read_folder(
    folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> TextToImage:
    """Return the model in a folder, frozen; `dtype` None keeps that of the files.

    Raises FileNotFoundError that names what is missing, ValueError that lists what does not fit.
    """
    bundle = empty_bundle(read_config(folder))
    check_tokenizer(folder / "tokenizer", bundle.tokenizer)
    for part, module in bundle.modules.items():
        source = open_source(weights_file(folder, part))
        layout = _layout(part, module.state_dict(), source)
        said = problems(source, layout, lambda name: BESIDE.fullmatch(name) is not None)
        family = looks_like(shapes(source))
        other = said and family.name not in (FAMILIES[part], "unknown")
        refuse(source.path, said, f"it looks like {family.title}; " if other else "")
        fill(module, source, layout, device, dtype)
    return bundle.eval()


def write_folder(
    bundle: TextToImage,
    folder: Path,
    dtype: torch.dtype | None = None,
    packing: Packing = PLAIN,
) -> Path:
    """Write a model as a folder, each file atomically, and return the folder.

    Raises ValueError if weights are there that would be read instead of those written.
    """
    config, text = bundle.config, bundle.config.text
    size = config.sampling.size
    tables = {
        "unet": configs.write_unet(config.unet, size // config.vae.factor),
        "vae": configs.write_vae(config.vae, size),
        "text": configs.write_text(text),
    }
    for part in PARTS:
        stem, start = STEMS[part][0], TEXT_MODEL if part == "text" else ""
        state = {start + key: value for key, value in plain_state(bundle, part, dtype).items()}
        _check_first(folder, part, packing.first(stem, state), packing)
        write_weights(folder / FOLDERS[part], stem, state, packing)
        write_json(folder / FOLDERS[part] / "config.json", tables[part])
    write_json(folder / "scheduler" / "scheduler_config.json", configs.write_scheduler(config))
    write_tokenizer(bundle.tokenizer, folder / "tokenizer")
    write_json(folder / INDEX, _index())
    return folder


def read_config(folder: Path) -> BundleConfig:
    """Return the configuration of the model in a folder.

    Raises FileNotFoundError, or ValueError for a model of another kind or with other settings.
    """
    index = Reader(str(folder / INDEX), read_json(folder / INDEX))
    if index.part("unet") == "UNet2DModel":
        raise ValueError(f"{folder}: {WITHOUT_TEXT}")
    for name, classes in CLASSES.items():
        if (found := index.part(name)) not in classes:
            raise index.error(name, found, " or ".join(classes))
    for name in ("text_encoder_2", "image_encoder", "prior"):
        if (found := index.part(name)) is not None:
            kind = index.data.get("_class_name")
            raise index.error(name, found, f"none, as SD 1.x has it; this is of a {kind}")
    paths = {part: folder / FOLDERS[part] / "config.json" for part in PARTS}
    data = {part: read_json(path) for part, path in paths.items()}
    unet, side = configs.read_unet(data["unet"], str(paths["unet"]))
    vae = configs.read_vae(data["vae"], str(paths["vae"]))
    text = configs.read_text(data["text"], str(paths["text"]))
    config = BundleConfig(
        name=folder.resolve().name,
        unet=unet,
        vae=vae,
        text=text,
        sampling=SamplingDefaults(size=side * vae.factor),
    )
    scheduler = folder / "scheduler" / "scheduler_config.json"
    return configs.read_scheduler(read_json(scheduler), str(scheduler), config)


def weights_file(folder: Path, part: str) -> Path:
    """Return the file, or the index of the files, that holds a part's weights."""
    return find_weights(folder / FOLDERS[part], *STEMS[part])


def find_weights(inside: Path, safe: str, pickled: str) -> Path:
    """Return the file, or the index of files, of weights called `safe` or, as .bin, `pickled`.

    Raises FileNotFoundError that names the first of those looked for, ValueError where two variants
    are there and no plain file.
    """
    for stem, end in ((safe, "safetensors"), (pickled, "bin")):
        for name in (f"{stem}.{end}", f"{stem}.{end}.index.json"):
            if (inside / name).is_file():
                return inside / name
    for stem, end in ((safe, "safetensors"), (pickled, "bin")):
        for pattern in (  # the last is older
            f"{stem}.*.{end}",
            f"{stem}.{end}.index.*.json",
            f"{stem}.{end}.*.index.json",
        ):
            found = sorted(path for path in inside.glob(pattern) if "-of-" not in path.name)
            if len(found) > 1:
                names = ", ".join(path.name for path in found)
                raise ValueError(f"{inside} has the variants {names}; keep one, or a plain file")
            if found:
                return found[0]
    raise FileNotFoundError(f"no weights in {inside}: wanted {safe}.safetensors")


def old_name(key: str) -> str:
    """Return the name that a tensor of a plain attention had up to diffusers 0.17."""
    return ATTENTION.sub(lambda found: found[1] + OLD_ATTENTION[found[2]], key)


def _layout(part: str, state: Mapping[str, torch.Tensor], source: Source) -> Layout:
    """Return how a file has a part's tensors: by the names in use when it was written."""
    names = source.entries
    if part == "vae" and any(".attentions.0.query." in name for name in names):
        return own_layout(state, old_name)
    if part == "text" and any(name.startswith(TEXT_MODEL) for name in names):
        return own_layout(state, lambda key: TEXT_MODEL + key)
    return own_layout(state)


def _check_first(folder: Path, part: str, name: str, packing: Packing) -> None:
    """Raise if plain weights would be written beside others that `weights_file` prefers."""
    for other in (packing.name(STEMS[part][0]), packing.index(STEMS[part][0])):
        if other != name and (folder / FOLDERS[part] / other).is_file():
            raise ValueError(
                f"{folder / FOLDERS[part]} has {other} already, which could be read instead of "
                f"{name}; write to another folder or remove it"
            )


def _index() -> dict[str, Any]:
    library = {"text_encoder": "transformers", "tokenizer": "transformers"}
    parts = {name: [library.get(name, "diffusers"), kinds[0]] for name, kinds in CLASSES.items()}
    return {
        "_class_name": "StableDiffusionPipeline",
        **parts,
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
    }
