"""The parts of low-rank adaptation that sit on one layer: the two factors, the hook, the merge.

Paper: LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685, Sec. 4.1.
Notation: W_0 (d, k) the frozen weight, A (r, k), B (d, r), α = alpha, ΔW = s (α / r) B A. s is the
multiplier of `set_scale`, 1 at first. Sec. 4.1 states the factor α / r below Eq. 3; r = α drops it.

Each adapted layer gets a child module `lora` with one `Update` per adapter, and a forward hook
that adds their outputs. Layers stay the same objects and base weights keep their names, so that
DDP, FSDP, checkpointing, torch.func and autocast see ordinary parameters. A layer must be called
as a module: code that reads `layer.weight` sees W_0, or the merged weight after a merge.
Orders: plain differentiable operations, so every order, in reverse and in forward mode.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from latentgeo.kernels.wiring.dispatch import autocasting

Layer = nn.Linear | nn.Conv2d


class Update(nn.Module):
    """The two factors of one layer's ΔW. B starts at 0, so an update starts as nothing at all."""

    def __init__(self, layer: Layer, rank: int, alpha: float | None) -> None:
        super().__init__()
        self.rank = rank
        self.alpha = alpha
        self.multiplier = 1.0
        self.merged = False
        self.A: Layer
        self.B: Layer
        if isinstance(layer, nn.Conv2d):
            self.A = nn.Conv2d(
                layer.in_channels,
                rank,
                cast(tuple[int, int], layer.kernel_size),
                stride=cast(tuple[int, int], layer.stride),
                padding=cast(tuple[int, int], layer.padding),
                dilation=cast(tuple[int, int], layer.dilation),
                padding_mode=layer.padding_mode,
                bias=False,
            )
            self.B = nn.Conv2d(rank, layer.out_channels, 1, bias=False)
        else:
            self.A = nn.Linear(layer.in_features, rank, bias=False)
            self.B = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.kaiming_uniform_(self.A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.B.weight)

    @property
    def scale(self) -> float:
        """The factor s α / r."""
        return self.multiplier * (1.0 if self.alpha is None else self.alpha / self.rank)

    def forward(self, x: Tensor) -> Tensor:
        """Return ΔW x, (..., d) of x (..., k), or (B, d, H, W) of an image (B, k, H, W).

        LoRA Eq. 3   h = W_0 x + ΔW x = W_0 x + B A x; this is the second term, times s α / r
        """
        if not autocasting(x.device):  # which casts as it needs to
            x = x.to(self.A.weight.dtype)
        update = self.B(self.A(x))
        return update if self.scale == 1 else self.scale * update

    def weight(self) -> Tensor:
        """Return ΔW in the shape of the layer's weight, (d, k) or (d, k, kh, kw).

        Smooth Eq. 6   W_0 + ΔW = W_0 + B A; a convolution's A is flattened to (r, in · kh · kw)
        """
        delta = self.B.weight.flatten(1) @ self.A.weight.flatten(1)
        return self.scale * delta.unflatten(1, self.A.weight.shape[1:])


class Updates(nn.ModuleDict):
    """The updates of one layer by adapter name, and W_0 while some of them are merged into it."""

    base: Tensor | None

    def __init__(self, handle: RemovableHandle) -> None:
        super().__init__()
        self.handle = handle
        self.register_buffer("base", None, persistent=False)


def add_updates(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Return W_0 x plus every update that is not merged: the forward hook.

    LoRA Eq. 3   h = W_0 x + B A x, summed over the adapters

    Shapes are those of the layer. Raises RuntimeError if it was called with anything but x.
    """
    if len(args) != 1:
        raise RuntimeError("a layer with LoRA takes its input as the one positional argument")
    for name in updates_of(layer):
        update = update_of(layer, name)
        if not update.merged:
            output = output + update(args[0]).to(output.dtype)
    return output


def add_update(layer: Layer, name: str, update: Update) -> None:
    """Put one more update on the layer, and the hook with the first."""
    if not hasattr(layer, "lora"):
        layer.lora = Updates(layer.register_forward_hook(add_updates))
    updates_of(layer)[name] = update.to(layer.weight.device)


def remove_update(layer: Layer, name: str) -> None:
    """Take an update off the layer, and the hook with the last; the weight is W_0 plus the rest."""
    updates = updates_of(layer)
    update_of(layer, name).merged = False
    write_weight(layer)
    del updates[name]
    if not len(updates):
        updates.handle.remove()
        del layer.lora


@torch.no_grad()
def write_weight(layer: Layer) -> None:
    """Set the weight to W_0 plus the merged updates, and keep W_0 as long as there are any."""
    updates = updates_of(layer)
    every = [update_of(layer, name) for name in updates]
    merged = [update for update in every if update.merged]
    if merged and updates.base is None:
        updates.base = layer.weight.detach().clone()
    if updates.base is not None:
        total = updates.base
        for update in merged:
            total = total + update.weight()
        layer.weight.copy_(total)
    if not merged:
        updates.base = None


def updates_of(layer: nn.Module) -> Updates:
    """Return the layer's updates."""
    return cast(Updates, layer.lora)


def update_of(layer: nn.Module, name: str) -> Update:
    """Return the layer's update of that adapter."""
    return cast(Update, updates_of(layer)[name])
