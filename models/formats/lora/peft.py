"""LoRA as PEFT writes it: `<layer>.lora_A.weight`, `<layer>.lora_B.weight`.

Before the layer stands `unet.` or `text_encoder.text_model.` as diffusers has it, or PEFT's own
`base_model.model.`, or both; keys as diffusers wrote them before may stand among them. Behind
`lora_A` there may be the adapter's name. α is no tensor: it stands in the metadata, or in the
adapter_config.json beside a file of PEFT's own, with patterns for layers that differ.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from latentgeo.models.formats.lora.adapter import PARTS, Factors, Lora, Part, Places
from latentgeo.models.formats.lora.diffusers import old_address
from latentgeo.models.formats.lora.grammar import (
    Address,
    Grammar,
    Notes,
    Role,
    Tensors,
    Written,
    cannot_say,
    gathered,
    no_tokens,
    other_notes,
)
from latentgeo.models.lora.file import OWN, peft_config
from latentgeo.models.lora.peft import PEFT, json_object, stored_alpha

ROOT = r"base_model\.model\."  # what PEFT calls the network that it is around
KEY = re.compile(
    rf"({ROOT})?(?P<prefix>unet\.|text_encoder\.)?({ROOT})?(?P<layer>.+)"
    r"\.lora_(?P<factor>[AB])(\.(?P<adapter>[^.]+))?\.weight"
)
PREFIXES: dict[Part, str] = {"unet": "unet", "text": "text_encoder"}
TEXT_MODEL = "text_model."
PEFT_FILES = ("adapter_model.safetensors", "adapter_model.bin")  # in a folder of PEFT's own


def read(tensors: Tensors, metadata: Notes, places: Places) -> Lora:
    """Return the LoRA that a file of PEFT holds.

    Raises ValueError for unknown keys, several adapters, and what is no plain LoRA.
    """
    adapters = {match["adapter"] for key in tensors if (match := KEY.fullmatch(key))}
    if len(adapters) > 1:
        raise ValueError(f"the file holds several adapters, {sorted(map(str, adapters))}")
    parts = gathered(tensors, lambda key: _address(key, places))
    prefixed = _prefixed(metadata)
    for part in PARTS:
        prefix = PREFIXES[part] if prefixed else ""
        parts[part] = _scaled(parts[part], metadata, prefix, TEXT_MODEL if part == "text" else "")
    return Lora(unet=parts["unet"], text=parts["text"], notes=other_notes(metadata, OWN))


def write(lora: Lora, places: Places) -> Written:
    """Return the tensors and metadata of a file of PEFT, as diffusers reads it."""
    cannot_say("peft", no_tokens(lora))
    tensors: dict[str, Tensor] = {}
    config: dict[str, object] = {}
    for part, layer, factors in lora:
        stem = f"unet.{layer}" if part == "unet" else f"text_encoder.{TEXT_MODEL}{layer}"
        tensors |= {f"{stem}.lora_A.weight": factors.A, f"{stem}.lora_B.weight": factors.B}
    for part in PARTS:
        if found := lora.part(part):
            # PEFT matches the ends of names, so that these fit either version of transformers
            ranks = {layer: factors.rank for layer, factors in found.items()}
            alphas = {layer: factors.alpha for layer, factors in found.items()}
            config |= peft_config(ranks, alphas, PREFIXES[part])
    return tensors, {"format": "pt", **lora.notes, PEFT: json.dumps(config, sort_keys=True)}


def _address(key: str, places: Places) -> Address | None:
    """Return what a key is about; without a prefix, the layer tells the network."""
    match = KEY.fullmatch(key)
    if match is None:
        return old_address(key)
    layer, prefix = match["layer"], match["prefix"]
    role: Role = "A" if match["factor"] == "A" else "B"
    short = layer.removeprefix(TEXT_MODEL)
    if prefix == "text_encoder." or (prefix is None and short in places.text):
        return Address("text", short, role)
    return Address("unet", layer, role)


def _prefixed(metadata: Notes) -> bool:
    """Return whether the configuration is by network; ValueError for one of another network."""
    starts = {key.rpartition(".")[0] for key in json_object(metadata.get(PEFT, "{}"), PEFT)}
    for start in starts - {*PREFIXES.values()}:
        if start or len(starts) > 1:
            raise ValueError(f"{PEFT} is about {start!r}, wanted {' and '.join(PREFIXES.values())}")
    return bool(starts - {""})


def _scaled(
    found: Mapping[str, Factors], metadata: Notes, prefix: str, start: str
) -> dict[str, Factors]:
    """Return the factors with the α that the metadata give their layers, named from `start` on."""
    ranks = {start + layer: factors.rank for layer, factors in found.items()}
    alpha = stored_alpha(metadata, prefix, ranks)
    alphas = alpha if isinstance(alpha, Mapping) else dict.fromkeys(ranks, alpha)
    return {
        layer: replace(factors, alpha=alphas[start + layer]) for layer, factors in found.items()
    }


def _claims(keys: Sequence[str]) -> bool:
    return any(KEY.fullmatch(key) for key in keys)


GRAMMAR = Grammar("peft", "PEFT", _claims, read, write)
