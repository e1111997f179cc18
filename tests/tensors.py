"""Random tensors from a seed, for the tests."""

import torch
from torch import Tensor


def normal(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    """Return a standard normal tensor (*shape), drawn in float64 whatever its dtype."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
