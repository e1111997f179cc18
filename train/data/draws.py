"""Random numbers that belong to a sample and not to the process that computes it.

Sample n of a run has one Philox stream, keyed by (seed, n). Its time, noise, dropped caption and
probe direction are the same whichever rank, batch size or device computes it, and whether or not
the run was interrupted. So two ranks with batches of B are one rank with a batch of 2 B.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from latentgeo.core.run.device import moved

WORD = 2**64  # Philox's key is two words
SEEDS = 2**31 - 1  # largest seed of a torch generator that a sample's stream may draw


class Draws:
    """The streams of samples first, first + 1, … first + count - 1 of a run."""

    def __init__(self, seed: int, first: int, count: int) -> None:
        self.first, self.count = first, count
        self.streams = [
            np.random.Generator(np.random.Philox(key=[seed % WORD, first + i]))
            for i in range(count)
        ]

    def normal(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return standard normals (B, *shape) in like's dtype, on its device."""
        kind = np.float64 if like.dtype == torch.float64 else np.float32
        values = np.stack([s.standard_normal(tuple(shape), dtype=kind) for s in self.streams])
        return moved(torch.from_numpy(values), like.device).to(like.dtype)

    def normal_like(self, like: Tensor) -> Tensor:
        """Return standard normals like `like` (B, ...)."""
        return self.normal(like.shape[1:], like)

    def integers(self, low: int, high: int, device: torch.device | None = None) -> Tensor:
        """Return int64 (B,), uniform on low … high, both included."""
        values = [int(s.integers(low, high, endpoint=True)) for s in self.streams]
        drawn = torch.tensor(values, dtype=torch.int64)
        return drawn if device is None else moved(drawn, device)

    def chance(self, probability: float) -> list[bool]:
        """Return B booleans, each true with the given probability."""
        return [bool(s.random() < probability) for s in self.streams]
