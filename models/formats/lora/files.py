"""LoRA files of all grammars: which one a file is in, what is refused by name, reading, writing."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from latentgeo.core.run.text import read_text
from latentgeo.models.formats.files.families import looks_like, relative
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.files.runs import LORA, left_in
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.files.source import Source, shapes
from latentgeo.models.formats.files.strict import fault_of, no_weight, refuse, warn
from latentgeo.models.formats.lora import cloneofsimo as lora_cloneofsimo
from latentgeo.models.formats.lora import diffusers as lora_diffusers
from latentgeo.models.formats.lora import kohya as lora_kohya
from latentgeo.models.formats.lora import peft as lora_peft
from latentgeo.models.formats.lora.adapter import Lora, Places, misfits, reshaped
from latentgeo.models.formats.lora.grammar import BUNDLED, Grammar, bundled
from latentgeo.models.formats.lora.peft import PEFT_FILES
from latentgeo.models.formats.lora.wrapped import without_wrappers
from latentgeo.models.lora.peft import PEFT, json_object

GRAMMARS: dict[str, Grammar] = {
    grammar.name: grammar
    for grammar in (
        lora_diffusers.PROCESSORS,
        lora_diffusers.LAYERS,
        lora_peft.GRAMMAR,
        lora_kohya.GRAMMAR,
        lora_kohya.LDM_BLOCKS,
        lora_cloneofsimo.GRAMMAR,
    )
}
CROSS = re.compile(r"attn2[._](processor\.)?to_k.*(down|lora_A)")
FAMILIES = {768: " (SD 1.x)", 1024: " (SD 2.x)", 2048: " (SDXL)"}
BLOCK = re.compile(r"lora_unet_(input_blocks|middle_block|output_blocks)_")
PEFT_CONFIG = "adapter_config.json"
OTHERS = {  # what looks like LoRA and is not: by a part of its keys
    r"dora_scale|lora_magnitude_vector": "DoRA, which scales the columns of W_0 + ΔW",
    r"\.lora_mid\.": "LoCon with a core tensor (LyCORIS)",
    r"\.(diff|diff_b|w_norm|b_norm)$": "a difference of whole weights (LyCORIS)",
    r"\.[ab][12]\.weight$": "GLoRA (LyCORIS)",
    r"\.lora_[AB](\.\w+)?\.bias$": "LoRA with biases",
    r"lora_embedding_[AB]": "LoRA on an embedding",
}


def read_lora_file(path: Path, places: Places) -> tuple[Lora, Grammar]:
    """Return the LoRA in a file, or in a folder of PEFT, and the grammar it is in.

    Raises ValueError that names the file: what it is instead, or which keys are unknown. Whether
    the LoRA fits the model of `places` is for `misfits` to say.
    """
    path = lora_path(path)
    opened = open_source(path)
    try:
        source = without_wrappers(opened)
        grammar = grammar_of(source)
        _check_width(source, places)
        tensors = read_all(source)
        tokens = bundled(tensors)
        factors = {name: tensor for name, tensor in tensors.items() if not BUNDLED.match(name)}
        lora = grammar.read(factors, {**source.metadata, **_beside(path, source)}, places)
        lora = reshaped(replace(lora, tokens={**lora.tokens, **tokens}), places)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not lora.unet and not lora.text:
        raise ValueError(f"{path}: it adapts no layer")
    return lora, _as_written(grammar, source)


def write_lora_file(path: Path, lora: Lora, grammar: Grammar, places: Places) -> Path:
    """Write a LoRA in a grammar and return the path.

    Raises ValueError for what the grammar cannot say, and for a LoRA that does not fit.
    """
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: LoRA is written as .safetensors")
    refuse("the LoRA", misfits(lora, places))
    tensors, metadata = grammar.write(lora, places)
    return write_safetensors(path, tensors, metadata)


def is_lora_folder(folder: Path) -> bool:
    """Whether a folder is PEFT's, or of a training that left a LoRA and no model."""
    of_training = any(folder.glob(LORA)) and not (folder / "config.json").is_file()
    return of_training or any((folder / name).is_file() for name in PEFT_FILES)


def lora_path(path: Path) -> Path:
    """Return the file of a LoRA: the path, or in a folder PEFT's own file, or a training's.

    Raises FileNotFoundError for a folder without one, ValueError for one with several.
    """
    return left_in(path, (*PEFT_FILES, LORA), "LoRA") if path.is_dir() else path


def grammar_of(source: Source) -> Grammar:
    """Return the grammar of a file; ValueError says what it is where it is in none."""
    keys = list(source.entries)
    refuse_others(keys)
    first = lora_peft.GRAMMAR  # keys of the two of diffusers stand in its files, too
    for grammar in (first, *GRAMMARS.values()):
        if grammar.claims(keys):
            return grammar
    raise ValueError(
        f"it looks like {looks_like(shapes(source)).title}, wanted a LoRA in one of "
        f"the grammars {', '.join(GRAMMARS)}"
    )


def refuse_others(keys: Sequence[str]) -> None:
    """Raise ValueError, by name, for what is no plain LoRA."""
    for key in keys:
        name = relative(key) or next((n for form, n in OTHERS.items() if re.search(form, key)), "")
        if name:
            raise ValueError(
                f"it is {name}, and not LoRA ({key}); merge it into a checkpoint "
                "with the program that made it"
            )


def read_all(source: Source) -> dict[str, Tensor]:
    """Return all tensors of a small file, with a warning of NaN and infinite values.

    Raises ValueError for what cannot become a weight; α alone may be a whole number.
    """
    kinds = {name: e.dtype for name, e in source.entries.items() if not name.endswith(".alpha")}
    refuse("the LoRA", [said for name, kind in kinds.items() for said in no_weight(name, kind)])
    tensors = {name: source.read(name) for name in source.entries}
    faults = {name: fault_of(tensors[name]) for name in kinds}
    warn(source.path, [f"{name} has {fault}" for name, fault in faults.items() if fault])
    return tensors


def _check_width(source: Source, places: Places) -> None:
    """Raise for a LoRA of another family, told by the width of the text that attentions read."""
    widths = (
        entry.shape[1]
        for name, entry in source.entries.items()
        if CROSS.search(name) and len(entry.shape) > 1
    )
    wanted = places.config.unet.context
    found = next(widths, wanted)
    if found is not None and found != wanted:
        raise ValueError(
            f"its cross-attention reads text of width {found}{FAMILIES.get(found, '')}, "
            f"and the model's is {wanted}"
        )


def _beside(path: Path, source: Source) -> Mapping[str, str]:
    """Return the configuration beside a file of PEFT's own as metadata; warn where α is nowhere."""
    config = path.with_name(PEFT_CONFIG)
    if path.name not in PEFT_FILES:
        return {}
    if not config.is_file():
        if not {PEFT, "alpha"} & source.metadata.keys():
            warn(path, [f"there is no {PEFT_CONFIG} beside it, which says α: taken for the rank"])
        return {}
    return {PEFT: json.dumps(json_object(read_text(config), PEFT_CONFIG))}


def _as_written(grammar: Grammar, source: Source) -> Grammar:
    """Return the grammar with the layout of block names that the file has."""
    ldm = any(BLOCK.match(key) for key in source.entries)
    return lora_kohya.LDM_BLOCKS if grammar is lora_kohya.GRAMMAR and ldm else grammar
