"""Data sources and the endless, resumable stream of batches that a training loop reads.

A source is `avatars` (the embedded set), a folder or zip file of captioned images
(train/data/folder.py), tar shards (train/data/shards.py) or CIFAR-10 (train/data/cifar.py).
`Batches` puts the samples of a source into one endless order, in which every epoch is a permutation
drawn from (seed, epoch), and position n of that order determines its sample whatever happened
before. Hence a run resumes bit for bit from a count, and W ranks with batch B see together what one
rank with batch W B sees.

A bad item at position n is replaced by the next good one after n, which keeps that property: the
replacement depends on n alone, and its sample appears once more than the others of its epoch.
"""

import random
import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from latentgeo.models.zoo.places import AVATARS
from latentgeo.train.data.cifar import Cifar10, is_cifar10
from latentgeo.train.data.folder import Folder, Zipped
from latentgeo.train.data.images import Framing
from latentgeo.train.data.items import BadItem, Example, OnBad, Rejects
from latentgeo.train.data.shards import ShardOrder, Shards, shard_paths
from latentgeo.train.data.where import Condition, conditions

__all__ = ["BadItem", "Batches", "Example", "Source", "avatars", "collate", "open_source"]

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
        raise ValueError(f"the split of avatars is {split!r}; it is train, test or all")
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
) -> Source | Shards:
    """Open `avatars`, `avatars:test`, a folder, a .zip, a .tar, a pattern or folder of .tar, CIFAR.

    `split` chooses lines of a metadata.jsonl by that field; the default is all (avatars: train).
    `where` has conditions on metadata (train/data/where.py) that every example meets. What
    `latentgeo cache` wrote is opened by `train/data/cache.py`, not here.
    A name that is not there is a FileNotFoundError, an empty source a ValueError; both name it.
    """
    name, _, named = spec.partition(":")
    wanted = conditions(where)
    if name == "avatars":
        return avatars(named or split or "train", size, on_bad, flip=flip, where=wanted)
    if (Path(spec) / CACHE_INDEX).is_file():
        raise ValueError(f"{spec} is a cache of latents; images are wanted here")
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


class Permutations:
    """Endless order over the examples of a map-style source: epoch e permutes by (seed, e)."""

    lanes = 1  # all ranks share one order

    def __init__(self, source: Source, seed: int, shuffle: bool = True) -> None:
        """Order `source`; without `shuffle` every epoch is in its own order."""
        self.source, self.seed, self.shuffle = source, seed, shuffle
        self.items = len(source)
        self._epoch, self._permutation = -1, np.arange(self.items)

    def read(self, position: int, draw: random.Random | None = None) -> Example:
        """Return the example at a position, or raise `BadItem`."""
        epoch, offset = divmod(position, self.items)
        if self.shuffle and epoch != self._epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._epoch, self._permutation = epoch, rng.permutation(self.items)
        return self.source.read(int(self._permutation[offset]), draw)

    def covers(self, first: int, last: int) -> bool:
        """Whether every example lies between two positions."""
        return last - first >= 2 * self.items


class Batches:
    """Endless iterator of `(images (B, 3, H, W) float32 in [-1, 1], captions)` for one rank.

    `position` counts the samples that all ranks together have taken; it is all the state there is.
    """

    def __init__(
        self,
        source: Source | Shards,
        batch: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        position: int = 0,
        *,
        shuffle: bool = True,
    ) -> None:
        """Start at `position`; a size, rank or seed that makes no sense is a ValueError."""
        if batch < 1 or seed < 0 or position < 0 or not 0 <= rank < world:
            raise ValueError(
                "batch >= 1, seed >= 0, position >= 0, 0 <= rank < world are wanted; "
                f"got {batch=}, {seed=}, {position=}, {rank=}, {world=}"
            )
        self.source, self.batch, self.seed = source, batch, seed
        self.rank, self.world, self.position = rank, world, position
        self.order: Permutations | ShardOrder = (
            ShardOrder(source, seed, rank, world, shuffle)
            if isinstance(source, Shards)
            else Permutations(source, seed, shuffle)
        )

    def __iter__(self) -> Self:
        """Return itself: an iteration goes on where the last one stopped."""
        return self

    def __next__(self) -> tuple[Tensor, list[str]]:
        """Return the next batch of this rank."""
        first = self.position + self.rank * self.batch
        if self.order.lanes > 1:  # this rank has an order of its own
            first = self.position // self.world
        examples = [self._good(n) for n in range(first, first + self.batch)]
        self.position += self.batch * self.world
        return collate(examples)

    def state(self) -> dict[str, int]:
        """Return what `load_state` needs; it is the same on every rank."""
        return {"position": self.position, **self._fixed()}

    def load_state(self, state: dict[str, int]) -> None:
        """Go to the position of `state`; a state of other data or another seed is a ValueError."""
        for key, here in self._fixed().items():
            if state.get(key) != here:
                raise ValueError(
                    f"the data position was saved with {key} = {state.get(key)}, here it is "
                    f"{here}: the run cannot be resumed exactly"
                )
        self.position = int(state["position"])

    def summary(self) -> str:
        """Return one line on the items skipped so far, '' if there are none."""
        return self.source.rejects.summary()

    def close(self) -> None:
        """Warn once more, at the end of a run, about how many items were skipped and why."""
        if self.summary():
            warnings.warn(self.summary(), stacklevel=2)

    def _fixed(self) -> dict[str, int]:
        return {"seed": self.seed, "items": self.order.items, "lanes": self.order.lanes}

    def _good(self, position: int) -> Example:
        """Return the example at a position, or the next good one after it."""
        rejects, draw = self.source.rejects, None
        for n in count(position):
            if self.source.framing.draws:
                lane = self.rank if self.order.lanes > 1 else 0
                draw = random.Random(f"{self.seed}/{lane}/{position}")
            try:
                return self.order.read(n, draw)
            except BadItem as bad:
                rejects.add(bad)
            if self.order.covers(position, n):
                break
        raise ValueError(f"no usable example. {rejects.summary()}")
