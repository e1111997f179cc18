"""What would make a host wait for a GPU, seen without one: the meta device stands in for it.

FakeTensor as CUDA would be nearer, but autograd's engine asks CUDA for its context there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

READS = {  # operations whose result, or its shape, the host has to know
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select"),
    *("_unique2", "unique_dim", "unique_consecutive", "bincount", "repeat_interleave"),
}


class Waits(TorchDispatchMode):
    """Notes every operation that reads from the meta device, or copies to it or from it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.operations = 0
        self.looking = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation and note it, if it is one of those."""
        kwargs = kwargs or {}
        name, given = func._overloadpacket.__name__, tensors((args, kwargs))
        out = None
        try:
            out = func(*args, **kwargs)
        finally:
            self.operations += 1
            places = {x.device.type for x in [*given, *tensors(out)] if x.ndim or "copy" in name}
            reads = name in READS and any(x.is_meta for x in given)
            if self.looking and (reads or len(places) > 1):
                self.seen.append(f"{name} of {[(x.device.type, tuple(x.shape)) for x in given]}")
        return out

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """Note nothing in a `with` block."""
        before, self.looking = self.looking, False
        try:
            yield
        finally:
            self.looking = before


def tensors(tree: Any) -> list[Tensor]:
    """Return the tensors of a tree."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
