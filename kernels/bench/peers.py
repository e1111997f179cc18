"""Who is timed on a case: the operator, PyTorch's own, and packages that are installed.

sdpa-math            PyTorch's attention as a composition, the one that it differentiates twice
sdpa-flash           its FlashAttention: forward and backward
jvp-flash-attention  a package with attention and its JVP together: width a power of two, N = M
eager                PyTorch's operators in the place of a norm, gate, reduction or chart
"""

from __future__ import annotations

import importlib.util
from functools import partial
from typing import Final

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from latentgeo.kernels.bench.cases import Case
from latentgeo.kernels.bench.operators import Function, Heads, sdpa

OURS: Final = "latentgeo"
FLASH: Final = "sdpa-flash"
JVP_FLASH: Final = "jvp-flash-attention"
FLASH_ORDERS: Final = ("forward", "forward-backward")
JVP_WIDTHS: Final = (16, 32, 64, 128, 256)


def contenders(case: Case) -> dict[str, Function]:
    """Return who can run the case, by name, ours first."""
    operator = case.operator
    found = {OURS: operator.ours, operator.plain_name: operator.plain}
    size = operator.attention
    if size is None:
        return found
    if case.order in FLASH_ORDERS and case.dtype != torch.float32:
        found[FLASH] = partial(sdpa, SDPBackend.FLASH_ATTENTION, causal=size.causal)
    if case.order == "forward-jvp" and _jvp_flash_takes(size):
        found[JVP_FLASH] = partial(jvp_flash, causal=size.causal)
    return found


def jvp_flash(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> Tensor:
    """Return the package's attention (B, H, N, d), as it is to be called in torch.func.jvp."""
    from jvp_flash_attention.jvp_attention import JVPAttn

    y: Tensor = JVPAttn.fwd_dual(q, k, v, causal=causal)
    return y


def _jvp_flash_takes(size: Heads) -> bool:
    if importlib.util.find_spec("jvp_flash_attention") is None:
        return False
    return size.width in JVP_WIDTHS and size.rows == size.columns and size.rows % 32 == 0
