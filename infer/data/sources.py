"""What `--data` names, as a source of captioned images: one function opens them all.

A source is `avatars` (the embedded set), a folder or zip file of captioned images
(infer/data/folder.py), tar shards (infer/data/shards.py) or CIFAR-10 (infer/data/cifar.py).
"""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from latentgeo.infer.data.cifar import Cifar10, is_cifar10
from latentgeo.infer.data.folder import Folder, Zipped
from latentgeo.infer.data.images import Framing
from latentgeo.infer.data.items import Example, Label, OnBad, Rejects
from latentgeo.infer.data.shards import Shards, shard_paths
from latentgeo.infer.data.where import Condition, conditions
from latentgeo.models.zoo.places import AVATARS

CACHE_INDEX = "cache.json"  # of a folder that `latentgeo cache` wrote


class Source(Protocol):
    """A map-style source: examples by number."""

    rejects: Rejects
    framing: Framing

    @property
    def bad(self) -> Counter[str]:
        """Items refused so far, by reason."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def read(self, i: int, draw: random.Random | None = None) -> Example:
        """Return example i, cropped and flipped by `draw`; raise `BadItem` if it cannot be used."""


class Labelled(Source, Protocol):
    """A source that says what an example is without reading its picture."""

    def label(self, i: int) -> Label:
        """Return what is said of example i; raise `BadItem` if it cannot be used."""


def avatars(
    split: str = "train",
    size: int = 64,
    on_bad: OnBad = "skip",
    *,
    flip: bool = False,
    where: Sequence[Condition] = (),
) -> Zipped:
    """Return the embedded faces; `.captions` and `.attributes` state what each one shows.

    Raises ValueError for a split that there is not.
    """
    if split not in ("train", "test", "all"):
        raise ValueError(f"split: got {split!r} of avatars, wanted train, test or all")
    return Zipped(AVATARS, Framing(size=size, flip=flip), on_bad, split=split, where=where)


def open_source(
    spec: str,
    size: int,
    on_bad: OnBad = "skip",
    *,
    split: str = "",
    allow_uncaptioned: bool = False,
    random_crop: bool = False,
    flip: bool = False,
    where: Sequence[str] = (),
) -> Labelled | Shards:
    """Open `avatars`, `avatars:test`, a folder, a .zip, a .tar, a pattern or folder of .tar, CIFAR.

    `split` chooses lines of a metadata.jsonl by that field; the default is all (avatars: train).
    `where` has conditions on metadata (infer/data/where.py) that every example meets. What
    `latentgeo cache` wrote is opened by `train/data/cache.py`, not here.
    A name that is not there is a FileNotFoundError, an empty source a ValueError; both name it.
    """
    name, _, named = spec.partition(":")
    wanted = conditions(where)
    if name == "avatars":
        return avatars(named or split or "train", size, on_bad, flip=flip, where=wanted)
    if (Path(spec) / CACHE_INDEX).is_file():
        raise ValueError(f"{spec} is a cache of latents, wanted the images that it was made of")
    framing = Framing(size=size, random_crop=random_crop, flip=flip)
    if is_cifar10(Path(spec)):
        return Cifar10(Path(spec), framing, on_bad, split=split, where=wanted)
    if paths := shard_paths(spec):
        if split:
            raise ValueError(f"{spec}: shards have no splits, got {split!r}; name other shards")
        return Shards(paths, framing, on_bad, allow_uncaptioned=allow_uncaptioned, where=wanted)
    kind = Zipped if spec.lower().endswith(".zip") else Folder
    return kind(
        Path(spec),
        framing,
        on_bad,
        split=split or "all",
        allow_uncaptioned=allow_uncaptioned,
        where=wanted,
    )


def collate(examples: Sequence[Example]) -> tuple[Tensor, list[str]]:
    """Return the images as (B, 3, H, W) float32 in [-1, 1], and the captions."""
    images = torch.stack([e.image for e in examples])  # (B, 3, H, W)
    if images.dtype == torch.uint8:
        images = images.float() / 127.5 - 1
    return images.float(), [e.caption for e in examples]
