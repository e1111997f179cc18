"""Latents of a data source, encoded once and kept in memory.

What is kept per image is the posterior's mean and standard deviation, so that every epoch draws
another sample from it, as encoding anew would.
"""

import random
from collections import Counter

import torch
from torch import Tensor

from latentgeo.core.run.progress import progress
from latentgeo.infer.data.items import BadItem, Example
from latentgeo.infer.data.shards import Shards
from latentgeo.models.vae import VAE
from latentgeo.train.data.stream import Source, collate

ENCODED_AT_ONCE = 32


@torch.no_grad()
def moments(vae: VAE, images: Tensor) -> Tensor:
    """Return mean and standard deviation (B, 2 C, h, w) of scaled latents of images in [-1, 1]."""
    mean, log_variance = vae.posterior(images)
    return torch.cat([mean, (0.5 * log_variance).exp()], dim=1).float() * vae.config.scale


def sample_latent(kept: Tensor, noise: Tensor) -> Tensor:
    """Return z_0 (B, C, h, w), a posterior sample, from mean and standard deviation (B, 2 C, h, w).

    SmoothS Eq. 1   z_0 = E(x_0)

    The noise (B, C, h, w) is standard normal.
    """
    mean, std = kept.chunk(2, dim=1)
    return mean + std * noise


class Latents:
    """A map-style source of moments in the place of images."""

    def __init__(self, source: Source, vae: VAE, device: torch.device) -> None:
        if source.framing.draws:
            raise ValueError(
                "cache_latents and flip: got both, wanted one: a cached image is not flipped"
            )
        self.source, self.rejects, self.framing = source, source.rejects, source.framing
        self.examples: dict[int, Example] = {}
        self.refused: dict[int, BadItem] = {}
        firsts = range(0, len(source), ENCODED_AT_ONCE)
        for first in progress(firsts, label="encoding", unit="batch"):
            numbers = range(first, min(first + ENCODED_AT_ONCE, len(source)))
            self._encode([i for i in numbers if self._read(i)], vae, device)

    @property
    def bad(self) -> Counter[str]:
        """Items refused so far, by reason."""
        return self.source.bad

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.source)

    def read(self, i: int, draw: random.Random | None = None) -> Example:
        """Return example i with moments (2 C, h, w) as its image; a bad one raises `BadItem`."""
        if i in self.refused:
            raise self.refused[i]
        return self.examples[i]

    def _read(self, i: int) -> bool:
        try:
            self.examples[i] = self.source.read(i)
        except BadItem as bad:
            self.refused[i] = bad
            self.rejects.add(bad)
        return i in self.examples

    def _encode(self, numbers: list[int], vae: VAE, device: torch.device) -> None:
        if not numbers:
            return
        images, _ = collate([self.examples[i] for i in numbers])
        for i, kept in zip(numbers, moments(vae, images.to(device)).cpu(), strict=True):
            example = self.examples[i]
            self.examples[i] = Example(kept.clone(), example.caption, example.name)


def cached(source: Source | Shards, vae: VAE, device: torch.device) -> Latents:
    """Return the source's latents; `ValueError` for shards, which memory may not hold."""
    if isinstance(source, Shards):
        raise ValueError(
            "data: got shards, wanted a folder or a zip: latents are kept in memory; with text, "
            "--no-cache-latents or what latentgeo cache wrote does, too"
        )
    return Latents(source, vae, device)
