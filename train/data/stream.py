"""The endless, resumable stream of batches that a training loop reads from a source of data.

`Batches` puts the samples of a source (infer/data/sources.py) into one endless order, in which
every epoch is a permutation drawn from (seed, epoch), and position n of that order determines its
sample whatever happened before. Hence a run resumes bit for bit from a count, and W ranks with
batch B see together what one rank with batch W B sees.

A bad item at position n is replaced by the next good one after n, which keeps that property: the
replacement depends on n alone, and its sample appears once more than the others of its epoch.
"""

import random
import warnings
from itertools import count
from typing import Self

import numpy as np
from torch import Tensor

from latentgeo.infer.data.items import BadItem, Example
from latentgeo.infer.data.shards import ShardOrder, Shards
from latentgeo.infer.data.sources import CACHE_INDEX, Source, avatars, collate, open_source

__all__ = ["CACHE_INDEX", "BadItem", "Batches", "Example", "Source"]
__all__ += ["avatars", "collate", "open_source"]


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
