"""The stream of starts that directions are learned from: every x_T, for each time of its path.

An optimiser step is of one time of one batch. So position n of the stream, counted in samples as
the loop does, says which batch it is and where on its path: a run resumes from the count, and W
ranks with batch B see together what one rank with batch W B sees.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentgeo.core.run.ranks import ranks
from latentgeo.core.run.seeds import mix
from latentgeo.train.loop.task import Batch, Terms


class Trajectories:
    """Endless batches of x_T (N, C, h, w), each `places` times in a row; an epoch permutes them."""

    def __init__(
        self, x_T: Tensor, batch: int, places: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        """Take `batch` over all ranks, a multiple of their number."""
        self.x_T, self.batch, self.places, self.seed = x_T, batch, places, seed
        self.rank, self.part = rank, batch // world
        self.position = 0

    def __next__(self) -> Batch:
        """Return this rank's x_T (B, C, h, w) and no captions."""
        group = self.position // self.batch // self.places
        first = group * self.batch + self.rank * self.part
        chosen = [self._at(n) for n in range(first, first + self.part)]
        self.position += self.batch
        return self.x_T[chosen], []

    def state(self) -> dict[str, int]:
        """Return the position and what it counts."""
        return {"position": self.position, **self._fixed()}

    def load_state(self, state: dict[str, int]) -> None:
        """Go to the position of `state`; ValueError if it counts other samples."""
        for name, here in self._fixed().items():
            if state.get(name) != here:
                raise ValueError(
                    f"{name}: got {here}, but the run was begun with {state.get(name)}"
                )
        self.position = int(state["position"])

    def close(self) -> None:
        """Do nothing: all is in memory."""

    def _fixed(self) -> dict[str, int]:
        return {"seed": self.seed, "starts": len(self.x_T), "places": self.places}

    def _at(self, n: int) -> int:
        """Return which start is number n of all epochs."""
        epoch, offset = divmod(n, len(self.x_T))
        order = np.random.default_rng(mix(self.seed, "starts", epoch)).permutation(len(self.x_T))
        return int(order[offset])


def steps_of(starts: int, batch: int, places: int, epochs: int) -> int:
    """Return the optimiser steps of some epochs, whose last batch takes from the next epoch."""
    return -(-starts * epochs // batch) * places


class Paths:
    """Where the batch of a rank is on its way down: (M, B, C, h, w), M ways from one start."""

    def __init__(self, ways: int, batch: int, places: int) -> None:
        """Follow so many ways for so many places; `batch` is over all ranks."""
        self.ways, self.batch, self.places = ways, batch, places
        self.x: Tensor | None = None
        self.everyone: Tensor | None = None  # the same of all ranks, one after the other in B

    def at(self, first: int, start: Tensor) -> tuple[int, Tensor]:
        """Return which place the batch with sample number `first` is at, and x there.

        At place 0 all ways begin at `start` (B, C, h, w). What is written into x stays there.
        """
        place = first // self.batch % self.places
        if place == 0 or self.x is None:
            self.x = start.expand(self.ways, *start.shape).clone()
        return place, self.x

    def settle(self) -> None:
        """Learn, on every rank, where all are, for a checkpoint."""
        if self.x is not None:
            self.everyone = gathered(self.x) if ranks().world > 1 else self.x

    def state(self) -> dict[str, Any]:
        """Return where the paths were when they last settled: a batch may be half way down."""
        return {"x": self.everyone}

    def load_state(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from there, on any number of ranks."""
        here = ranks()
        part = self.batch // here.world
        self.everyone = state["x"]
        self.x = state["x"][:, here.rank * part : (here.rank + 1) * part].to(device)


def gathered(x: Tensor) -> Tensor:
    """Return (M, B, ...) of all ranks, one after the other, from each rank's part of B."""
    world = torch.distributed.get_world_size()
    parts = [torch.empty_like(x) for _ in range(world)]
    torch.distributed.all_gather(parts, x.contiguous())
    return torch.cat(parts, dim=1)


class OnPaths:
    """The part of a task that goes along paths: where they are is its state."""

    paths: Paths
    device: torch.device

    def end_step(self) -> Terms:
        """Learn where the paths of all ranks are, for a checkpoint."""
        self.paths.settle()
        return {}

    def state(self) -> dict[str, Any]:
        """Return where the paths are."""
        return self.paths.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.paths.load_state(state, self.device)
