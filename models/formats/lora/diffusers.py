"""LoRA as diffusers wrote it: first on attention processors, then on the layers themselves.

attn-procs  `<attention>.processor.to_q_lora.down.weight`, of the UNet's attentions alone and then
            without a prefix; with a text encoder, `unet.` and `text_encoder.…self_attn.to_q_lora.`
diffusers   `unet.<layer>.lora.down.weight`, `text_encoder.text_model.<layer>.lora_linear_layer.…`
down is A and up is B. Neither has an α: the scale is 1. Either kind is found in files of the other.
"""

import re
from collections.abc import Sequence

from torch import Tensor

from latentgeo.models.formats.lora.adapter import Lora, Part, Places
from latentgeo.models.formats.lora.grammar import (
    Address,
    Grammar,
    Notes,
    Role,
    Tensors,
    Written,
    cannot_say,
    gathered,
    no_alphas,
    no_tokens,
    other_notes,
)

ROLES: dict[str, Role] = {"down": "A", "up": "B"}
FACTOR = r"(?P<factor>down|up)\.weight"
PROCESSOR = re.compile(rf"(unet\.)?(?P<block>.+)\.processor\.to_(?P<to>q|k|v|out)_lora\.{FACTOR}")
TEXT = r"text_encoder\.(text_model\.)?"
TEXT_PROCESSOR = re.compile(rf"{TEXT}(?P<block>.+\.self_attn)\.to_(?P<to>q|k|v|out)_lora\.{FACTOR}")
UNET_LAYER = re.compile(rf"unet\.(?P<layer>.+)\.lora\.{FACTOR}")
TEXT_LAYER = re.compile(rf"{TEXT}(?P<layer>.+)\.lora_linear_layer\.{FACTOR}")
UNET_ATTENTION = re.compile(r"(?P<block>.+\.attn[12])\.to_(?P<to>q|k|v|out)(\.0)?")
TEXT_ATTENTION = re.compile(r"(?P<block>.+\.self_attn)\.(?P<to>q|k|v|out)_proj")


def read(tensors: Tensors, metadata: Notes, places: Places) -> Lora:
    """Return the LoRA that a file of either kind holds, or of both."""
    parts = gathered(tensors, old_address)
    return Lora(unet=parts["unet"], text=parts["text"], notes=other_notes(metadata))


def write_processors(lora: Lora, places: Places) -> Written:
    """Return the tensors and metadata of a file of attention processors."""
    forms = {"unet": UNET_ATTENTION, "text": TEXT_ATTENTION}
    reasons = [
        f"it is on attentions alone, and {part} {layer} is no projection of one"
        for part, layer, _ in lora
        if not forms[part].fullmatch(layer)
    ]
    cannot_say("attn-procs", reasons + no_alphas(lora) + no_tokens(lora))
    tensors: dict[str, Tensor] = {}
    start = "unet." if lora.text else ""
    for part, layer, factors in lora:
        match = forms[part].fullmatch(layer)
        assert match is not None
        stem = {
            "unet": f"{start}{match['block']}.processor.to_{match['to']}_lora",
            "text": f"text_encoder.text_model.{match['block']}.to_{match['to']}_lora",
        }[part]
        tensors |= {f"{stem}.down.weight": factors.A, f"{stem}.up.weight": factors.B}
    return tensors, {"format": "pt", **lora.notes}


def write_layers(lora: Lora, places: Places) -> Written:
    """Return the tensors and metadata of a file by layer."""
    cannot_say("diffusers", no_alphas(lora) + no_tokens(lora))
    tensors: dict[str, Tensor] = {}
    for part, layer, factors in lora:
        stem = {
            "unet": f"unet.{layer}.lora",
            "text": f"text_encoder.text_model.{layer}.lora_linear_layer",
        }[part]
        tensors |= {f"{stem}.down.weight": factors.A, f"{stem}.up.weight": factors.B}
    return tensors, {"format": "pt", **lora.notes}


def old_address(key: str) -> Address | None:
    """Return what a key of either kind is about."""
    if match := TEXT_PROCESSOR.fullmatch(key):
        return Address("text", f"{match['block']}.{match['to']}_proj", ROLES[match["factor"]])
    if match := PROCESSOR.fullmatch(key):
        end = "to_out.0" if match["to"] == "out" else f"to_{match['to']}"
        return Address("unet", f"{match['block']}.{end}", ROLES[match["factor"]])
    if match := UNET_LAYER.fullmatch(key):
        return _address("unet", match)
    match = TEXT_LAYER.fullmatch(key)
    return _address("text", match) if match else None


def _address(part: Part, match: re.Match[str]) -> Address:
    return Address(part, match["layer"], ROLES[match["factor"]])


def _claims_processors(keys: Sequence[str]) -> bool:
    return any(PROCESSOR.fullmatch(key) or TEXT_PROCESSOR.fullmatch(key) for key in keys)


def _claims_layers(keys: Sequence[str]) -> bool:
    return not _claims_processors(keys) and any(old_address(key) for key in keys)


PROCESSORS = Grammar(
    "attn-procs",
    "attention processors of diffusers",
    _claims_processors,
    read,
    write_processors,
)
LAYERS = Grammar("diffusers", "layers of diffusers", _claims_layers, read, write_layers)
