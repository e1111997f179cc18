"""What a computation costs on a GPU, counted without one: launches, bytes, FLOP and memory.

A `Meter` sees every operation that reaches a device and every launch of a Triton kernel. On meta
tensors, which have a shape and no data, a training step of a model of any size is counted in
seconds and in little memory.

Launches  operations that compute or move something, of which eager PyTorch runs about one kernel
          each, and Triton kernels; views and bare allocations are free
Bytes     of every tensor that an operation or a kernel is given or returns, once, an expanded
          dimension counting as one; what is read again, or found in a cache, is not known here
FLOP      of matrix products and convolutions by PyTorch's formulas, and of kernels as their `Cost`
          has it; a multiply-add is two
Memory    storages that were made under the meter and are still referenced; what an operation needs
          while it runs and what the allocator rounds up are not known here
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from latentgeo.kernels.aot.launches import intercepted
from latentgeo.kernels.wiring.costs import Cost, moved, size

ALLOCATIONS = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")
OVERWRITES = ("copy_", "fill_", "zero_")  # they do not read their first argument


class Meter(TorchDispatchMode):
    """Counts what runs inside its `with` block; on meta tensors nothing is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()  # launches, by the name of the operation or kernel
        self.moved: Counter[str] = Counter()  # bytes, by the same names
        self.flop = 0
        self.live = self.peak = 0  # bytes
        self._storages: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation and count it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        operation = func._overloadpacket
        if operation in flop_registry:
            self.flop += flop_registry[operation](*args, **kwargs, out_val=out)
        inputs, results = _tensors((args, kwargs)), _tensors(out)
        known = {_storage(tensor) for tensor in inputs}
        fresh = [tensor for tensor in results if _storage(tensor) not in known]
        for tensor in fresh:
            self._hold(tensor)
        if operation.__name__ not in ALLOCATIONS and (fresh or func._schema.is_mutable):
            read = inputs[1:] if operation.__name__ in OVERWRITES else inputs
            self._count(operation.__name__, read + results)
        return out

    def _count(self, name: str, tensors: list[Tensor]) -> None:
        self.calls[name] += 1
        self.moved[name] += sum(map(size, tensors))

    def _hold(self, tensor: Tensor) -> None:
        """Count the tensor's storage as live for as long as anything refers to it."""
        storage, key = tensor.untyped_storage(), _storage(tensor)
        if key in self._storages:
            return
        size = storage.nbytes()
        self._storages.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._storages.remove(key)
        self.live -= size

    @contextmanager
    def recording(self, costs: Mapping[str, Cost]) -> Iterator[None]:
        """Count launches of Triton kernels instead of making them, in a `with` block.

        costs is by "module.kernel", without the packages, and may leave kernels out.
        """
        with intercepted(partial(self._launch, costs)):
            yield

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count launches of Triton kernels while making them, in a `with` block."""
        if "triton" not in sys.modules:
            yield
            return
        from triton.runtime.jit import KernelInterface

        launch = KernelInterface.__getitem__

        def counted(
            kernel: Any, grid: object, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> None:
            self.calls[_name(kernel)] += 1
            launch(kernel, grid)(*args, **kwargs)

        with intercepted(counted):
            yield

    def _launch(
        self,
        costs: Mapping[str, Cost],
        kernel: Any,
        grid: object,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        given = dict(zip(kernel.arg_names, args, strict=False)) | kwargs
        name = _name(kernel)
        cost = costs.get(name, Cost())
        self.calls[name] += 1
        self.moved[name] += moved(cost, given)
        self.flop += cost.flop(given)


def _name(kernel: Any) -> str:
    return f"{kernel.fn.__module__.split('.')[-2]}.{kernel.fn.__name__}"


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
