"""In which dtype numbers are summed and decomposed, whatever a network computes in.

Half precision rounds a norm by up to 0.4 %, and a square of it may not fit in float16: what is
summed is widened first, and numbers per sample stay wide. Images and directions keep their dtype.
"""

from __future__ import annotations

import torch
from torch import Tensor


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype to sum numbers of this one in: float32, or float64 if it is that."""
    return torch.promote_types(dtype, torch.float32)


def widest(device: torch.device) -> torch.dtype:
    """Return the most exact dtype of a device: float64, on Metal, which has none, float32."""
    return torch.float32 if device.type == "mps" else torch.float64


def widened(x: Tensor) -> Tensor:
    """Return x in the dtype to sum its numbers in."""
    return x.to(wide(x.dtype))


def norms(x: Tensor) -> Tensor:
    """Return ‖x‖ (B,) of every sample of x (B, ...), wide."""
    return widened(x).flatten(1).norm(dim=1)


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Return ⟨a, b⟩ (B,) of every sample of a and b (B, ...), wide."""
    return (widened(a) * widened(b)).flatten(1).sum(1)
