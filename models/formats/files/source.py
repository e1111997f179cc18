"""What every file of weights is to its importer: names, dtypes and shapes first, then tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """What a file says of one tensor before it is read."""

    dtype: torch.dtype
    shape: Shape


class Source(Protocol):
    """An open file, or several that belong together."""

    @property
    def path(self) -> Path:
        """The file, or the index of several."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What there is to be read, by name."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What else the file says, in words."""

    def read(self, name: str) -> Tensor:
        """Return a tensor on the CPU, as a view of the file where it can be one."""

    def drop(self, name: str) -> None:
        """Forget a tensor that was read and copied: its memory can be had again."""


def shapes(source: Source) -> dict[str, Shape]:
    """Return the shape of every tensor of a file, by name."""
    return {name: entry.shape for name, entry in source.entries.items()}
