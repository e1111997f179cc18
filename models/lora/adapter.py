"""Low-rank adapters on a model: attach, scale, merge, detach, and their files.

Papers: LoRA, arXiv 2106.09685, Sec. 4.1; Smooth Diffusion, arXiv 2312.04410, Sec. 3.1. The
equations are in `lora_layer`. One model can hold several adapters, each with a name; their updates
add up. Base weights are frozen while there is one, and are untouched after the last is detached.
Files: safetensors with the keys of PEFT, as diffusers writes them: `unet.<layer>.lora_A.weight`.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.formats.files.strict import no_weight, refuse
from latentgeo.models.lora.file import describe, read_lora
from latentgeo.models.lora.layer import (
    Layer,
    Update,
    add_update,
    remove_update,
    update_of,
    updates_of,
    write_weight,
)
from latentgeo.models.lora.peft import Alpha, stored_alpha
from latentgeo.models.lora.targets import (
    Target,
    adapter_prefixes,
    check_layer,
    freeze,
    layers,
    matching,
    unfreeze,
)

DEFAULT = "default"  # name of an adapter that is given none
RESERVED = ("base", "handle")  # attributes of `Updates`
KEY = re.compile(r"(?P<layer>.+)\.lora_(?P<factor>[AB])\.weight")
# The four projections of each self- and cross-attention of a UNet: what Smooth Diffusion adapts
ATTENTION = re.compile(r"(.*\.)?attn[12]\.to_([qkv]|out\.0)")


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """What was attached: the name, the layers with their ranks, α (None is each layer's rank)."""

    name: str
    ranks: dict[str, int]  # by the name of the layer
    alpha: Alpha


def attach(
    model: nn.Module,
    rank: int = 8,
    alpha: float | None = None,
    targets: Target | Iterable[Target] = ATTENTION,
    name: str = DEFAULT,
    freeze_base: bool = True,
    dtype: torch.dtype | None = None,
) -> Adapter:
    """Add an adapter to the layers that `targets` match; the model's output does not change yet.

    LoRA Sec. 4.1   h = W_0 x + (α / r) B A x, A random, B = 0 at first

    A string target is a glob ("*.conv1"), a compiled one a regular expression for the full name.
    `alpha` None is the rank, `dtype` None the layer's. `freeze_base` stops the gradients of all
    other parameters until the last adapter is detached. A is drawn from torch's global generator.
    Raises ValueError on a bad rank, α or name, on a target that matches nothing, on grouped layers.
    """
    wanted = [targets] if isinstance(targets, str | re.Pattern) else [*targets]
    names = [name for target in wanted for name in matching(model, target)]
    if not names:
        raise ValueError("targets is empty, wanted at least one name pattern")
    return install(model, dict.fromkeys(names, rank), alpha, name, freeze_base, dtype)


def set_scale(model: nn.Module, name: str, s: float) -> None:
    """Multiply the adapter's α / r by s: 1 as trained, 0 off, between and beyond at will.

    Raises ValueError for an s that is not finite, and where there is no such adapter.
    """
    if not math.isfinite(s):
        raise ValueError(f"scale is {s}, wanted a finite number")
    for layer, update in updated(model, name).values():
        update.multiplier = float(s)
        write_weight(layer)


def detach(model: nn.Module, name: str = DEFAULT) -> None:
    """Remove the adapter. After the last one the model is bit for bit what it was."""
    for layer, _ in updated(model, name).values():
        remove_update(layer, name)
    if not adapters(model):
        unfreeze(model)


def merge(model: nn.Module, name: str = DEFAULT) -> None:
    """Put ΔW into the layers' weights: the output up to rounding, at no cost per call.

    Smooth Eq. 6   W ← W_0 + B A. W_0 is kept for `unmerge`; a merged adapter gets no gradient.
    """
    for layer, update in updated(model, name).values():
        update.merged = True
        write_weight(layer)


def unmerge(model: nn.Module, name: str = DEFAULT) -> None:
    """Undo `merge` exactly, by the W_0 it kept."""
    for layer, update in updated(model, name).values():
        update.merged = False
        write_weight(layer)


@torch.no_grad()
def fuse(model: nn.Module, name: str = DEFAULT) -> None:
    """Make ΔW part of W_0 for good, and remove the adapter: `detach` no longer brings W_0 back."""
    for layer, update in updated(model, name).values():
        base = updates_of(layer).base
        (layer.weight if base is None else base).add_(update.weight())
    detach(model, name)


def adapters(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the model's adapters, in the order of attachment."""
    every = (updates_of(layer) for layer in layers(model).values() if hasattr(layer, "lora"))
    return tuple(dict.fromkeys(name for updates in every for name in updates))


def lora_parameters(model: nn.Module, name: str = DEFAULT) -> list[nn.Parameter]:
    """Return the adapter's A and B of every layer: what its optimizer gets."""
    return [p for _, update in updated(model, name).values() for p in update.parameters()]


def base_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict without the adapters' entries: the names of the model without LoRA."""
    inside = adapter_prefixes(model)
    return {key: t for key, t in model.state_dict().items() if not key.startswith(inside)}


def lora_state(model: nn.Module, name: str = DEFAULT, prefix: str = "unet") -> dict[str, Tensor]:
    """Return `<prefix>.<layer>.lora_A.weight` (r, k, ...) and `.lora_B.weight` (d, r, ...)."""
    start = f"{prefix}." if prefix else ""
    return {
        f"{start}{layer}.lora_{factor}.weight": module.weight.detach()
        for layer, (_, update) in updated(model, name).items()
        for factor, module in (("A", update.A), ("B", update.B))
    }


@torch.no_grad()
def load_lora_state(
    model: nn.Module, state: Mapping[str, Tensor], name: str = DEFAULT, prefix: str = "unet"
) -> None:
    """Copy `state` into an attached adapter.

    Raises ValueError that names the unknown keys, the missing keys and the shapes that differ.
    """
    own = lora_state(model, name, prefix)
    problems = [f"unknown {key}" for key in state if key not in own]
    problems += [f"missing {key}" for key in own if key not in state]
    problems += [
        f"{key} got {tuple(state[key].shape)} wanted {tuple(tensor.shape)}"
        for key, tensor in own.items()
        if key in state and state[key].shape != tensor.shape
    ]
    refuse(f"the state of adapter {name!r}", problems)
    for key, tensor in own.items():
        tensor.copy_(state[key])
    for layer, _ in updated(model, name).values():
        write_weight(layer)


def attach_state(
    model: nn.Module,
    state: Mapping[str, Tensor],
    alpha: Alpha = None,
    name: str = DEFAULT,
    prefix: str = "unet",
) -> Adapter:
    """Attach an adapter to just the layers that `state` names, each with its rank, and load it.

    Other parameters get no gradient until the last adapter is detached.
    Raises ValueError, leaving the model as it was, if the state does not fit it.
    """
    ranks = ranks_in(state, layers(model), prefix)
    adapter = install(model, ranks, alpha, name, freeze_base=False, dtype=None)
    try:
        load_lora_state(model, state, name, prefix)
    except ValueError:
        detach(model, name)
        raise
    freeze(model)
    return adapter


def ranks_in(
    state: Mapping[str, Tensor], known: Mapping[str, Layer], prefix: str
) -> dict[str, int]:
    """Return the rank of each layer that a state names; ValueError lists what is no factor."""
    start, ranks, problems = f"{prefix}." if prefix else "", {}, []
    for key, tensor in state.items():
        match = KEY.fullmatch(key.removeprefix(start)) if key.startswith(start) else None
        if match is None or match["layer"] not in known:
            problems.append(f"unknown {key}")
        elif fault := no_weight(key, tensor.dtype):
            problems += fault
        elif match["factor"] == "A":
            ranks[match["layer"]] = tensor.shape[0]
    if not ranks:
        problems.append(f"no key of the form {start}<layer>.lora_A.weight")
    refuse("the LoRA", problems)
    return ranks


def save_lora(
    path: Path | str,
    model: nn.Module,
    name: str = DEFAULT,
    prefix: str = "unet",
    notes: Mapping[str, str] | None = None,
) -> Path:
    """Write the adapter with its rank and α, atomically; `notes` (the base's hash, ...) go along.

    The multiplier of `set_scale` is not stored. diffusers reads the same file with the same scale.
    """
    updates = {layer: update for layer, (_, update) in updated(model, name).items()}
    ranks = {layer: update.rank for layer, update in updates.items()}
    alphas = {layer: update.alpha for layer, update in updates.items()}
    alpha = next(iter(alphas.values())) if len(set(alphas.values())) == 1 else alphas
    metadata = {**(notes or {}), **describe(ranks, alpha, prefix)}
    return write_safetensors(path, lora_state(model, name, prefix), metadata)


def load_lora(
    model: nn.Module, path: Path | str, name: str = DEFAULT, prefix: str = "unet"
) -> Adapter:
    """Attach the adapter that a file of `save_lora` holds; its A and B are trainable.

    SmoothS Sec. B   the model may be another than it was trained on, of the same architecture

    Raises FileNotFoundError or ValueError that names the file, the latter if it does not fit.
    """
    state, metadata = read_lora(path)
    try:
        alpha = stored_alpha(metadata, prefix, ranks_in(state, layers(model), prefix))
        return attach_state(model, state, alpha, name, prefix)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def install(
    model: nn.Module,
    ranks: dict[str, int],
    alpha: Alpha,
    name: str,
    freeze_base: bool,
    dtype: torch.dtype | None,
) -> Adapter:
    """Add an adapter to the named layers, each with its rank, after checking all of them."""
    found = layers(model)
    alphas = alpha if isinstance(alpha, Mapping) else dict.fromkeys(ranks, alpha)
    check_adapter(model, name, alphas)
    for key, rank in ranks.items():
        check_layer(key, found[key], rank)
    if freeze_base:
        freeze(model)
    for key, rank in ranks.items():
        update = Update(found[key], rank, alphas.get(key)).to(dtype or found[key].weight.dtype)
        add_update(found[key], name, update)
    return Adapter(name=name, ranks=dict(ranks), alpha=alpha)


def check_adapter(model: nn.Module, name: str, alphas: Mapping[str, float | None]) -> None:
    """Raise ValueError on a name that is taken or no module name, and on an α that is no scale."""
    if not name or "." in name or hasattr(nn.ModuleDict(), name) or name in RESERVED:
        raise ValueError(f"adapter name {name!r}: wanted a name without dots, no word of nn.Module")
    if name in adapters(model):
        raise ValueError(f"adapter {name!r} is already attached; detach it, or choose another name")
    for alpha in alphas.values():
        if alpha is not None and not (math.isfinite(alpha) and alpha > 0):
            raise ValueError(f"alpha is {alpha}, wanted a finite number above 0, or None: the rank")


def updated(model: nn.Module, name: str) -> dict[str, tuple[Layer, Update]]:
    """Return the adapter's layers and updates by layer name; ValueError if there is none."""
    found = {
        key: (layer, update_of(layer, name))
        for key, layer in layers(model).items()
        if hasattr(layer, "lora") and name in updates_of(layer)
    }
    if not found:
        raise ValueError(f"no adapter {name!r}; the model has {[*adapters(model)]}")
    return found
