"""What a training method gives the loop, and what the loop needs of a stream of data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from latentgeo.train.data.draws import Draws

Batch = tuple[Tensor, list[str]]  # images or latents (B, ...), captions
Terms = Mapping[str, Tensor | float]  # what to log, by name; `end_step` may give NaN for nothing


@dataclass(frozen=True, kw_only=True)
class Part:
    """All that one part of a step is computed from besides the weights, on the device."""

    tensors: Mapping[str, Tensor]  # the batch and the random numbers of its samples, by name
    kind: str = ""  # which operations are to run, where that is no matter of shapes


class Task(Protocol):
    """One training method."""

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return what is trained, by name."""

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        """Return the mean loss () of a batch, and what to log: means over the batch as well."""

    def end_step(self) -> Terms:
        """Do what belongs to an optimiser step, on every rank; return what to log."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold besides the parameters: tensors and numbers."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""

    def sample_grid(self) -> Tensor | None:
        """Return images (N, 3, H, W) in [-1, 1] that show the progress; no global random state."""

    def save(self, folder: Path) -> None:
        """Write the weights as files for use."""


class Staged(Task, Protocol):
    """A task that moves all that a part needs to the device first: `loss` is both, in turn.

    What `loss_of` does then neither waits for a GPU nor copies anything to it.
    """

    def stage(self, batch: Batch, draws: Draws) -> Part:
        """Return what the loss of a batch is computed from."""

    def loss_of(self, part: Part) -> tuple[Tensor, Terms]:
        """Return the mean loss () of a part, and what to log."""


@runtime_checkable
class Captioned(Protocol):
    """A task whose sample grids are drawn of captions."""

    captions: list[str]


class Stateless:
    """The part of a task that has neither a statistic nor a state but its weights."""

    def end_step(self) -> Terms:
        """Do nothing."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Do nothing."""


class Data(Protocol):
    """An endless stream of batches."""

    def __next__(self) -> Batch:
        """Return this rank's next batch."""

    def state(self) -> dict[str, int]:
        """Return what `load_state` needs; "position" counts the samples that all ranks took."""

    def load_state(self, state: dict[str, int]) -> None:
        """Continue after the samples that `state` counts."""

    def close(self) -> None:
        """End the stream."""
