"""Who is timed on a case: the operator, PyTorch's own, and packages that are installed.

sdpa-math            PyTorch's attention as a composition, the one that it differentiates twice
sdpa-flash           its FlashAttention: forward and backward, 16 bits, no mask
sdpa-cudnn           cuDNN's: likewise, also masked
sdpa-efficient       its memory-efficient attention: forward and backward
flex-attention       its FlexAttention, compiled on a GPU: forward and backward
jvp-flash-attention  a package with attention and its JVP together: width a power of two, N = M
eager                PyTorch's operators one by one: the formula of attention, in all orders; what
                     is in the place of a norm, gate, reduction or chart
"""

from __future__ import annotations

import importlib.util
from functools import cached_property, partial
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from latentgeo.kernels.bench.attentions import sdpa
from latentgeo.kernels.bench.cases import Case
from latentgeo.kernels.bench.operators import Function, Heads

OURS: Final = "latentgeo"
FLASH: Final = "sdpa-flash"
CUDNN: Final = "sdpa-cudnn"
EFFICIENT: Final = "sdpa-efficient"
FLEX: Final = "flex-attention"
EAGER: Final = "eager"
JVP_FLASH: Final = "jvp-flash-attention"
ONCE: Final = ("forward", "forward-backward")  # orders of what is differentiated once
JVP_WIDTHS: Final = (16, 32, 64, 128, 256)


def contenders(case: Case) -> dict[str, Function]:
    """Return who can run the case, by name, ours first."""
    operator = case.operator
    found = {OURS: operator.ours, operator.plain_name: operator.plain}
    size = operator.attention
    if size is None:
        return found
    found[EAGER] = partial(composed, causal=size.causal)
    if case.order in ONCE:
        found |= _fused(size, half=case.dtype != torch.float32)
    if case.order == "forward-jvp" and _jvp_flash_takes(size):
        found[JVP_FLASH] = partial(jvp_flash, causal=size.causal)
    return found


def _fused(size: Heads, half: bool) -> dict[str, Function]:
    """Return PyTorch's fused attentions that take a size; of 16 bits they are all."""
    backends = {EFFICIENT: SDPBackend.EFFICIENT_ATTENTION}
    if half:
        backends[CUDNN] = SDPBackend.CUDNN_ATTENTION
    if half and size.mask is None:
        backends[FLASH] = SDPBackend.FLASH_ATTENTION
    names = [name for name in (FLASH, CUDNN, EFFICIENT) if name in backends]
    fused: dict[str, Function] = {
        name: partial(sdpa, backends[name], causal=size.causal) for name in names
    }
    return fused | {FLEX: Flex(size)}


def composed(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    """Return softmax(q kᵀ / √d + b) v (B, H, N, d), as it is written down."""
    s = q @ k.mT * q.shape[-1] ** -0.5
    if causal:
        past = torch.ones(s.shape[-2:], dtype=torch.bool, device=s.device).tril()
        s = s.masked_fill(~past, -torch.inf)
    if mask is not None:
        s = s.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else s + mask
    return s.softmax(-1) @ v


class Flex:
    """PyTorch's FlexAttention of one size; what it skips by a mask is found once for a tensor."""

    def __init__(self, size: Heads) -> None:
        self.size = size
        self._blocks: tuple[Tensor | None, Any] | None = None  # a mask, and what it leaves

    @cached_property
    def _compiled(self) -> Any:
        from torch.nn.attention.flex_attention import flex_attention

        return torch.compile(flex_attention, dynamic=False)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return attention (B, H, N, d), compiled on a GPU."""
        from torch.nn.attention.flex_attention import flex_attention

        f = self._compiled if q.is_cuda else flex_attention
        added = None if mask is None or mask.dtype == torch.bool else mask
        score = None if added is None else lambda s, b, h, i, j: s + added[0, 0, i, j]
        y: Tensor = f(q, k, v, score_mod=score, block_mask=self._left(mask, q.device))
        return y

    def _left(self, mask: Tensor | None, device: torch.device) -> Any:
        """Return the blocks that a mask of bools, or a causal one, leaves; None for all."""
        from torch.nn.attention.flex_attention import create_block_mask

        if (mask is None or mask.dtype != torch.bool) and not self.size.causal:
            return None
        if self._blocks is None or self._blocks[0] is not mask:

            def attends(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
                return i >= j if mask is None else mask[0, 0, i, j]

            sizes = self.size.rows, self.size.columns
            self._blocks = mask, create_block_mask(attends, None, None, *sizes, device=device)
        return self._blocks[1]


def jvp_flash(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> Tensor:
    """Return the package's attention (B, H, N, d), as it is to be called in torch.func.jvp."""
    from jvp_flash_attention.jvp_attention import JVPAttn

    y: Tensor = JVPAttn.fwd_dual(q, k, v, causal=causal)
    return y


def _jvp_flash_takes(size: Heads) -> bool:
    if importlib.util.find_spec("jvp_flash_attention") is None:
        return False
    if size.mask is not None:
        return False
    return size.width in JVP_WIDTHS and size.rows == size.columns and size.rows % 32 == 0
