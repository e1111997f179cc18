"""Moments of latents and text embeddings on disk, made once by `latentgeo cache`; here, their use.

A cache is a folder of parts and an index. `part-00000.safetensors` has `moments` (N, 2 C, h, w) of
N images, as train/data/latents.py keeps them, and `context` (M, L, K), the embeddings of the M
captions that no earlier part has; `part-00000.json` has the names and captions. `cache.json` has
how many examples each part holds, and what they were made of: digests of the autoencoder, of the
text encoder and of the data. Tensors are read from memory-mapped files, a row at a time.
"""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentgeo.core.run.text import read_text
from latentgeo.infer.data.images import Framing
from latentgeo.infer.data.items import Example, Rejects
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.formats.files.safetensors import SafeFile
from latentgeo.models.vae import VAE
from latentgeo.train.data.stream import CACHE_INDEX

FORMAT = 1
OPEN = 64  # parts that are kept mapped
OF = {  # what an index records, in the words of a refusal
    "format": "layout",
    "vae": "autoencoder",
    "text": "text encoder",
    "data": "data",
    "size": "size",
    "where": "where",
    "store": "store",
    "part": "part",
}
Place = tuple[int, int]  # part, row


def digest(module: nn.Module, *more: object) -> str:
    """Return a SHA-256 of a network's tensors by name, and of what else decides its output."""
    found = hashlib.sha256(repr(more).encode())
    for name, tensor in sorted(module.state_dict().items()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()


def vae_digest(vae: VAE) -> str:
    """Return the digest of an autoencoder."""
    return digest(vae, asdict(vae.config))


def text_digest(bundle: TextToImage) -> str:
    """Return the digest of a model's text encoder with its tokens."""
    return digest(bundle.text, asdict(bundle.config.text), bundle.learned)


def is_cache(spec: str) -> bool:
    """Return whether a folder is one that `latentgeo cache` wrote, or began to write."""
    return (Path(spec) / CACHE_INDEX).is_file()


class Cached:
    """A map-style source of moments, and the embeddings of its captions."""

    def __init__(self, folder: Path, index: Mapping[str, Any]) -> None:
        """Read the names and captions of all parts; a part that is not whole is a ValueError."""
        self.folder, self.rejects = folder, Rejects("skip")
        self.opened = lru_cache(OPEN)(lambda part: SafeFile(part_path(folder, part)))
        self.framing = Framing(size=index["size"])
        self.places: list[Place] = []
        self.labels: list[tuple[str, str]] = []  # caption and name
        self.texts: dict[str, Place] = {}
        for number, examples in enumerate(index["parts"]):
            self._read_part(number, examples)

    @property
    def bad(self) -> Counter[str]:
        """Items refused so far: none, they were refused when the cache was made."""
        return self.rejects.count

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.places)

    def read(self, i: int, draw: random.Random | None = None) -> Example:
        """Return example i with moments (2 C, h, w) as its image."""
        return Example(self._row("moments", self.places[i]), *self.labels[i])

    def context(self, captions: Sequence[str]) -> Tensor:
        """Return the embeddings (B, L, K) of captions in the cache, in float32."""
        return torch.stack([self._row("context", self.texts[caption]) for caption in captions])

    def _read_part(self, number: int, examples: int) -> None:
        path = part_path(self.folder, number)
        labels = json.loads(read_text(path.with_suffix(".json")))
        found = self.opened(number).entries["moments"].shape[0], len(labels["captions"])
        if found != (examples, examples):
            got = f"{found[0]} images and {found[1]} captions"
            raise ValueError(f"{path}: got {got}, wanted {examples} of each; make the cache again")
        self.places += [(number, row) for row in range(examples)]
        self.labels += zip(labels["captions"], labels["names"], strict=True)
        self.texts |= {text: (number, row) for row, text in enumerate(labels["texts"])}

    def _row(self, tensor: str, place: Place) -> Tensor:
        part, row = place
        return self.opened(part).read(tensor)[row].to(torch.float32, copy=True)


def open_cache(folder: Path, size: int, *, vae: VAE, text: TextToImage | None = None) -> Cached:
    """Return the cache in a folder, if it is whole and was made by these networks at this size.

    `text` None leaves the embeddings unused. Raises ValueError that names what differs.
    """
    index = read_index(folder)
    wanted: dict[str, object] = {"format": FORMAT, "vae": vae_digest(vae), "size": size}
    wanted |= {} if text is None else {"text": text_digest(text)}
    refuse_other(folder, index, wanted, "run `latentgeo cache` with this model")
    if not index["complete"]:
        raise ValueError(f"cache {folder}: it is not complete; run `latentgeo cache` to its end")
    return Cached(folder, index)


def read_index(folder: Path) -> dict[str, Any]:
    """Return the index of a cache."""
    index: dict[str, Any] = json.loads(read_text(folder / CACHE_INDEX))
    return index


def refuse_other(
    folder: Path, index: Mapping[str, Any], wanted: Mapping[str, object], advice: str
) -> None:
    """Raise ValueError naming the first thing that a cache was made of and is not wanted."""
    for name, value in wanted.items():
        if index.get(name) != value:
            got, want = (str(x)[:16] for x in (index.get(name), value))
            raise ValueError(
                f"cache {folder}: it was made with another {OF[name]}, {got}, not {want}; {advice}"
            )


def part_path(folder: Path, number: int) -> Path:
    """Return the file of a part's tensors; its names and captions are in the .json beside it."""
    return folder / f"part-{number:05d}.safetensors"
