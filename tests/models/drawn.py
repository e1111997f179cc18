"""Random weights of large networks in little time: slices of one table of random numbers."""

import math

import torch
from torch import Tensor

LARGEST = 49_408 * 768  # numbers in a tensor of Stable Diffusion 1.5: its words' embeddings
OFFSETS = 2**20


class Table:
    """Numbers uniform on [-1, 1], of which each tensor takes others."""

    def __init__(self, dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(0)
        self.numbers = torch.empty(LARGEST + OFFSETS, dtype=dtype)
        self.numbers.uniform_(-1, 1, generator=generator)
        self.taken = 0

    def draw(self, shape: torch.Size, bound: float) -> Tensor:
        """Return a new tensor of numbers uniform on [-bound, bound]."""
        self.taken += 1
        first = self.taken * 7919 % OFFSETS
        return bound * self.numbers[first : first + math.prod(shape)].view(shape)
