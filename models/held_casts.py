"""Weights under autocast: frozen ones are cast once, those that are trained once a pass, together.

Autocast casts a frozen weight at every use, and one that is trained by a launch of its own, and
another in the backward pass. Of a frozen UNet with a LoRA that is a third of a step's launches and
more than half of the bytes that it moves.

Notation  w_i the weights that are trained; in one pass they are views of 16-bit (w_1, w_2, …)
Orders    those of PyTorch's cat, to and split: any
Memory    a frozen weight is there twice, as it is and in 16 bits
Limits    a frozen weight that is changed in place is cast anew. Weights and their names stay
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.core.dual import Dual
from latentgeo.kernels.wiring.dispatch import autocasting

Layer = nn.Linear | nn.Conv2d


class HeldCasts:
    """A network's layers, which from now on take their weights from here where autocast is on."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        """Cast what is frozen to autocast's dtype."""
        layers = [module for module in network.modules() if isinstance(module, Layer)]
        self.dtype, self.current = dtype, dict[nn.Module, Tensor]()
        self.updated = [x for x in layers if x.weight.requires_grad and x.bias is None]
        for layer in layers:
            if not layer.weight.requires_grad:
                vars(layer)["forward"] = _Frozen(layer, dtype)  # before that of its class
        for layer in self.updated:
            vars(layer)["forward"] = _Updated(layer, self.current)

    @contextmanager
    def of_a_pass(self) -> Iterator[None]:
        """Cast what is trained, a LoRA's factors above all, for the passes in a `with` block."""
        weights = [layer.weight for layer in self.updated]
        if weights:
            whole = torch.cat([weight.reshape(-1) for weight in weights]).to(self.dtype)
            parts = whole.split([weight.numel() for weight in weights])
            for layer, weight, part in zip(self.updated, weights, parts, strict=True):
                self.current[layer] = part.view(weight.shape)
        try:
            yield
        finally:
            self.current.clear()


class _Frozen:
    """A frozen layer's forward pass, in the place of its own method."""

    def __init__(self, layer: Layer, dtype: torch.dtype) -> None:
        self.layer = layer
        self.casts, self.versions = self._made(dtype), self._versions()

    def __call__(self, x: Tensor) -> Tensor:
        layer = self.layer
        if not autocasting(x.device) or layer.weight.requires_grad:
            return _as_written(layer, x)
        dtype = torch.get_autocast_dtype(x.device.type)
        if self.casts[0].dtype != dtype or self.versions != self._versions():
            self.casts, self.versions = self._made(dtype), self._versions()
        weight, bias = self.casts
        return _run(layer, x, weight, layer.bias if isinstance(x, Dual) else bias)  # added last

    def _made(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        weight, bias = self.layer.weight, self.layer.bias
        return weight.detach().to(dtype), None if bias is None else bias.detach().to(dtype)

    def _versions(self) -> tuple[object, ...]:
        """Return what changes when a weight does: where it is, and how often it was written to."""
        weights = self.layer.weight, self.layer.bias
        return tuple((id(x), x.device, x._version) for x in weights if x is not None)


class _Updated:
    """A trained layer's forward pass, in the place of its own method."""

    def __init__(self, layer: Layer, current: dict[nn.Module, Tensor]) -> None:
        self.layer, self.current = layer, current

    def __call__(self, x: Tensor) -> Tensor:
        weight = self.current.get(self.layer)
        if weight is None or not autocasting(x.device):
            return _as_written(self.layer, x)
        return _run(self.layer, x, weight, None)


def _as_written(layer: Layer, x: Tensor) -> Tensor:
    forward: Any = type(layer).forward
    y: Tensor = forward(layer, x)
    return y


def _run(layer: Layer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    return layer._conv_forward(x, weight, bias)
