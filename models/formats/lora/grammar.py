"""What the five grammars of LoRA files share: an address for every key, factors from addresses."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from latentgeo.models.formats.files.strict import SHOWN, refuse
from latentgeo.models.formats.lora.adapter import PARTS, Factors, Lora, Part, Places

BUNDLED = re.compile(r"bundle_emb\.(?P<token>[^.]+)\.")  # then `string_to_param.*`
Role = Literal["A", "B", "alpha"]
Tensors = Mapping[str, Tensor]
Notes = Mapping[str, str]
Written = tuple[dict[str, Tensor], dict[str, str]]  # tensors and metadata of a file


@dataclass(frozen=True)
class Address:
    """What a key of a file is about."""

    part: Part
    layer: str  # by our name
    role: Role


@dataclass(frozen=True)
class Grammar:
    """One way to write a LoRA down."""

    name: str  # as commands name it
    title: str
    claims: Callable[[Sequence[str]], bool]  # whether a file with these keys is written so
    read: Callable[[Tensors, Notes, Places], Lora]
    write: Callable[[Lora, Places], Written]  # ValueError says what it has no words for


def gathered(
    tensors: Tensors, address: Callable[[str], Address | None]
) -> dict[Part, dict[str, Factors]]:
    """Return the factors by network and layer, α from the file's own tensors where it has them.

    Raises ValueError that lists the keys without an address, and the layers without both factors.
    """
    found: dict[tuple[Part, str], dict[Role, Tensor]] = {}
    said = []
    for key, tensor in tensors.items():
        at = address(key)
        if at is None:
            said.append(f"unknown key {key}")
            continue
        roles = found.setdefault((at.part, at.layer), {})
        if at.role in roles:
            said.append(f"{key} says {at.part} {at.layer} a second time")
        roles[at.role] = tensor
    parts: dict[Part, dict[str, Factors]] = {part: {} for part in PARTS}
    for (part, layer), roles in found.items():
        try:
            parts[part][layer] = _factors(roles)
        except ValueError as error:
            said.append(f"{part} {layer}: {error}")
    refuse("the LoRA", said)
    return parts


def _factors(roles: Mapping[Role, Tensor]) -> Factors:
    missing = [role for role in ("A", "B") if role not in roles]
    if missing:
        raise ValueError(f"factor {' and '.join(missing)} is missing")
    alpha = roles.get("alpha")
    if alpha is not None and alpha.numel() != 1:
        raise ValueError(f"α has shape {tuple(alpha.shape)}, wanted one number")
    if alpha is not None and (alpha.is_complex() or alpha.dtype is torch.bool):
        raise ValueError(f"α is {alpha.dtype}, wanted a number")
    return Factors(roles["A"], roles["B"], None if alpha is None else float(alpha))


def bundled(tensors: Tensors) -> dict[str, Tensor]:
    """Return the learned tokens that lie beside the factors of any grammar, as webui has them.

    Raises ValueError for a token of several tensors: two encoders', which SDXL has.
    """
    tokens: dict[str, Tensor] = {}
    for key in tensors:
        if match := BUNDLED.match(key):
            if match["token"] in tokens:
                raise ValueError(
                    f"{key} is a second tensor of its token, wanted one, not SDXL's two"
                )
            tokens[match["token"]] = tensors[key]
    return tokens


def cannot_say(grammar: str, reasons: Sequence[str]) -> None:
    """Raise ValueError if a grammar has no words for something, with the reasons."""
    if reasons:
        raise unsayable(grammar, reasons)


def unsayable(grammar: str, reasons: Sequence[str]) -> ValueError:
    """Return the error for a LoRA that a grammar has no words for."""
    more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    return ValueError(f"{grammar} cannot say this LoRA: {'; '.join(reasons[:SHOWN])}{more}")


def no_tokens(lora: Lora) -> list[str]:
    """Return the reason why a grammar without learned tokens cannot say a LoRA with them."""
    return (
        [f"it has no place for the learned tokens {', '.join(lora.tokens)}"] if lora.tokens else []
    )


def no_alphas(lora: Lora) -> list[str]:
    """Return the reasons why a grammar without α, where the scale is 1, cannot say a LoRA."""
    return [
        f"it has no α, and {part} {layer} has α = {factors.alpha:g} at rank {factors.rank} "
        "(fold it into B first)"
        for part, layer, factors in lora
        if factors.alpha is not None
    ]


def other_notes(metadata: Notes, own: Sequence[str] = ("format",)) -> dict[str, str]:
    """Return what a file's metadata say besides what its grammar makes of it."""
    return {key: text for key, text in metadata.items() if key not in own}
