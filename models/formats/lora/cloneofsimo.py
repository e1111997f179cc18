"""LoRA as cloneofsimo's `lora` writes it: `unet:N:up`, `unet:N:down`, `text_encoder:N:…`.

N counts the layers in the order in which the networks were made at the time, so that a file covers
all layers of a kind or none; the kinds and the ranks stand in the metadata. In the UNet: the way
down, the way up, then the bottleneck; in a transformer block the first attention, the GEGLU, the
second attention; in an attention q, k, v, out. In the text encoder an attention goes k, v, q, out.
That this is the order is seen from the shapes of published files. There is no α: the scale is 1.
Learned tokens lie beside the factors under their own names, marked in the metadata.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from latentgeo.models.formats.lora.adapter import PARTS, Factors, Lora, Part, Places
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
    other_notes,
    unsayable,
)

KEY = re.compile(r"(?P<part>unet|text_encoder):(?P<index>\d+):(?P<factor>up|down)")
RANK = re.compile(r"(unet|text_encoder):\d+:rank")
EMBEDDING = "<embed>"  # what the metadata say of a learned token
NAMES: dict[Part, str] = {"unet": "unet", "text": "text_encoder"}
ROLES: dict[str, Role] = {"down": "A", "up": "B"}
ATTENTION, GATE, TEXT_ATTENTION = ("CrossAttention", "Attention"), "GEGLU", "CLIPAttention"
KINDS: dict[Part, tuple[tuple[str, ...], ...]] = {  # what a file can be on, as it says so
    "unet": ((*ATTENTION, GATE), ATTENTION, (GATE,)),
    "text": ((TEXT_ATTENTION,),),
}


def read(tensors: Tensors, metadata: Notes, places: Places) -> Lora:
    """Return the LoRA and the learned tokens that a file holds."""
    orders = {part: _order(part, _kinds(part, metadata), places) for part in PARTS}
    tokens = {name: tensors[name] for name in tensors if metadata.get(name) == EMBEDDING}
    factors = {name: tensor for name, tensor in tensors.items() if name not in tokens}
    for part in PARTS:
        _check(part, factors, metadata, orders[part])

    def address(key: str) -> Address | None:
        match = KEY.fullmatch(key)
        if match is None:
            return None
        part: Part = "unet" if match["part"] == "unet" else "text"
        return Address(part, orders[part][int(match["index"])], ROLES[match["factor"]])

    parts = gathered(factors, address)
    own = ["format", *NAMES.values(), *tokens, *(key for key in metadata if RANK.fullmatch(key))]
    notes = other_notes(metadata, own)
    return Lora(unet=parts["unet"], text=parts["text"], tokens=tokens, notes=notes)


def write(lora: Lora, places: Places) -> Written:
    """Return the tensors and metadata of a file."""
    cannot_say("cloneofsimo", no_alphas(lora))
    tensors: dict[str, Tensor] = dict(lora.tokens)
    metadata = {**lora.notes, **dict.fromkeys(lora.tokens, EMBEDDING)}
    for part in PARTS:
        found = lora.part(part)
        if not found:
            continue
        kinds = _kinds_of(part, found, places)
        metadata[NAMES[part]] = json.dumps(kinds)
        for i, layer in enumerate(_order(part, kinds, places)):
            stem = f"{NAMES[part]}:{i}"
            tensors |= {f"{stem}:down": found[layer].A, f"{stem}:up": found[layer].B}
            metadata[f"{stem}:rank"] = str(found[layer].rank)
    return tensors, metadata


def _kinds(part: Part, metadata: Notes) -> Sequence[str]:
    """Return the kinds of layers that a file says it is on."""
    text = metadata.get(NAMES[part], "[]")
    try:
        kinds = json.loads(text)
        known = {kind for kinds in KINDS[part] for kind in kinds}
        unknown = sorted(map(str, set(kinds) - known))
    except (ValueError, TypeError, RecursionError):
        raise ValueError(f"its metadata say {text!r} of {NAMES[part]}, wanted a list") from None
    if unknown:
        raise ValueError(
            f"it is on {', '.join(unknown)} of {NAMES[part]}, whose order in a file is not known "
            f"here, only that of {', '.join(sorted(known))}"
        )
    return list(kinds)


def _kinds_of(part: Part, found: Mapping[str, Factors], places: Places) -> list[str]:
    """Return the kinds whose layers these are; ValueError where a kind has not all of them."""
    for kinds in KINDS[part]:
        order = _order(part, kinds, places)
        if set(order) == set(found):
            return list(kinds)
    most = set(_order(part, KINDS[part][0], places))
    strange = [layer for layer in found if layer not in most]
    if strange:
        only = "attentions and GEGLUs" if part == "unet" else "attentions"
        reasons = [f"it numbers {only} only, and there is {part} {layer}" for layer in strange]
    else:
        missing = sorted(most - set(found))[0]
        reasons = [f"it numbers all layers of a kind, and {part} {missing} has no factors"]
    raise unsayable("cloneofsimo", reasons)


def _check(part: Part, factors: Tensors, metadata: Notes, order: Sequence[str]) -> None:
    """Raise unless the numbers in a file are those of its layers, and its ranks the stated ones."""
    name = NAMES[part]
    matches = [match for key in factors if (match := KEY.fullmatch(key)) and match["part"] == name]
    found = {int(match["index"]) for match in matches}
    if found != set(range(len(order))):
        raise ValueError(
            f"it numbers {len(found)} layers of {name} up to {max(found, default=-1)}, and a model "
            f"of this shape has {len(order)} of the kinds that it says"
        )
    for match in matches:
        stated = metadata.get(f"{name}:{match['index']}:rank")
        shape = factors[match.string].shape
        rank = shape[0 if match["factor"] == "down" else 1] if len(shape) > 1 else None
        if stated is not None and stated != str(rank):
            raise ValueError(f"{match.string} has rank {rank}, and the metadata say {stated}")


def _order(part: Part, kinds: Sequence[str], places: Places) -> list[str]:
    """Return the layers of these kinds in the order of a file."""
    if part == "text":
        count = places.config.text.layers if TEXT_ATTENTION in kinds else 0
        return [
            f"encoder.layers.{i}.self_attn.{to}_proj"
            for i in range(count)
            for to in ("k", "v", "q", "out")
        ]
    attends = any(kind in kinds for kind in ATTENTION)
    layers = []
    for block in _blocks(places):
        first, second = (
            [f"{block}.{attn}.{to}" for to in ("to_q", "to_k", "to_v", "to_out.0") if attends]
            for attn in ("attn1", "attn2")
        )
        layers += [*first, *[f"{block}.ff.net.0.proj"] * (GATE in kinds), *second]
    return layers


def _blocks(places: Places) -> Iterator[str]:
    """Yield the UNet's transformer blocks in the order of a file."""
    config = places.config.unet
    stages = [
        *((f"down_blocks.{i}", config.blocks) for i, on in enumerate(config.attention) if on),
        *(
            (f"up_blocks.{i}", config.blocks + 1)
            for i, on in enumerate(config.attention[::-1])
            if on
        ),
        ("mid_block", 1),
    ]
    for stage, count in stages:
        for j in range(count):
            for k in range(config.depth):
                yield f"{stage}.attentions.{j}.transformer_blocks.{k}"


def _claims(keys: Sequence[str]) -> bool:
    return any(KEY.fullmatch(key) for key in keys)


GRAMMAR = Grammar("cloneofsimo", "cloneofsimo's lora", _claims, read, write)
