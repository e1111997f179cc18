"""Which layers of a model an adapter changes, and which parameters it freezes meanwhile."""

import difflib
import fnmatch
import re

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from latentgeo.models.lora.layer import Layer, Updates

Target = str | re.Pattern[str]  # a glob, or a regular expression for the full name of a layer
FROZEN = "lora_frozen"  # attribute of the model: the parameters to make trainable again


def layers(model: nn.Module) -> dict[str, Layer]:
    """Return the linear and convolution layers by name, those of the adapters left out.

    Also left out is the output projection of nn.MultiheadAttention, which is never called.
    """
    inside = adapter_prefixes(model)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        and not isinstance(module, NonDynamicallyQuantizableLinear)
        and name
        and not name.startswith(inside)
    }


def matching(model: nn.Module, target: Target) -> list[str]:
    """Return the names of the layers a target matches; ValueError, with close names, if none."""
    text, pattern = (
        (target, re.compile(fnmatch.translate(target)))
        if isinstance(target, str)
        else (target.pattern, target)
    )
    names = [*layers(model)]
    found = [name for name in names if pattern.fullmatch(name)]
    if not found:
        close = difflib.get_close_matches(text, names, n=3, cutoff=0.4) or names[:3]
        raise ValueError(f"target {text!r} matches no linear or convolution layer; close: {close}")
    return found


def check_layer(key: str, layer: Layer, rank: int) -> None:
    """Raise ValueError if the layer cannot have an update of that rank."""
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(f"rank is {rank!r}, wanted a whole number of 1 or more")
    if isinstance(layer, nn.Conv2d) and layer.groups != 1:
        raise ValueError(f"layer {key!r} has {layer.groups} groups, wanted a convolution with 1")


def adapter_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Return what the names of the adapters' own modules and parameters begin with."""
    return tuple(f"{name}." for name, m in model.named_modules() if isinstance(m, Updates))


def freeze(model: nn.Module) -> None:
    """Stop the gradients of all parameters but the adapters', remembering which had them."""
    inside = adapter_prefixes(model)
    names = []
    for key, parameter in model.named_parameters():
        if parameter.requires_grad and not key.startswith(inside):
            parameter.requires_grad_(False)
            names.append(key)
    setattr(model, FROZEN, (*getattr(model, FROZEN, ()), *names))


def unfreeze(model: nn.Module) -> None:
    """Make the parameters trainable again that `freeze` stopped."""
    names = set(getattr(model, FROZEN, ()))
    for key, parameter in model.named_parameters():
        if key in names:
            parameter.requires_grad_(True)
    if hasattr(model, FROZEN):
        delattr(model, FROZEN)
