"""Attention of a UNet, taken over for a while: who attends where, and what else it may attend to.

    def control(site, q, k, v):          # (B, heads, N, d) and twice (B, heads, M, d)
        return attention(q, k, v)        # what it replaces
    with controlled(sites(unet), control):
        unet(x, t, context)

A layer that nobody controls runs as if this file were not there.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from latentgeo.models.layers import Attention
from latentgeo.models.unet import UNet


@dataclass(frozen=True, eq=False)
class Site:
    """One attention of the UNet, by where it is."""

    layer: Attention
    cross: bool  # attends to the text; else to the image itself
    level: int  # how often the image has been halved there; 0 is the latent's own size
    decoder: int | None  # block of the way up, 0 the first and coarsest; None before

    def size(self, latent: tuple[int, int]) -> tuple[int, int]:
        """Return (h, w), h w = N, for latents of so many cells; odd sides are rounded up."""
        scale = 2**self.level
        return -(-latent[0] // scale), -(-latent[1] // scale)


Control = Callable[[Site, Tensor, Tensor, Tensor], Tensor]


def sites(unet: UNet) -> tuple[Site, ...]:
    """Return every attention of the UNet, in the order in which they run."""
    last = len(unet.config.channels) - 1
    found: list[Site] = []
    for level, stage in enumerate(unet.down_blocks):
        found += [one for block in _blocks(stage) for one in _sites(unet, block, level, None)]
    found += _sites(unet, unet.mid_block, last, None)
    for i, stage in enumerate(unet.up_blocks):
        for j, block in enumerate(_blocks(stage)):
            found += _sites(unet, block, last - i, i * (unet.config.blocks + 1) + j)
    return tuple(found)


@contextmanager
def controlled(places: Iterable[Site], control: Control) -> Iterator[None]:
    """Have `control` compute the attention of these places inside the `with`.

    Raises RuntimeError if one of them is controlled already.
    """
    chosen = tuple(places)
    if any(site.layer.control is not None for site in chosen):
        raise RuntimeError("an attention layer is controlled already: leave that `with` first")
    try:
        for site in chosen:
            site.layer.control = partial(control, site)
        yield
    finally:
        for site in chosen:
            site.layer.control = None


def probabilities(q: Tensor, k: Tensor) -> Tensor:
    """Return softmax(q kᵀ / √d) (B, heads, N, M) of q (B, heads, N, d), k (B, heads, M, d).

    LDM Sec. 3.3   the first factor of Attention(Q, K, V) = softmax(Q Kᵀ / √d) · V; 16-bit inputs
                   are computed in float32
    """
    wide = q.to(torch.promote_types(q.dtype, torch.float32))
    return (wide @ k.to(wide.dtype).mT * q.shape[-1] ** -0.5).softmax(-1)


def _blocks(stage: nn.Module) -> Iterable[nn.Module]:
    """The attention of each residual block of a stage; nothing where it has none."""
    return getattr(stage, "attentions", ())


def _sites(unet: UNet, block: nn.Module, level: int, decoder: int | None) -> list[Site]:
    reads = unet.config.context is not None
    return [
        Site(layer, reads and name.endswith("attn2"), level, decoder)
        for name, layer in block.named_modules()
        if isinstance(layer, Attention)
    ]
