"""`latentgeo convert`: a model, an encoder, a LoRA or learned tokens, into another layout.

Nothing is rounded: every tensor keeps its dtype unless another is asked for.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from latentgeo.core.run.device import pick_dtype
from latentgeo.models.bundles.text_to_image import BundleConfig, TextToImage, save_bundle
from latentgeo.models.formats.clip.file import is_clip_folder
from latentgeo.models.formats.convert_image import convert_image
from latentgeo.models.formats.diffusers.folder import write_folder
from latentgeo.models.formats.encoders import FAMILIES as ENCODERS
from latentgeo.models.formats.encoders import convert_encoder
from latentgeo.models.formats.files.families import looks_like
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.shards import PLAIN, Packing
from latentgeo.models.formats.files.source import shapes
from latentgeo.models.formats.ldm.file import write_ldm
from latentgeo.models.formats.load import find_model, load_text_to_image
from latentgeo.models.formats.load_image import image_layout
from latentgeo.models.formats.lora.adapter import Places, converted, folded, places_in, places_of
from latentgeo.models.formats.lora.files import (
    GRAMMARS,
    is_lora_folder,
    lora_path,
    read_lora_file,
    write_lora_file,
)
from latentgeo.models.formats.settings import Convert
from latentgeo.models.formats.textual_inversion import (
    FAMILY,
    is_webui,
    read_embeddings,
    write_embeddings,
)

Write = Callable[[TextToImage, Path, torch.dtype | None, Packing], object]
MODELS: dict[str, Write] = {
    "latentgeo": lambda bundle, path, dtype, packing: save_bundle(bundle, path, dtype),
    "diffusers": write_folder,
    "ldm": lambda bundle, path, dtype, packing: write_ldm(bundle, path, dtype),
}
PACKED = "--shard-size and --variant are for Stable Diffusion as a folder of diffusers"
NOUNS = {
    "lora": "a LoRA",
    "tokens": "a file of learned tokens",
    "images": "a model without text",
    "clip": "CLIP",
    "inception": "Inception",
}
FILES = (".safetensors", ".ckpt")  # what a model in one file is called


def convert_weights(cmd: Convert) -> str:
    """Convert as asked (`convert`), and return in a line what was done."""
    dtype = None if cmd.dtype is None else pick_dtype(cmd.dtype)
    size = None if cmd.shard_size is None else int(cmd.shard_size * 1e9)
    return convert(
        cmd.from_,
        cmd.to,
        cmd.layout,
        None if cmd.model is None else Path(cmd.model),
        dtype,
        cmd.fold,
        cmd.model_config,
        cmd.ema_weights,
        Packing(variant=cmd.variant, shard_size=size),
    )


def convert(
    source: Path,
    target: Path,
    layout: str | None = None,
    model: Path | None = None,
    dtype: torch.dtype | None = None,
    fold: bool = False,
    model_config: Path | None = None,
    ema: bool = True,
    packing: Packing = PLAIN,
) -> str:
    """Write `source` to `target` in a layout or grammar, and return in a line what was done.

    `layout` None is, for a model, one file or a folder of diffusers as `target`'s name has it; for
    an encoder `convert_encoder`'s; a LoRA needs one. `model` has the layers that a LoRA is on,
    Stable Diffusion 1.5's if None; `model_config` and `ema` are for `load_image_model`, `packing`
    for folders of diffusers with Stable Diffusion 1.x. Raises FileNotFoundError or ValueError that
    says what does not go together.
    """
    kind = kind_of(source)
    if kind == "model" and image_layout(source) is not None:
        kind = "images"
    if packing != PLAIN and kind != "model":
        raise ValueError(f"{source} is {NOUNS[kind]}; {PACKED}")
    if kind == "images":
        return convert_image(source, target, layout, dtype, model_config, ema)
    if model_config is not None:
        raise ValueError(f"model_config: got one for {source}, wanted a model without text")
    if kind in ENCODERS.values():
        return convert_encoder(source, target, kind, layout, dtype)
    if kind == "tokens":
        return _tokens(source, target, dtype)
    if kind == "lora":
        return _lora(source, target, layout, model, dtype, fold)
    return _model(source, target, layout, dtype, packing)


def kind_of(source: Path) -> str:
    """Return whether a path is a "model", "clip", "inception", a "lora" or learned "tokens"."""
    if is_clip_folder(source):
        return "clip"
    if source.is_dir():
        return "lora" if is_lora_folder(source) else "model"
    if not source.is_file():
        return "model"  # an embedded one's name, or for `find_model` to miss
    if is_webui(source):
        return "tokens"
    family = looks_like(shapes(open_source(source))).name
    kinds = {FAMILY: "tokens", "lora": "lora", "lycoris": "lora", **ENCODERS}
    return kinds.get(family, "model")


def places_for(model: Path | None) -> Places:
    """Return the layers of a model, of Stable Diffusion 1.5 if None."""
    if model is None:
        return places_in(BundleConfig())
    return places_of(load_text_to_image(find_model(model), dtype=None))


def _model(
    source: Path, target: Path, layout: str | None, dtype: torch.dtype | None, packing: Packing
) -> str:
    layout = layout or ("ldm" if target.suffix in FILES else "diffusers")
    if layout not in MODELS:
        whose = "LoRA" if layout in GRAMMARS else "another network"
        raise ValueError(
            f"layout: got {layout!r}, which is for {whose}, wanted {', '.join(MODELS)}"
        )
    if (layout == "ldm") != (target.suffix in FILES):
        raise ValueError(
            f"to: {target} with layout {layout!r}, wanted "
            + ("a name that ends in .safetensors or .ckpt" if layout == "ldm" else "a folder")
        )
    if packing != PLAIN and layout != "diffusers":
        raise ValueError(f"layout: got {layout!r}; {PACKED}")
    bundle = load_text_to_image(source, dtype=dtype)
    MODELS[layout](bundle, target, dtype, packing)
    return f"{target}: {bundle.config.name} as {layout}"


def _lora(
    source: Path,
    target: Path,
    layout: str | None,
    model: Path | None,
    dtype: torch.dtype | None,
    fold: bool,
) -> str:
    if layout not in GRAMMARS:
        raise ValueError(
            f"layout: got {layout or 'none'}, wanted that of a LoRA: {', '.join(GRAMMARS)}"
        )
    places = places_for(model)
    lora, grammar = read_lora_file(lora_path(source), places)
    lora = folded(lora) if fold else lora
    lora = converted(lora, dtype) if dtype else lora
    write_lora_file(target, lora, GRAMMARS[layout], places)
    count = len(lora.unet) + len(lora.text)
    return f"{target}: LoRA on {count} layers, {grammar.name} to {layout}"


def _tokens(source: Path, target: Path, dtype: torch.dtype | None) -> str:
    tokens = read_embeddings(source)
    kept = {token: vectors.to(dtype or vectors.dtype) for token, vectors in tokens.items()}
    write_embeddings(target, kept)
    return f"{target}: learned tokens {', '.join(kept)}"
