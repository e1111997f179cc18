"""CLIP, text and image encoder: a folder of transformers, or one file of either grammar.

Folder   config.json, and `model.safetensors` or `pytorch_model.bin`, whole or in shards; its
         tokenizer, if it has one, must be CLIP's
File     names of transformers or of OpenAI (`names.py`), in safetensors or a pickled state
         dict. Its shapes tell the configuration, with OpenAI's heads and activation; a file that
         was written here and has others carries its configuration. OpenCLIP's own networks with
         gelu are to be loaded from a folder, whose config.json says so
Left out counting buffers: position_ids (transformers 4), and input_resolution, context_length and
         vocab_size of OpenAI's archives
"""

import json
import re
from pathlib import Path

import torch

from latentgeo.core.run.files import atomic_write
from latentgeo.models.bundles.presets import merges
from latentgeo.models.bundles.text_to_image import Undrawn
from latentgeo.models.clip_vision import CLIP, CLIPConfig
from latentgeo.models.formats.clip.config import (
    looks_like_clip,
    read_clip_config,
    write_clip_config,
)
from latentgeo.models.formats.clip.names import GRAMMARS, Grammar, config_of
from latentgeo.models.formats.diffusers.folder import find_weights
from latentgeo.models.formats.diffusers.tokenizer import (
    VOCABULARY,
    WHOLE,
    check_tokenizer,
    write_tokenizer,
)
from latentgeo.models.formats.files.families import looks_like
from latentgeo.models.formats.files.json_object import read_json
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.files.source import Source, shapes
from latentgeo.models.formats.files.strict import as_stored, fill, problems, refuse
from latentgeo.models.tokenizer import Tokenizer

CONFIG = "latentgeo"  # key of the configuration in a file's metadata
SETTINGS = "config.json"
STEMS = ("model", "pytorch_model")
FILES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")  # how one file's name ends
COUNTS = re.compile(
    r"(text|vision)_model\.embeddings\.position_ids"
    r"|input_resolution|context_length|vocab_size"
)


def read_clip(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> CLIP:
    """Return the pair of encoders, frozen; `dtype` None keeps that of each tensor.

    Raises FileNotFoundError that names what is missing, ValueError that lists what does not fit.
    """
    source = open_source(weights_of(path))
    grammar = grammar_of(source)
    config = config_in(path, source, grammar)
    with torch.device("meta"), Undrawn():
        model = CLIP(config)
    layout = grammar.layout(model.state_dict())
    said = problems(source, layout, lambda name: COUNTS.fullmatch(name) is not None)
    refuse(source.path, said)
    fill(model, source, layout, device, dtype)
    return model.eval().requires_grad_(False)


def write_clip(model: CLIP, path: Path, grammar: str, dtype: torch.dtype | None = None) -> Path:
    """Write both encoders: one file if the path is called so (FILES), or a folder of transformers.

    The file is safetensors, or a pickled state dict if it is not called so. Raises ValueError for a
    folder with OpenAI's names, which nobody reads.
    """
    state = {key: value.to(dtype or value.dtype) for key, value in model.state_dict().items()}
    tensors = as_stored(state, GRAMMARS[grammar].layout(state))
    settings = json.dumps(write_clip_config(model.config), indent=2, sort_keys=True) + "\n"
    if path.suffix not in FILES:
        if grammar != "transformers":
            raise ValueError(f"{path}: {grammar} is one file, wanted a name in {', '.join(FILES)}")
        write_tokenizer(tokenizer_of(model.config), path)
        write_safetensors(path / f"{STEMS[0]}.safetensors", tensors, {"format": "pt"})
        return atomic_write(path / SETTINGS, settings).parent
    sizes = {name: tuple(value.shape) for name, value in tensors.items()}
    told = config_of(sizes, GRAMMARS[grammar].name) == model.config
    more = {} if told else {CONFIG: settings}
    if path.suffix == ".safetensors":
        return write_safetensors(path, tensors, {"format": "pt"} | more)
    return atomic_write(path, lambda file: torch.save({**tensors, **more}, file))


def is_clip_folder(path: Path) -> bool:
    """Whether a path is a folder of transformers' CLIPModel."""
    return (path / SETTINGS).is_file() and looks_like_clip(read_json(path / SETTINGS))


def weights_of(path: Path) -> Path:
    """Return the file of weights that a path stands for: itself, or that of the folder."""
    return find_weights(path, *STEMS) if path.is_dir() else path


def tokenizer_of(config: CLIPConfig) -> Tokenizer:
    """Return the tokenizer of a text encoder's vocabulary and length."""
    return Tokenizer(context=config.text.context, merges=merges(config.text))


def grammar_of(source: Source) -> Grammar:
    """Return whose names a file has; ValueError says what else it looks like."""
    family = looks_like(shapes(source))
    found = next((g for g in GRAMMARS.values() if g.family == family.name), None)
    if found is None:
        raise ValueError(
            f"{source.path} looks like {family.title}, wanted CLIP's text and image encoder with "
            "a Vision Transformer"
        )
    return found


def config_in(path: Path, source: Source, grammar: Grammar) -> CLIPConfig:
    """Return the configuration of a folder or file, and check the tokenizer beside it.

    Raises ValueError that names the path where they do not fit.
    """
    if path.is_dir():
        config = read_clip_config(read_json(path / SETTINGS), str(path / SETTINGS))
        if any((path / name).is_file() for name in (VOCABULARY, WHOLE)):
            check_tokenizer(path, tokenizer_of(config))
        return config
    try:
        if text := source.metadata.get(CONFIG):
            return read_clip_config(json.loads(text), "its configuration")
        return config_of(shapes(source), grammar.name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
