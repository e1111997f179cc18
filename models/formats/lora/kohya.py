"""LoRA as kohya's scripts write it: `lora_unet_<layer>.lora_down.weight`, `lora_up`, `alpha`.

The layer's name has `_` for every `.`, so that it can be told only by the layers there are; in the
UNet it is diffusers' name or Latent Diffusion's (`input_blocks_1_1_…`). Text layers are
`lora_te_text_model_<layer>`. Convolutions are adapted too. α is a tensor of one number per layer,
and the rank where it is missing.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from latentgeo.models.formats.lora.adapter import Factors, Lora, Part, Places
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

UNET, TEXT = "lora_unet_", "lora_te_"
ROLES: dict[str, Role] = {"lora_down.weight": "A", "lora_up.weight": "B", "alpha": "alpha"}
XL = ("lora_te1_", "lora_te2_")


def read(tensors: Tensors, metadata: Notes, places: Places) -> Lora:
    """Return the LoRA in a file of kohya's scripts, in either layout of the UNet's names.

    Raises ValueError for unknown keys, and for a LoRA on two text encoders.
    """
    if any(key.startswith(XL) for key in tensors):
        raise ValueError("the LoRA is on two text encoders (lora_te1_, lora_te2_): it is for SDXL")
    table = _table(places)

    def address(key: str) -> Address | None:
        stem, _, end = key.partition(".")
        if stem not in table or end not in ROLES:
            return None
        part, layer = table[stem]
        return Address(part, layer, ROLES[end])

    parts = gathered(tensors, address)
    return Lora(unet=parts["unet"], text=parts["text"], notes=other_notes(metadata))


def writer(ldm: bool) -> Callable[[Lora, Places], Written]:
    """Return the writer of one layout of the UNet's names: Latent Diffusion's, or diffusers'."""

    def write(lora: Lora, places: Places) -> Written:
        cannot_say("kohya", no_tokens(lora))
        tensors = {}
        for part, layer, factors in lora:
            stem = _stem(part, places.ldm[layer] if ldm and part == "unet" else layer)
            tensors[f"{stem}.lora_down.weight"] = factors.A
            tensors[f"{stem}.lora_up.weight"] = factors.B
            tensors[f"{stem}.alpha"] = _alpha(factors)
        return tensors, {"format": "pt", **lora.notes}

    return write


def _table(places: Places) -> dict[str, tuple[Part, str]]:
    """Return the layer behind every name that a file can have for it."""
    table: dict[str, tuple[Part, str]] = {
        _stem("text", layer): ("text", layer) for layer in places.text
    }
    for layer, theirs in places.ldm.items():
        table[_stem("unet", layer)] = table[_stem("unet", theirs)] = ("unet", layer)
    return table


def _stem(part: Part, layer: str) -> str:
    return (UNET + layer if part == "unet" else f"{TEXT}text_model_{layer}").replace(".", "_")


def _alpha(factors: Factors) -> Tensor:
    """Return α as a tensor in the factors' dtype, or in float32 where that would round it."""
    alpha = float(factors.rank if factors.alpha is None else factors.alpha)
    same = torch.tensor(alpha, dtype=factors.A.dtype)
    return same if float(same) == alpha else torch.tensor(alpha, dtype=torch.float32)


def _claims(keys: Sequence[str]) -> bool:
    return any(key.startswith((UNET, TEXT, *XL)) for key in keys)


GRAMMAR = Grammar("kohya", "kohya, with diffusers' block names", _claims, read, writer(False))
LDM_BLOCKS = Grammar(
    "kohya-ldm", "kohya, with Latent Diffusion's block names", _claims, read, writer(True)
)
