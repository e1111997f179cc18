"""In which dtype numbers are summed and decomposed, whatever a network computes in."""

from __future__ import annotations

import torch


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype to sum numbers of this one in: float32, or float64 if it is that."""
    return torch.promote_types(dtype, torch.float32)


def widest(device: torch.device) -> torch.dtype:
    """Return the most exact dtype of a device: float64, on Metal, which has none, float32."""
    return torch.float32 if device.type == "mps" else torch.float64
