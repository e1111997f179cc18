"""Attention as it is timed: its sizes, where its operands lie in memory, its masks.

Notation   B samples, H heads of d numbers, N rows of queries, M of keys
Layout     tokens-first, (B, N, H, d) in memory, is what the models' projections make; heads-first
           is (B, H, N, d). Both have the shape (B, H, N, d)
Masks      bool or additive, (1, 1, N, M), which all samples and heads share; the fourth operand
"""

from __future__ import annotations

from functools import partial
from typing import Final

import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from latentgeo.kernels.attention.op import attention
from latentgeo.kernels.bench.operators import Heads, Operator

TOKENS_FIRST: Final = "tokens-first"
HEADS_FIRST: Final = "heads-first"


def self_attention(
    rows: int,
    width: int,
    heads: int,
    batch: int,
    causal: bool = False,
    mask: str | None = None,
    layout: str = TOKENS_FIRST,
) -> Operator:
    """Return attention of N rows to themselves, differentiated in q, k and v."""
    size = Heads(
        batch=batch,
        heads=heads,
        rows=rows,
        columns=rows,
        width=width,
        causal=causal,
        mask=mask,
    )
    return attention_of(size, layout)


def cross_attention(
    rows: int,
    columns: int,
    width: int,
    heads: int,
    batch: int,
    mask: str | None = None,
    layout: str = TOKENS_FIRST,
) -> Operator:
    """Return attention of N rows to M tokens of text, which have gradients and no tangents."""
    size = Heads(batch=batch, heads=heads, rows=rows, columns=columns, width=width, mask=mask)
    return attention_of(size, layout, moved=1)


def attention_of(size: Heads, layout: str = TOKENS_FIRST, moved: int = 3) -> Operator:
    """Return attention of a size and a layout, of which the first `moved` of q, k, v move."""
    q = (size.batch, size.heads, size.rows, size.width)
    k = (size.batch, size.heads, size.columns, size.width)
    mask = () if size.mask is None else ((1, 1, size.rows, size.columns),)
    return Operator(
        name=_name(size, layout),
        shapes=(q, k, k, *mask),
        result=q,
        trained=3,
        moved=moved,
        ours=partial(attention, causal=size.causal),
        plain=partial(sdpa, SDPBackend.MATH, causal=size.causal),
        plain_name="sdpa-math",
        attention=size,
        mask=size.mask,
        laid=tokens_first if layout == TOKENS_FIRST else Tensor.contiguous,
    )


def _name(size: Heads, layout: str) -> str:
    words = [
        "attention-causal" if size.causal else "attention",
        f"{size.rows}x{size.columns}-d{size.width}-h{size.heads}-b{size.batch}",
        *(() if size.mask is None else (size.mask,)),
        *(() if layout == TOKENS_FIRST else (layout,)),
    ]
    return "-".join(words)


def tokens_first(x: Tensor) -> Tensor:
    """Return x (B, H, N, d) with tokens first in memory."""
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def sdpa(
    backend: SDPBackend,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
) -> Tensor:
    """Return PyTorch's attention (B, H, N, d) by one implementation, or raise `RuntimeError`."""
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)
